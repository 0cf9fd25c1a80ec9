"""How much memory a recipe needs: torch's operations without values, and their bytes counted."""

from rrgcore.memory.predict import CARDS, MARGIN, MOST, Memory, predict_memory
from rrgcore.memory.stage import Standing, Step

__all__ = ["CARDS", "MARGIN", "MOST", "Memory", "Standing", "Step", "predict_memory"]
