"""The recipes, installed as the data-only package `rrg_recipes`: `rrg run kia_graph` works anywhere."""
