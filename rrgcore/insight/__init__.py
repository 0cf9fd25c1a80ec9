"""What a model did, in numbers: where it looked, what reports share, whether it points."""
