"""What a check found, as Markdown that reads well in a terminal too."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rrgcore.chest import VIEWS
from rrgcore.data_check.checked import COLUMNS, Checked
from rrgcore.data_check.findings import Finding
from rrgcore.data_check.raw import marks_of
from rrgcore.data_check.texts import LIMITS, Texts, times

SHOWN: Final = 10
"""Sentences of a kind that are printed; JSON has them all."""
BARS: Final = 12
BAR_WIDTH: Final = 40
STEPS: Final = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
NONE: Final = "–"


def report_lines(checked: Checked) -> Iterator[str]:
    """Yield the statistics, the lengths, what cleaning does, annotations, then the problems."""
    yield from table(["", *COLUMNS], [[title, *cells] for title, cells in _rows(checked)])
    yield ""
    yield from _notes(checked)
    if checked.texts.all.reports:
        yield ""
        yield from _histogram(checked.texts.all)
    for errors in (True, False):
        found = [each for each in checked.findings if each.is_error is errors]
        if found:
            yield ""
            yield "Would corrupt a result:" if errors else "Worth a look:"
            for each in found:
                yield from _sentences(each)


def verdict(checked: Checked) -> str:
    """Say in a line how it went."""
    counts = [
        sum(len(each.sentences) for each in checked.findings if each.is_error is errors)
        for errors in (True, False)
    ]
    errors, warnings = (
        f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
        for count, noun in zip(counts, ("error", "warning"), strict=True)
    )
    return f"{errors}, {warnings}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table, its columns aligned; all but the first are figures."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    yield line(head)
    rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    yield f"| {' | '.join(rules)} |"
    yield from map(line, rows)


def _rows(checked: Checked) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the statistics: first those that papers print."""
    texts = [checked.texts_of(column) for column in COLUMNS]
    images = [checked.images_of(column) for column in COLUMNS]
    marks = [checked.marks_of(column) for column in COLUMNS]
    reading = checked.texts.reading
    yield "images", [f"{each.count:,}" for each in images]
    yield "reports", [f"{each.reports:,}" for each in texts]
    yield "mean length in words", [_mean(each) for each in texts]
    yield "studies", [f"{checked.studies[column]:,}" for column in COLUMNS]
    if (patients := checked.patients) is not None:
        yield "patients", [f"{patients[column]:,}" for column in COLUMNS]
    for view in VIEWS:
        if checked.images.all.views[view]:
            title = f"{view} views" if view != "unknown" else "views not known"
            yield title, [f"{each.views[view]:,}" for each in images]
    if checked.images.all.missing:
        yield "missing images", [f"{each.missing:,}" for each in images]
    if checked.images.all.unreadable:
        yield "unreadable images", [f"{each.unreadable:,}" for each in images]
    yield "images of a study", [_span(each.of_a_study) for each in images]
    for percent in (5, 50, 95):
        title = "median length" if percent == 50 else f"{percent}th percentile"
        yield title, [_quantile(each, percent) for each in texts]
    yield "longest report", [f"{max(each.lengths):,}" if each.reports else NONE for each in texts]
    for limit, whose in LIMITS.items():
        yield (
            f"over {limit} words (R2Gen's limit, {whose})",
            [_part(each.longer_than(limit), each.reports) for each in texts],
        )
    yield (
        f"cut at {reading.max_tokens} tokens ({reading.tokenizer_name})",
        [_part(each.cut, each.reports) for each in texts],
    )
    if checked.texts.knows_words:
        for least in reading.thresholds:
            title = f"in train < {least} times" if least > 1 else "not in train"
            unknown = [_part(each.unknown_words[least], each.total_words) for each in texts]
            yield f"words {title}", unknown
            yield "… reports with one", [_part(t.with_unknown[least], t.reports) for t in texts]
    if checked.texts.all.unknown_tokens is not None:
        yield "unknown tokens", [_part(each.unknown_tokens or 0, each.tokens) for each in texts]
    distinct = [checked.distinct_of(column) for column in COLUMNS]
    yield (
        "different reports",
        [_part(count, each.reports) for count, each in zip(distinct, texts, strict=True)],
    )
    copied = [
        _part(checked.texts.copied(column), checked.texts_of(column).reports)
        if checked.texts.can_copy(column)
        else NONE
        for column in COLUMNS
    ]
    yield "same as a train report", copied
    for mark in marks_of(checked.raw.of):
        yield (
            f"reports with {mark}",
            [_part(each.in_reports[mark], each.reports) for each in marks],
        )


def _notes(checked: Checked) -> Iterator[str]:
    """Yield a line for each thing that is no figure of a split."""
    if any(each.kind == "rows" for each in checked.findings):
        yield "Rows that are wrong are told below, and not counted above."
    texts, raw = checked.texts, checked.raw
    sizes = [f"{times(n)} or more {texts.vocabulary(n):,}" for n in texts.reading.thresholds]
    yield (
        f"Vocabulary: of the words of the training reports, {', '.join(sizes)} "
        "(special tokens come on top; R2Gen's <unk> is one more)."
    )
    would = "would change" if raw.is_tried else "changes"
    if raw.reports:
        yield (
            f"Cleaning by {raw.rule} {would} what {_part(raw.changed, raw.reports)} reports say: "
            f"it merges decimals in {_part(raw.with_merged, raw.reports)}{_examples(raw.merged)} "
            f"and glues words in {_part(raw.with_glued, raw.reports)}{_examples(raw.glued)}."
        )
    left = raw.all
    for mark in marks_of(raw.of):
        yield (
            f"De-identification: {mark} {times(left.found[mark])}; "
            f"{_part(left.words_left[mark], left.words)} of the words of the cleaned reports."
        )
    total = checked.studies["all"]
    for slug, counts in checked.annotations.of.items():
        covered = ", ".join(f"{n:,} {split}" for split, n in counts.items())
        share = _part(sum(counts.values()), total)
        yield f"Annotations {slug}: {share} of the studies ({covered})."
    for slug, file in checked.annotations.files.items():
        if slug not in checked.annotations.of:
            yield f"Annotations {slug}: a file of {file['lines']:,} lines."
    if not (checked.annotations.of or checked.annotations.files):
        yield "Annotations: none."
    if checked.patients is None:
        yield "Patients: the data does not tell them, so that none could be found in two splits."
    images = checked.images.all
    if not images.opened and images.count and not (images.missing or images.unreadable):
        yield "Images: none was opened, so that none could be found damaged or in two splits."
    if checked.caution:
        yield checked.caution


def _histogram(texts: Texts) -> Iterator[str]:
    """Yield a bar for each stretch of lengths; the last is open."""
    far = texts.quantile(99)
    step = next((step for step in STEPS if step * BARS > far), STEPS[-1])
    bars: dict[int, int] = {}
    for length, count in texts.lengths.items():
        bar = min(length // step, BARS - 1)
        bars[bar] = bars.get(bar, 0) + count
    most = max(bars.values())
    yield "Reports by length in words:"
    for bar in range(min(bars), max(bars) + 1):
        low, count = bar * step, bars.get(bar, 0)
        stretch = f"{low}+" if bar == BARS - 1 else f"{low}–{low + step - 1}"
        yield f"  {stretch:>9}  {'█' * round(BAR_WIDTH * count / most):<{BAR_WIDTH}} {count:,}"


def _sentences(finding: Finding) -> Iterator[str]:
    count = len(finding.sentences)
    yield f"- {finding.title}: {count:,}"
    for sentence in finding.sentences[:SHOWN]:
        yield f"  - {_printable(sentence)}"
    if count > SHOWN:
        yield f"  - and {count - SHOWN:,} more"


def _mean(texts: Texts) -> str:
    return NONE if texts.mean is None else f"{texts.mean:.2f}"


def _quantile(texts: Texts, percent: int) -> str:
    return f"{texts.quantile(percent):,}" if texts.reports else NONE


def _part(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else NONE


def _span(counts: Any) -> str:
    if not counts:
        return NONE
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least}–{most}"


def _printable(text: str) -> str:
    """Escape what would move the cursor, and what no terminal can be sent; lines become one."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode()
        for c in " ".join(text.split("\n"))
    )


def _examples(examples: Sequence[str]) -> str:
    return f" ({', '.join(examples)})" if examples else ""
