"""Scores as tables: a table a protocol, what was measured beside what it must be read beside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rrgcore.scoring.comparison import Comparison, Standing
from rrgcore.scoring.identical import told
from rrgcore.scoring.published import PublishedTable

SHORT = 90
"""Characters shown of a report."""
LONG = 12
"""Characters of a score's name from which its interval stands on a line of its own."""


def print_card(
    console: Console,
    card: Mapping[str, Any],
    *,
    name: str = "this model",
    others: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
) -> None:
    """Print what scores.json says of scores: a table a protocol, with its fingerprint below."""
    systems = {name: card["protocols"], **(others or {}), **card["baselines"]}
    for protocol, values in card["protocols"].items():
        shown = [key for key in card["headline"][protocol] if key in values]
        if not shown:
            continue
        table = _table(protocol, systems, shown)
        between = card["intervals"].get(protocol, {})
        gap = " " if max(map(len, shown)) < LONG else "\n"
        for key in shown:
            own = _with_interval(f"{values[key]:.4f}", between.get(key), gap)
            beside = (_figure(found.get(protocol, {}), key) for found in _rest(systems, name))
            table.add_row(key, own, *beside)
        console.print("", table, sep="\n")
        _dim(console, card["fingerprint"][protocol])
    _print_missing(console, card["missing"])
    _print_leakage(console, card)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print a table a protocol, and below it in words what can be told apart."""
    for protocol, standings in comparison.standings.items():
        shown = list(dict.fromkeys(key for s in standings.values() for key in s.shown))
        table = Table(box=None)
        table.add_column(protocol, no_wrap=True)
        for name in standings:
            table.add_column(name, justify="right", overflow="fold")
        for key in shown:
            table.add_row(key, *(_cell(standing, key) for standing in standings.values()))
        console.print("", table, sep="\n")
        first = next(iter(standings))
        for name, standing in standings.items():
            if standing.against:
                console.print(Text(f"{name}, from {first}:"), soft_wrap=True)
            for key, against in standing.against.items():
                console.print(Text(f"  {key} {against}"), soft_wrap=True)
        own = [s for name, s in standings.items() if name not in comparison.about]
        for fingerprint in dict.fromkeys(s.fingerprint for s in own if s.values):
            _dim(console, fingerprint)
        missing = {
            f"{protocol} {key} of {name}": why
            for name, standing in standings.items()
            for key, why in standing.missing.items()
        }
        _print_missing(console, missing)
    out = f", {comparison.left_out:,} without a reference left out" if comparison.left_out else ""
    console.print("", Text(f"{comparison.studies:,} studies{out}"), sep="\n", soft_wrap=True)
    for group in comparison.identical:
        console.print(Text(told(group)), soft_wrap=True)
    for name, found in comparison.leakage.items():
        _print_repeats(console, asdict(found), f"{name}: ")
    _print_verbatim(console, next(iter(comparison.leakage.values())).verbatim)
    for name, about in comparison.about.items():
        _dim(console, f"{name}: {_short(about, 2 * SHORT)}")


def print_published(console: Console, tables: Sequence[PublishedTable]) -> None:
    """Print papers' figures, marked as what they are."""
    for found in tables:
        columns = list(dict.fromkeys(key for row in found.rows for key in row.values))
        # 0.470 is printed so, and read as a number it has lost its last digit
        digits = {
            column: max(
                len(str(row.values.get(column, 0.0)).partition(".")[2]) for row in found.rows
            )
            for column in columns
        }
        title = f"as printed in {found.paper}, {found.table} ({found.dataset}, {found.split})"
        table = Table(title=title, title_justify="left", box=None)
        table.add_column("as printed")
        for column in columns:
            table.add_column(column, justify="right")
        for row in found.rows:
            style = "bold" if row.own else ""
            cells = (f"{row.values[c]:.{digits[c]}f}" if c in row.values else "–" for c in columns)
            table.add_row(row.system, *cells, style=style)
        console.print("", table, sep="\n")
        _dim(console, f"protocol: {found.protocol}; quoted, not scored here")
        for remark in found.remarks:
            _dim(console, remark)


def _table(protocol: str, systems: Iterable[str], shown: Sequence[str]) -> Table:
    table = Table(box=None, collapse_padding=True)
    table.add_column(protocol, min_width=min(16, max(map(len, [protocol, *shown]))))
    for number, name in enumerate(systems):
        if number == 0:  # a score and its interval are not broken
            table.add_column(name, justify="right", no_wrap=True)
        else:  # a name may be, a figure never
            table.add_column(name, justify="right", overflow="fold", min_width=6, max_width=8)
    return table


def _rest(
    systems: Mapping[str, Mapping[str, Mapping[str, float]]], name: str
) -> Iterable[Mapping[str, Mapping[str, float]]]:
    return (found for other, found in systems.items() if other != name)


def _figure(values: Mapping[str, float], key: str) -> str:
    return f"{values[key]:.3f}" if key in values else "–"


def _cell(standing: Standing, key: str) -> str:
    if key not in standing.values:
        return "–"
    cell = f"{standing.values[key]:.4f}"
    if key in standing.deviations:
        cell += f" ± {standing.deviations[key]:.4f}"
    interval = standing.intervals.get(key)
    return f"{cell}\n[{interval.low:.3f}, {interval.high:.3f}]" if interval else cell


def _with_interval(figure: str, interval: Sequence[float] | None, gap: str) -> str:
    """Put a score beside its interval, or above it where names leave no room."""
    return f"{figure}{gap}[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else figure


def _print_missing(console: Console, missing: Mapping[str, str]) -> None:
    """Say each reason once."""
    for why in dict.fromkeys(missing.values()):
        every = [key for key, reason in missing.items() if reason == why]
        # what the system lacks, its baselines lack too
        keys = [key for key in every if not any(key.startswith(f"{own} of ") for own in every)]
        names = ", ".join(keys) if len(keys) < 3 else f"{keys[0]} … {keys[-1]} ({len(keys)} scores)"
        text = f"{names}: not computed. {why.removeprefix('not computed: ')}"
        console.print(Text(text, style="bold"), soft_wrap=True)


def _print_leakage(console: Console, card: Mapping[str, Any]) -> None:
    _print_verbatim(console, card["leakage"]["verbatim"])
    _print_repeats(console, card["leakage"], "")
    for name, about in card["about baselines"].items():
        _dim(console, f"{name}: {_short(about, 2 * SHORT)}")


def _print_verbatim(console: Console, share: float | None) -> None:
    if share is not None:
        text = f"references that are, word for word, a training report: {share:.1%}"
        console.print(Text(text), soft_wrap=True)


def _print_repeats(console: Console, found: Mapping[str, Any], whose: str) -> None:
    if found["empty"]:
        console.print(Text(f"{whose}empty reports: {found['empty']:.1%}", style="bold"))
    text = f"; {found['most_frequent_share']:.1%} are “{_short(found['most_frequent'])}”"
    text = f"{whose}distinct reports: {found['distinct']:.1%}{text * (found['distinct'] < 1)}"
    console.print(Text(text), soft_wrap=True)


def _short(report: str, most: int = SHORT) -> str:
    """Shorten a report, and spell out what a terminal would obey."""
    report = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in report)
    return report if len(report) <= most else f"{report[: most - 1]}…"


def _dim(console: Console, text: str) -> None:
    console.print(Text(text, style="dim"), soft_wrap=True)
