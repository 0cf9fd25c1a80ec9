"""`rrg demo`: a page on this machine to drop an image on and read the report with its attention.

Images are read in memory, and nothing of them is written anywhere.
"""
