"""Figures of what a model does, drawn from what its components offer."""
