"""A run as one self-contained HTML file: scores, curves, studies, its recipe."""

from rrgcore.page.page import PageFile, write_page

__all__ = ["PageFile", "write_page"]
