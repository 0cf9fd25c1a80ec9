"""What is said in a terminal of what a run knows of its own predictions."""

from collections.abc import Iterator, Mapping
from typing import Any

QUESTION = "“this report misses or invents a finding”"


def confidence_line(judged: Mapping[str, Any]) -> str:
    """Say what the confidence is worth, by what scores.json says."""
    found = judged.get("confidence", {})
    if "AUROC" not in found:
        why = found.get("missing", "the run was tested before rrg measured it")
        return f"confidence: not measured ({why})"
    auroc = found["AUROC"]
    words = found.get("AUROC of simpler scores", {}).get("words")
    beside = f"; the number of its words alone: {words:.2f}" if words is not None else ""
    return (
        f"confidence: AUROC {auroc['value']:.2f} [{auroc['low']:.2f}, {auroc['high']:.2f}] for "
        f"{QUESTION}, as {found['wrong']:,} of {found['reports']:,} reports of the test do{beside}"
    )


def judged_lines(judged: Mapping[str, Any]) -> Iterator[str]:
    """Say all of it."""
    yield confidence_line(judged)
    looked = judged.get("familiarity", {})
    if "share" in looked:
        yield (
            f"called unlike the training images: {looked['unlike training']:,} of "
            f"{looked['images']:,} ({looked['share']:.1%})"
        )
    elif "missing" in looked:
        yield f"images unlike those of training: not told ({looked['missing']})"
    shares = judged.get("warnings", {})
    if shares:
        told = {"prior": "comparisons with an earlier examination", "laterality": "contradictions "
                "of left and right"}  # fmt: skip
        yield "; ".join(
            f"{what} in {shares['reports'][kind]:.1%} of reports, {shares['references'][kind]:.1%} "
            "of references"
            for kind, what in told.items()
        )
