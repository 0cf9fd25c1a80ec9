"""Reports for images that belong to no data set, and what is to be thought of each."""
