"""The table of an ablation as text: Markdown, LaTeX, CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rrgcore.ablation.changes import Change
from rrgcore.ablation.pool import duration
from rrgcore.ablation.table import Cell, Line, Table

NOTHING = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "Δ": r"$\Delta$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "·": r"$\cdot$",
    "<": "$<$",
    ">": "$>$",
    "|": r"$|$",
    "[": "{[}",  # after \\ a bare one would be read as a length
    "]": "{]}",
}
"""What LaTeX reads as something else, and what its fonts may lack."""


def to_markdown(table: Table) -> str:
    """Write tables of the scores and of the differences, and below them what must be read."""
    heading, body = _scores(table)
    parts = [_title(table), _markdown(heading, body)]
    if differences := _differences(table):
        parts += [f"Differences from {table.reference}, 95 % intervals:", _markdown(*differences)]
    for sentences in (table.verdicts, table.notes):
        if sentences:
            parts.append("\n".join(f"- {_markdown_cell(text)}" for text in sentences))
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table) -> str:
    r"""Write the same for a paper, in the manner of booktabs: \usepackage{booktabs}."""
    parts = [_latex(*_scores(table), _title(table), (*table.verdicts, *table.notes))]
    if differences := _differences(table):
        caption = f"Differences from {table.reference}, with 95 % intervals"
        parts.append(_latex(*differences, caption))
    return "\n".join(parts)


def to_csv(table: Table) -> str:
    """Write one line a row, every number in a column of its own, unrounded."""
    rows = [_record(line, table) for line in table.lines]
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(table: Table) -> dict[str, Any]:
    """Return everything that the table knows."""
    found = asdict(table)
    for line, shown in zip(table.lines, found["lines"], strict=True):
        for metric, each in line.changes.items():
            shown["changes"][metric]["distinguishable"] = each.distinguishable
    return found


# ---- cells ----------------------------------------------------------------------------------


def _title(table: Table) -> str:
    base = f" ({' + '.join(table.base)})" if table.base else ""
    return f"Ablation of {table.recipe}{base}"


def _scores(table: Table) -> tuple[list[str], list[list[str]]]:
    averaged = [f"AVG.Δ to {table.reference}"] if table.delta else []
    heading = ["", *map(table.short, table.metrics), *averaged]
    heading += ["seeds", "training", "whole", "parameters (trainable / all)"]
    body = []
    for line in table.lines:
        cells = [line.label, *(_figure(line.figures.get(metric)) for metric in table.metrics)]
        cells += [_average(line)] if table.delta else []
        cells += [
            f"{len(line.seeds)} of {len(line.asked)}",
            duration(line.training_s),
            duration(line.whole_s),
            _parameters(line),
        ]
        body.append(cells)
    return heading, body


def _differences(table: Table) -> tuple[list[str], list[list[str]]] | None:
    lines = [line for line in table.lines if line.changes]
    if not lines:
        return None
    body = [
        [line.label, *(_change(line.changes.get(metric)) for metric in table.metrics)]
        for line in lines
    ]
    return ["", *map(table.short, table.metrics)], body


def _figure(figure: Cell | None) -> str:
    if figure is None:
        return NOTHING
    if figure.deviation is not None:
        return f"{figure.value:.3f} ± {figure.deviation:.3f}"
    if figure.interval is not None:
        return f"{figure.value:.3f} [{figure.interval.low:.3f}, {figure.interval.high:.3f}]"
    return f"{figure.value:.3f}"


def _change(found: Change | None) -> str:
    if found is None:
        return NOTHING
    p = "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}], p {p}"


def _average(line: Line) -> str:
    if line.average is None:
        return NOTHING
    between = line.average_interval
    if between is None:
        return f"{line.average:+.1%}"
    return f"{line.average:+.1%} [{between.low:+.1%}, {between.high:+.1%}]"


def _parameters(line: Line) -> str:
    if line.trainable is None or line.parameters is None:
        return NOTHING
    return f"{_count(line.trainable)} / {_count(line.parameters)}"


def _count(number: int) -> str:
    """Write a count of parameters as papers do: 26.1K, 1.25M, 6.74B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _record(line: Line, table: Table) -> dict[str, Any]:
    record: dict[str, Any] = {
        "row": line.label,
        "variants": "+".join((*table.base, *line.variants)),
        "seeds asked": len(line.asked),
        "seeds": " ".join(map(str, line.seeds)),
    }
    for metric in table.metrics:
        figure, found = line.figures.get(metric), line.changes.get(metric)
        interval = figure.interval if figure else None
        record |= {
            metric: figure.value if figure else None,
            f"{metric} sd": figure.deviation if figure else None,
            f"{metric} low": interval.low if interval else None,
            f"{metric} high": interval.high if interval else None,
            f"{metric} difference": found.value if found else None,
            f"{metric} difference low": found.low if found else None,
            f"{metric} difference high": found.high if found else None,
            f"{metric} p": found.p if found else None,
            f"{metric} distinguishable": found.distinguishable if found else None,
        }
    if table.delta:
        between = line.average_interval
        record |= {
            "AVG.Δ": line.average,
            "AVG.Δ low": between.low if between else None,
            "AVG.Δ high": between.high if between else None,
        }
    return record | {
        "training_s": line.training_s,
        "whole_s": line.whole_s,
        "trainable": line.trainable,
        "parameters": line.parameters,
    }


# ---- forms ----------------------------------------------------------------------------------


def _markdown(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rules = ["---", *["---:"] * (len(heading) - 1)]
    rows = [[_markdown_cell(cell) for cell in row] for row in (heading, *body)]
    lines = [rows[0], rules, *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _latex(
    heading: Sequence[str],
    body: Sequence[Sequence[str]],
    caption: str,
    notes: Sequence[str] = (),
) -> str:
    rows = [" & ".join(map(_escaped, row)) + r" \\" for row in (heading, *body)]
    below = [rf"{_escaped(note)}\par" for note in notes]
    if below:
        open_, close = r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize", r"\end{minipage}"
        below = [open_, *below, close]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *below,
            r"\end{table}",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
