"""Experiment trackers, through Accelerate: what metrics.jsonl says becomes curves, each point once.

A tracker is no part of a run: it is told what the run folder holds already, and is not asked for
anything. So a run that goes on sends what a tracker does not have yet, whether the run was killed,
went on without the tracker for a while, or is tracked for the first time now.
"""

from rrgcore.trackers.tracked import Tracked

__all__ = ["Tracked"]
