"""`radgraph_file`: PhysioNet's form and the package's, on the words of the reports."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rrg_knowledge.radgraph_align import align_document
from rrg_knowledge.radgraph_file import RadGraphFile
from rrgcore.annotations import RadGraph
from rrgcore.errors import DataError
from rrgcore.study import Study
from rrgcore.testing import make_study

REPORT = "no pleural effusion . opacity of 2.5 cm , left-sided ."
V1 = "No pleural effusion . Opacity of 2 . 5 cm , left-sided ."


def entity(tokens: str, label: str, start: int, end: int, *relations: tuple[str, str]) -> Any:
    return {
        "tokens": tokens,
        "label": label,
        "start_ix": start,
        "end_ix": end,
        "relations": [list(relation) for relation in relations],
    }


def document(text: str = V1) -> Any:
    return {
        "text": text,
        "entities": {
            "1": entity("pleural", "ANAT-DP", 1, 1),
            "2": entity("effusion", "OBS-DA", 2, 2, ("located_at", "1"), ("modify", "9")),
            "3": entity("Opacity", "OBS-DP", 4, 4, ("located_at", "5")),
            "4": entity("2 . 5 cm", "OBS-DP", 6, 9, ("modify", "3")),
            "5": entity("left-sided", "ANAT-DP", 11, 11),
        },
        "data_source": "MIMIC-CXR",
        "data_split": "inference",
    }


def study(id: str = "s58821758", *, report: str | None = REPORT) -> Study:
    return make_study(id, report=report, annotations={})


def write(folder: Path, documents: Any, name: str = "graphs.json") -> str:
    path = folder / name
    path.write_text(json.dumps(documents, indent=1), encoding="utf-8")
    return str(path)


def read(path: str | list[str], *studies: Study, **options: Any) -> list[RadGraph]:
    return list(RadGraphFile(path=path, **options).annotate(studies))


def refusal(path: str, *studies: Study, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(path, *studies, **options)
    return str(error.value)


def test_physionets_file_is_laid_on_the_words_of_the_report(tmp_path: Path) -> None:
    path = write(tmp_path, {"p18/p18004941/s58821758.txt": document()})

    (graph,) = read(path, study())

    assert graph.words == tuple(REPORT.split())
    assert {e.tokens: (e.label, e.start, e.end, e.relations) for e in graph.entities.values()} == {
        "pleural": ("ANAT-DP", 1, 1, ()),
        "effusion": ("OBS-DA", 2, 2, (("located_at", "1"),)),
        "opacity": ("OBS-DP", 4, 4, (("located_at", "5"),)),
        "2.5 cm": ("OBS-DP", 6, 7, (("modify", "3"),)),
        "left-sided": ("ANAT-DP", 9, 9, ()),
    }


def test_the_packages_xl_output_is_found_by_its_text(tmp_path: Path) -> None:
    text = "no pleural effusion . opacity of 2 . 5 cm , left - sided ."
    kinds = {
        "1": entity("pleural", "Anatomy::definitely present", 1, 1),
        "2": entity("effusion", "Observation::definitely absent", 2, 2, ("located_at", "1")),
        "3": entity("opacity", "Observation::uncertain", 4, 4),
        "4": entity("2 . 5 cm", "Observation::measurement::definitely present", 6, 9),
        "5": entity("left", "Anatomy::definitely present", 11, 11),
        "6": entity("sided", "Anatomy::definitely present", 13, 13, ("modify", "5")),
    }
    path = write(
        tmp_path, {"0": {"text": "None", "entities": {}}, "1": {"text": text, "entities": kinds}}
    )

    first, second = read(path, study(), study("other", report=""), by="text")[:2]

    assert [(e.tokens, e.label) for e in first.entities.values()] == [
        ("pleural", "ANAT-DP"),
        ("effusion", "OBS-DA"),
        ("opacity", "OBS-U"),
        ("2.5 cm", "OBS-DP"),
        ("left-sided", "ANAT-DP"),
        ("left-sided", "ANAT-DP"),
    ]
    assert second == RadGraph((), {})


@pytest.mark.parametrize("key", ["58821758", "s58821758", "s58821758.txt", "a/b/s58821758.txt"])
@pytest.mark.parametrize("id", ["58821758", "s58821758"])
def test_a_study_of_mimic_is_found_however_it_is_written(tmp_path: Path, key: str, id: str) -> None:
    path = write(tmp_path, {key: document()})

    assert len(read(path, study(id))) == 1


def test_an_image_is_found_by_the_examination_that_it_is_of(tmp_path: Path) -> None:
    path = write(tmp_path, {"p18/p18004941/s58821758.txt": document()})

    assert len(read(path, replace(study("0f5-dicom"), examination="58821758"))) == 1


def test_several_files_are_one_and_gzip_is_read(tmp_path: Path) -> None:
    first = write(tmp_path, {"a": document()}, "a.json")
    second = tmp_path / "b.json.gz"
    second.write_bytes(gzip.compress(json.dumps({"b": document()}).encode()))

    found = read([first, str(second)], study("b"), study("a"))

    assert len(found) == 2
    assert "a.json (sha256 " in RadGraphFile(path=[first, str(second)]).fingerprint()


def test_the_same_study_twice_must_say_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, {"x/a.txt": document(), "y/a.txt": document()})
    assert len(read(path, study("a"))) == 1

    other = document() | {"entities": {}}
    path = write(tmp_path, {"x/a.txt": document(), "y/a.txt": other})
    assert "study 'a' has different documents: 'x/a.txt'" in refusal(path, study("a"))


def test_another_text_is_refused_by_study_and_first_word(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": document("No pleural fluid . " + V1)})

    said = refusal(path, study("a"))

    assert "study 'a'" in said
    assert "graphs.json, 'a'" in said
    assert "From word 2 the report has 'effusion . opacity of', RadGraph 'fluid . no" in said


def test_studies_without_a_document_are_named_before_any_is_given(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": document()})

    said = refusal(path, study("a"), study("b"), study("c"))

    assert "no document for 2 of 3 studies 'b', 'c'; it has 1 documents, the first 'a'" in said


def test_who_asks_the_packages_numbers_by_id_is_told_of_text(tmp_path: Path) -> None:
    path = write(tmp_path, {"0": document(), "1": document()})

    assert "`by: text`" in refusal(path, study("a"))


def test_punctuation_may_be_ignored(tmp_path: Path) -> None:
    cleaned = "no pleural effusion . opacity of 25 cm left-sided ."
    commas = document()
    commas["entities"]["6"] = entity(",", "OBS-DP", 10, 10, ("modify", "3"))
    path = write(tmp_path, {"a": commas})
    assert "another text" in refusal(path, study("a", report=cleaned))

    for by, id in (("id", "a"), ("text", "unnamed")):
        (graph,) = read(path, study(id, report=cleaned), punctuation="ignored", by=by)
        assert graph.words == tuple(cleaned.split())
        assert [e.tokens for e in graph.entities.values()] == [
            *("pleural", "effusion", "opacity", "25 cm", "left-sided")
        ]


def test_words_that_radgraph_joined_are_parted() -> None:
    joined = {"text": "2.5cm nodule", "entities": {"1": entity("2.5cm", "OBS-DP", 0, 0)}}

    graph = align_document(joined, "2.5 cm nodule", study="a")

    assert [(e.tokens, e.start, e.end) for e in graph.entities.values()] == [("2.5 cm", 0, 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "expected {, found [1]"),
        ("", "expected {, found its end"),
        ('{"a": 1}', "expected {, found 1}"),
        ('{"a": {"text": "x"', "Expecting ',' delimiter"),
        ('{"a": {"text": "x", "entities": {}}; "b"', "found ; "),
    ],
)
def test_what_is_no_file_of_radgraphs_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "graphs.json"
    path.write_text(text, encoding="utf-8")

    said = refusal(str(path), study("a"))

    assert "is no file of RadGraph's" in said
    assert expected in said


def test_a_document_without_entities_and_a_strange_label_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": {"text": V1}})
    assert "study 'a' (" in refusal(path, study("a"))
    assert "not a RadGraph document (KeyError: 'entities')" in refusal(path, study("a"))

    strange = {"text": V1, "entities": {"1": entity("pleural", "FINDING", 1, 1)}}
    path = write(tmp_path, {"a": strange})
    assert "has the label 'FINDING'" in refusal(path, study("a"))


def test_files_that_are_not_there_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file of RadGraph's at .*nowhere\.json"):
        RadGraphFile(path=str(tmp_path / "nowhere.json")).read_given()
    with pytest.raises(ValueError, match="empty list"):
        RadGraphFile(path=[])


def test_a_study_without_report_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": document()})

    assert "study 'a' has no report" in refusal(path, study("a", report=None))
