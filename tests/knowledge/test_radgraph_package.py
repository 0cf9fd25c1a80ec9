"""`radgraph_package`, with another process that has a package of the same name and manners."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_knowledge.radgraph_package import RadGraphPackage
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.supply import Workbench
from rrgcore.testing import make_study

from .fake_radgraph import write_interpreter

REPORTS = ("no effusion .", "lungs clear .", "trace left-sided effusion , 2.5 cm .")


def studies(*reports: str | None) -> list[Study]:
    return [
        make_study(f"s{number}", report=report, annotations={})
        for number, report in enumerate(reports or REPORTS)
    ]


def package(folder: Path, **options: Any) -> RadGraphPackage:
    what = {key: options.pop(key) for key in ("start", "read") if key in options}
    options.setdefault("cache", str(folder / "cache.jsonl"))
    return RadGraphPackage(python=write_interpreter(folder, **what), **options)


def asked(folder: Path) -> list[list[str]]:
    path = folder / "radgraph" / "calls.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def refusal(annotator: RadGraphPackage, *reports: str) -> str:
    with pytest.raises(DataError) as error:
        list(annotator.annotate(studies(*reports)))
    return str(error.value)


def test_each_study_gets_its_entities_on_its_own_words(tmp_path: Path) -> None:
    found = list(package(tmp_path).annotate(studies()))

    assert [graph.words for graph in found] == [tuple(report.split()) for report in REPORTS]
    assert [[(e.tokens, e.label, e.start) for e in g.entities.values()] for g in found] == [
        [("effusion", "OBS-DA", 1)],
        [],
        [("effusion", "OBS-DA", 2)],
    ]


def test_xl_labels_and_hyphens_become_those_of_the_report(tmp_path: Path) -> None:
    (found,) = package(tmp_path, model_type="radgraph-xl").annotate(studies(REPORTS[2]))

    (entity,) = found.entities.values()
    assert (entity.label, entity.start, found.words[2]) == ("OBS-DA", 2, "effusion")


def test_reports_go_in_batches_and_a_text_goes_once(tmp_path: Path) -> None:
    list(package(tmp_path, batch_size=2).annotate(studies(*REPORTS, REPORTS[0])))

    assert asked(tmp_path) == [[REPORTS[0], REPORTS[1]], [REPORTS[2]]]


def test_an_empty_report_is_not_asked_about(tmp_path: Path) -> None:
    assert list(package(tmp_path).annotate(studies(""))) == [RadGraph((), {})]


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    first = list(package(tmp_path).annotate(studies()))
    calls = len(asked(tmp_path))

    assert list(package(tmp_path).annotate(studies())) == first
    assert len(asked(tmp_path)) == calls


def test_another_model_reads_for_itself(tmp_path: Path) -> None:
    list(package(tmp_path).annotate(studies(REPORTS[2])))
    list(package(tmp_path, model_type="radgraph-xl").annotate(studies(REPORTS[2])))

    assert len(asked(tmp_path)) == 2


def test_a_stopped_annotation_goes_on_where_it_was(tmp_path: Path) -> None:
    kill = 'os.kill(os.getpid(), 9) if "clear" in report else None'

    said = refusal(package(tmp_path, batch_size=1, read=kill), *REPORTS)

    assert "was ended by signal 9" in said
    assert "1 of 3 reports are read, kept in" in said
    found = list(package(tmp_path, batch_size=1).annotate(studies()))
    assert len(found) == 3
    assert asked(tmp_path) == [[REPORTS[0]], [REPORTS[1]], [REPORTS[1]], [REPORTS[2]]]


def test_a_line_that_was_cut_short_is_read_again(tmp_path: Path) -> None:
    first = list(package(tmp_path).annotate(studies()))
    cache = tmp_path / "cache.jsonl"
    cache.write_bytes(cache.read_bytes()[:-10])

    assert list(package(tmp_path).annotate(studies())) == first
    assert asked(tmp_path)[-1] == [REPORTS[2]]
    assert list(package(tmp_path).annotate(studies())) == first


def test_without_a_cache_nothing_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        list(package(tmp_path, cache=None).annotate(studies(REPORTS[0])))

    assert len(asked(tmp_path)) == 2


def test_progress_is_told_batch_by_batch(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def track(items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        seen.append((title, total))
        yield from items

    annotator = package(tmp_path, batch_size=2)
    annotator.equip(Workbench(lambda image: np.zeros((4, 4), dtype=np.uint8), track=track))
    list(annotator.annotate(studies()))

    assert seen == [("RadGraph (radgraph)", 2)]


def test_an_interpreter_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no interpreter to run at `python: /no/where`.*venv"):
        RadGraphPackage(python="/no/where").read_given()
    with pytest.raises(DataError, match="is a folder; name the interpreter in it"):
        RadGraphPackage(python=str(tmp_path)).read_given()


def test_a_missing_package_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    annotator = package(tmp_path)
    (tmp_path / "radgraph" / "__init__.py").unlink()
    (tmp_path / "radgraph").rmdir()

    said = refusal(annotator, "no effusion .")

    assert "has no package radgraph" in said
    assert "pip install radgraph 'transformers<5'" in said


@pytest.mark.parametrize(
    "start", ["from math import no_such_thing", "import no_such_module_of_radgraphs"]
)
def test_a_package_that_does_not_import_says_why(tmp_path: Path, start: str) -> None:
    said = refusal(package(tmp_path, start=start), "no effusion .")

    assert "does not load" in said
    assert "no_such" in said


def test_a_model_that_does_not_load_says_why(tmp_path: Path) -> None:
    broken = "class Broken: pass\nraise OSError('no weights in the cache')"

    said = refusal(package(tmp_path, start=broken), "no effusion .")

    assert "no weights in the cache" in said


def test_an_error_in_a_report_comes_with_its_last_words(tmp_path: Path) -> None:
    read = 'print("about to fail", file=sys.stderr); raise ValueError("too long")'

    said = refusal(package(tmp_path, read=read), "no effusion .")

    assert "radgraph failed on a report: ValueError: too long" in said
    assert "about to fail" in said


def test_a_report_that_it_skips_is_named(tmp_path: Path) -> None:
    read = 'if "clear" in report: continue'

    said = refusal(package(tmp_path, read=read), *REPORTS)

    assert "radgraph made nothing of the report of study 's1'" in said


def test_an_answer_of_another_text_is_refused(tmp_path: Path) -> None:
    read = 'report = report.replace("no", "some")'

    said = refusal(package(tmp_path, read=read), "no effusion .")

    assert "study 's0': RadGraph was run on another text than its report. From word 0" in said


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 3", "ended with code 3 when it was to start"),
        ("echo hello", "said 'hello'; expected a line of JSON"),
        ("echo '[1]'", "said '[1]'; expected a line of JSON"),
        ("""echo '{"a": 1}'""", """said '{"a": 1}'; expected that it is ready"""),
        ("""echo '{"ready": true}'; echo '{"documents": []}'; cat >&2""", "the documents of 1"),
    ],
)
def test_what_is_no_interpreter_is_told_by_what_it_says(
    tmp_path: Path, script: str, expected: str
) -> None:
    path = tmp_path / "not-python"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    annotator = RadGraphPackage(python=str(path), cache=None)

    assert expected in refusal(annotator, "no effusion .")


def test_a_study_without_report_is_refused_before_anything_runs(tmp_path: Path) -> None:
    annotator = package(tmp_path)
    with pytest.raises(DataError, match="study 's0' has no report"):
        list(annotator.annotate(studies(None)))
    assert not (tmp_path / "radgraph" / "calls.jsonl").exists()


def test_a_cache_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache.jsonl").write_text("what is this\n", "utf-8")

    assert "line 1: is none of radgraph's" in refusal(package(tmp_path), "no effusion .")
