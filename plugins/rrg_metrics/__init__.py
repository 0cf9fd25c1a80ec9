"""Scores by named protocol."""
