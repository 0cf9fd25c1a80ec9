"""Ablations: variants × seeds as run folders, and the paper's table of what came of them."""
