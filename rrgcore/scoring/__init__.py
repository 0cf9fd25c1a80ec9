"""Scores: what a metric is, what stands beside its numbers, who is better; all without torch."""

from rrgcore.scoring.metric import Metric, Pair, ReadsFindings, Scores, Terms, mean_terms

__all__ = ["Metric", "Pair", "ReadsFindings", "Scores", "Terms", "mean_terms"]
