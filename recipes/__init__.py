"""The recipes, installed as the data-only package `rrg_recipes` so that `rrg run kia_graph` works anywhere."""
