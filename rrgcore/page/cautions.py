"""What must be read before a run's scores: cautions, leakage, and what speaks against them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

from rrgcore.errors import shortened
from rrgcore.page.scores import EXCHANGED

VERBATIM = 0.1
"""Share of references seen in training from which it is a warning."""
FREQUENT = 0.25
"""Share of one and the same output from which it is a warning."""
SHOWN = 160
"""Characters of a report that is quoted."""

Level = Literal["warning", "note"]


@final
@dataclass(frozen=True, slots=True)
class Caution:
    """A sentence."""

    level: Level
    text: str


def cautions(card: Mapping[str, Any], *, quotes: bool) -> Iterator[Caution]:
    """Yield what stands beside the scores, the gravest first; it `quotes` reports, or not."""
    for caution in card["cautions"]:
        yield Caution("warning", str(caution))
    found = [*_leakage(card["leakage"], quotes), *_no_better(card), *_missing(card)]
    yield from sorted(found, key=lambda each: each.level != "warning")


def _leakage(leakage: Mapping[str, Any], quotes: bool) -> Iterator[Caution]:
    verbatim = leakage["verbatim"]
    if verbatim is None:
        yield Caution(
            "note", "Leakage is not known: no training reports were held against the references."
        )
    else:
        yield Caution(
            "warning" if verbatim >= VERBATIM else "note",
            f"Leakage: {verbatim:.1%} of the references are, word for word, a training report. "
            "A model that has learned these by heart scores on them.",
        )
    if leakage["empty"]:
        yield Caution("warning", f"{leakage['empty']:.1%} of the generated reports are empty.")
    if leakage["distinct"] >= 1:
        yield Caution("note", "All of the generated reports are distinct.")
        return
    share = leakage["most_frequent_share"]
    text = leakage.get("most_frequent")  # which an exported run's scores do not quote
    quoted = f": “{shortened(str(text), SHOWN)}”" if quotes and text is not None else "."
    yield Caution(
        "warning" if share >= FREQUENT else "note",
        f"{leakage['distinct']:.1%} of the generated reports are distinct; {share:.1%} are one "
        f"and the same{quoted}",
    )


def _no_better(card: Mapping[str, Any]) -> Iterator[Caution]:
    """Name what scores as high without looking at the image."""
    exchanged = card.get("shuffled images")
    others = {**card["baselines"], **({EXCHANGED: exchanged} if exchanged else {})}
    for name, scores in others.items():
        as_high = [
            f"{protocol} {key} ({scores[protocol][key]:.3f} against {value:.3f})"
            for protocol, values in card["protocols"].items()
            for key, value in values.items()
            if key in card["headline"].get(protocol, ())
            and scores.get(protocol, {}).get(key, float("-inf"))
            >= card["intervals"].get(protocol, {}).get(key, (value, value))[0]
        ]
        if not as_high:
            continue
        more = f", and {len(as_high) - 3} more" if len(as_high) > 3 else ""
        who = "The same model with other studies' images" if name == EXCHANGED else f"The {name}"
        yield Caution(
            "warning",
            f"{who} scores within this model's interval, or higher: {', '.join(as_high[:3])}"
            f"{more}.",
        )


def _missing(card: Mapping[str, Any]) -> Iterator[Caution]:
    own = {key: why for key, why in card.get("missing", {}).items() if " of " not in key}
    for why in dict.fromkeys(map(str, own.values())):
        keys = [key for key, reason in own.items() if str(reason) == why]
        some = ", ".join(keys[:3]) + (f" … ({len(keys)} scores)" if len(keys) > 3 else "")
        yield Caution("note", f"Not computed: {some}. {why.removeprefix('not computed: ')}")
