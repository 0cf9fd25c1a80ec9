"""The recipes, installed as the data-only package `rrg_recipes`, so that a name is enough."""
