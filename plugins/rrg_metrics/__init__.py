"""Scores of generated reports, by named protocol."""
