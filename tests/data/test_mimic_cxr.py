"""MIMIC-CXR in PhysioNet's layout: what is read, and what is said of all that is missing."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_data.mimic_cxr import LARGEST_REPORT, MimicCxrSource
from rrg_data.mimic_sections import cut_report, section_of
from rrg_data.mimic_words import SECTION_OF
from rrg_data.r2gen import R2GenDataset
from rrgcore.annotations import Labels
from rrgcore.errors import DataError
from rrgcore.sources import Ledger
from rrgcore.sources.building import Order, build_dataset
from rrgcore.study import Study

from .mimic import archive, report, write_mimic, write_table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mimic(tmp_path / "mimic", archive())


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Write the archive with some of a study's facts changed."""

    def write_changed(study: int, **changes: Any) -> Path:
        patients = archive()
        for each in patients:
            if each.study == study:
                for name, value in changes.items():
                    setattr(each, name, value)
        return write_mimic(tmp_path / "changed", patients)

    return write_changed


def everything(root: Path, **options: Any) -> tuple[dict[str, Study], dict[str, str], Ledger]:
    """Read it: the studies and the splits by id, and the ledger."""
    ledger = Ledger(skip_bad=options.pop("skip_bad", False))
    found = list(MimicCxrSource(root=str(root), **options).read(ledger))
    assert len({study.id for _, study in found}) == len(found)
    return {study.id: study for _, study in found}, {s.id: split for split, s in found}, ledger


# ---- what is read ----------------------------------------------------------------------------


def test_studies_come_by_patient_with_their_official_split(root):
    studies, splits, _ = everything(root)
    assert list(studies) == ["s50000003", "s50000010", "s50000020", "s59999999"]
    assert list(splits.values()) == ["train", "train", "val", "test"]
    assert [study.subject for study in studies.values()][:2] == ["10000032", "10000032"]


def test_a_study_has_its_images_in_the_order_of_the_table(root):
    studies, _, _ = everything(root)
    study, patient = studies["s50000010"], archive()[1]
    assert [image.where for image in study.images] == [
        f"p10/p10000032/s50000010/{patient.dicom(number)}.jpg" for number in (0, 1)
    ]
    assert study.views == ("frontal", "lateral")


def test_an_image_is_opened_where_the_study_says(root):
    source = MimicCxrSource(root=str(root))
    (_, study), *_ = [found for found in source.read(Ledger()) if len(found[1].images) == 2]
    assert source.open(study.images[1]).mean() == pytest.approx(40, abs=1)


def test_reports_are_the_section_as_it_stands(root):
    studies, _, _ = everything(root)
    assert studies["s50000010"].report == "The heart is\n large."
    studies, _, _ = everything(root, text="impression")
    assert studies["s50000010"].report == "Cardiomegaly."
    studies, _, _ = everything(root, text="both")
    assert studies["s50000010"].report == "The heart is\n large. Cardiomegaly."


def test_line_ends_of_windows_are_line_breaks(changed):
    text = report("The heart is\n large.").replace("\n", "\r\n").encode()
    studies, _, _ = everything(changed(50000003, report=text))
    assert studies["s50000003"].report == "The heart is\n large."


def test_both_sections_may_be_one(root):
    assert everything(root, text="both")[0]["s50000030"].report == "Normal."


def test_the_conclusion_is_what_the_labels_were_made_from(changed):
    path = changed(50000003, report=" FINAL REPORT\n CHEST\n \n All is well.\n")
    studies, _, _ = everything(path, text="conclusion")
    assert studies["s50000003"].report == "All is well."
    assert studies["s50000010"].report == "Cardiomegaly."


def test_studies_without_findings_are_left_out_and_counted(root):
    _, _, ledger = everything(root)
    assert ledger.left_out == {"no findings": ["s50000030"]}
    _, _, ledger = everything(root, text="impression")
    assert ledger.left_out == {}


def test_r2gens_rows_are_an_image_each(root):
    studies, splits, _ = everything(root, rows="image")
    first, second = (archive()[1].dicom(number) for number in (0, 1))
    assert {first, second} <= set(studies)
    assert len(studies) == 5
    one, two = studies[first], studies[second]
    assert (one.report, one.subject, one[Labels]) == (two.report, two.subject, two[Labels])
    assert (one.views, two.views) == (("frontal",), ("lateral",))
    assert one.images[0].where.endswith(f"{first}.jpg")
    assert splits[first] == "train"
    assert one.examination == two.examination == str(archive()[1].study)
    assert all(study.examination is None for study in everything(root)[0].values())


def test_frontal_images_alone(root):
    studies, _, ledger = everything(root, views="frontal", text="impression")
    assert all(set(study.views) == {"frontal"} for study in studies.values())
    assert len(studies["s50000010"].images) == 1
    assert ledger.left_out == {
        "images whose view is lateral": [archive()[1].dicom(1), archive()[3].dicom(0)],
        "images whose view is unknown": [archive()[3].dicom(1)],
        "no frontal image": ["s50000030"],
    }


def test_labels_are_read_by_the_names_of_their_columns(root):
    studies, _, _ = everything(root)
    assert studies["s50000010"][Labels] == Labels({"Cardiomegaly": 1, "Pneumothorax": 0})
    assert studies["s50000020"][Labels] == Labels({"Edema": -1})
    studies, _, _ = everything(root, labels="negbio")
    assert studies["s50000010"][Labels] == Labels({"Fracture": 1})
    studies, _, _ = everything(root, labels="none")
    assert Labels not in studies["s50000010"].annotations


def test_the_archive_counts_what_it_holds(root):
    assert everything(root)[2].found == {"reports": 5, "images": 7}


def test_an_unpacked_table_of_another_release_is_read_too(root):
    for path in root.glob("*.csv.gz"):
        name = path.name.replace("2.0.0", "3.1").removesuffix(".gz")
        (root / name).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(everything(root)[0]) == 4


def test_a_table_and_its_unpacked_copy_are_one(root):
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    assert len(everything(root)[0]) == 4


@pytest.mark.parametrize(
    ("jpg", "txt"),
    [
        ("mimic-cxr-jpg", "mimic-cxr"),
        ("physionet.org/files/mimic-cxr-jpg/2.0.0", "physionet.org/files/mimic-cxr/2.0.0"),
        (".", "reports"),
    ],
)
def test_reports_and_images_may_lie_apart(tmp_path: Path, jpg: str, txt: str):
    path = write_mimic(tmp_path, archive(), jpg=jpg, txt=txt)
    studies, _, ledger = everything(path)
    assert len(studies) == 4
    assert ledger.missing == {}


def test_folders_may_be_named(tmp_path: Path):
    path = write_mimic(tmp_path / "a", archive(), jpg="one", txt="two")
    shutil.copytree(path / "two", path / "old")
    with pytest.raises(DataError, match=r"has reports in several folders: .*old.*two.*reports=…"):
        everything(path)
    assert len(everything(path, reports="two")[0]) == 4
    elsewhere = shutil.move(path / "one" / "files", tmp_path / "elsewhere")
    assert len(everything(path, reports="two", images=str(elsewhere))[0]) == 4


def test_jpg_is_preferred_where_there_is_dicom_too(tmp_path: Path):
    path = write_mimic(tmp_path, archive(), jpg="jpg", txt="dcm")
    for each in archive():
        file = path / "dcm" / each.folder / f"{each.dicom(0)}.dcm"
        file.parent.mkdir()
        file.write_bytes(b"")
    source = MimicCxrSource(root=str(path))
    assert source.folder() == path / "jpg" / "files"


def test_dicom_stands_in_for_jpg(root):
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    from ..core.test_dicom import RAMP8, dicom

    for path in root.rglob("*.jpg"):
        path.with_suffix(".dcm").write_bytes(dicom(RAMP8))
        path.unlink()
    source = MimicCxrSource(root=str(root))
    (_, study), *_ = source.read(Ledger())
    assert np.array_equal(source.open(study.images[0]), RAMP8)
    assert source.folder() is None


@pytest.mark.parametrize(("rows", "count"), [("study", 5), ("image", 7)])
def test_how_many_there_are_at_most_is_known_beforehand(root, rows: str, count: int):
    assert MimicCxrSource(root=str(root), rows=rows).total() == count


def test_the_fingerprint_follows_the_tables(root):
    before = MimicCxrSource(root=str(root)).fingerprint()
    assert before == MimicCxrSource(root=str(root)).fingerprint()
    rows = [{"dicom_id": "a", "study_id": "1", "subject_id": "2", "split": "test"}]
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", rows)
    assert before != MimicCxrSource(root=str(root)).fingerprint()


def test_a_built_folder_links_to_the_images(root, tmp_path: Path):
    source = MimicCxrSource(root=str(root), rows="image")
    built = build_dataset(source, tmp_path / "out", Order(source="mimic_cxr", link=True))
    rows = json.loads((tmp_path / "out" / "annotation.json").read_text())
    assert {split: len(each) for split, each in rows.items()} == {"train": 3, "val": 1, "test": 1}
    assert (tmp_path / "out" / "images" / rows["val"][0]["image_path"][0]).is_file()
    assert [row["study_id"] for row in rows["train"]] == ["50000003", "50000010", "50000010"]
    read = R2GenDataset(root=str(tmp_path / "out"), cleaning="r2gen-mimic").studies("train")
    assert [study.examination for study in read] == ["50000003", "50000010", "50000010"]
    assert built.written.annotations == {"labels": 5}


# ---- what is missing -------------------------------------------------------------------------


def test_an_image_without_a_report_is_told(changed):
    studies, _, ledger = everything(changed(50000010, report=None))
    assert "s50000010" not in studies
    assert ledger.missing == {"images without a report": ["s50000010"]}


def test_a_partial_download_is_read_as_far_as_it_goes(root):
    shutil.rmtree(root / "files" / "p10")
    studies, _, ledger = everything(root)
    assert list(studies) == ["s50000020", "s59999999"]
    assert ledger.missing == {
        "studies of the table with neither report nor image": ["s50000003", "s50000010"]
    }


def test_a_report_without_an_image_is_told(changed):
    studies, _, ledger = everything(changed(50000003, views=[]))
    assert "s50000003" not in studies
    assert ledger.missing == {"reports without an image": ["s50000003"]}


def test_a_study_without_a_split_is_told(root):
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    rows = list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    write_table(path, [row for row in rows if row["study_id"] != "50000020"])
    _, _, ledger = everything(root)
    assert ledger.missing == {"studies that the table of the split does not have": ["s50000020"]}


def test_an_image_of_the_table_without_a_file_is_told_and_the_study_kept(root):
    name = archive()[1].dicom(0)
    next(root.rglob(f"{name}.jpg")).unlink()
    studies, _, ledger = everything(root)
    assert studies["s50000010"].views == ("lateral",)
    assert ledger.missing == {"images of the table that have no file": [name]}


def test_an_image_that_the_table_lacks_is_told(root):
    shutil.copy(next(root.rglob("*/s50000020/*.jpg")), root / archive()[0].folder / "new.jpg")
    studies, _, ledger = everything(root)
    assert len(studies["s50000020"].images) == 1
    assert ledger.missing == {"image files that the table of the split does not have": ["new"]}


def test_a_study_without_labels_is_kept_and_told(changed):
    studies, _, ledger = everything(changed(50000020, labels=None))
    assert Labels not in studies["s50000020"].annotations
    assert ledger.missing == {"studies without labels, which are kept": ["s50000020"]}


def test_without_tables_of_labels_and_metadata_there_are_none(root):
    for path in [*root.glob("*chexpert*"), *root.glob("*metadata*")]:
        path.unlink()
    studies, _, ledger = everything(root)
    assert studies["s50000010"].views == ("unknown", "unknown")
    assert studies["s50000010"].annotations == {}
    assert ledger.missing == {}


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "split"), ({"views": "frontal"}, "metadata"), ({"labels": "negbio"}, "negbio")],
)
def test_a_table_that_is_needed_is_named(root, options: dict[str, str], kind: str):
    (root / f"mimic-cxr-2.0.0-{kind}.csv.gz").unlink()
    with pytest.raises(DataError) as error:
        everything(root, **options)
    assert f"no table mimic-cxr-2.0.0-{kind}.csv.gz" in str(error.value)
    assert "Tables there: mimic-cxr-2.0.0-chexpert.csv.gz" in str(error.value)


def test_a_folder_of_something_else_says_what_was_expected(tmp_path: Path):
    with pytest.raises(DataError, match=r"no images of MIMIC-CXR were found\. Expected:\n  ROOT/f"):
        everything(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        everything(tmp_path / "there")


def test_reports_that_are_still_packed_are_pointed_to(root):
    for path in root.rglob("*.txt"):
        path.unlink()
    (root / "mimic-cxr-reports.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"mimic-cxr-reports\.zip is there: unpack it first"):
        everything(root)


# ---- what is bad -----------------------------------------------------------------------------


def refused(root: Path, **options: Any) -> tuple[str, str]:
    """Return what is bad, which stops the reading, and is skipped and counted when asked."""
    with pytest.raises(DataError, match="--skip-bad"):
        everything(root, **options)
    ((name, problem),) = everything(root, skip_bad=True, **options)[2].bad
    return name, problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b" FINDINGS: \xff", "byte 11 is not UTF-8"),
        (b" " * (LARGEST_REPORT + 1), "is longer than 1,048,576 bytes"),
    ],
)
def test_a_damaged_report_is_refused_by_name(changed, text: bytes, said: str):
    name, problem = refused(changed(50000003, report=text))
    assert name == "s50000003"
    assert f"s50000003.txt: {said}" in problem


def test_a_study_in_two_splits_is_refused(root):
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    rows = list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    next(row for row in rows if row["study_id"] == "50000010")["split"] = "test"
    write_table(path, rows)
    assert refused(root) == ("s50000010", "its images are in several splits: train, test")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "dev"}, "its split is 'dev'; expected train, validate, test"),
        ({"dicom_id": "../../x"}, "'../../x' of study"),
        ({"study_id": "5e7"}, "are no ids"),
    ],
)
def test_a_row_that_is_wrong_is_numbered(root, changes: dict[str, str], said: str):
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    rows = list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    write_table(path, [*rows, rows[0] | {"dicom_id": "new"} | changes])
    name, problem = refused(root)
    assert name == f"{path}, line {len(rows) + 2}"
    assert said in problem


def test_an_image_that_is_there_twice_is_refused_and_taken_once(root):
    path = root / "mimic-cxr-2.0.0-split.csv.gz"
    rows = list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    write_table(path, [*rows, rows[0]])
    name, problem = refused(root)
    assert name.endswith(f"image {rows[0]['dicom_id']}")
    assert problem == "is there twice"
    assert len(everything(root, skip_bad=True)[0]["s50000020"].images) == 1


def test_a_table_that_is_cut_off_is_refused(root):
    path = root / "mimic-cxr-2.0.0-chexpert.csv.gz"
    path.write_bytes(path.read_bytes()[:-9])
    _, problem = refused(root)
    assert "is cut off or damaged (EOFError); download it again" in problem


def test_a_label_that_is_none_is_refused(changed):
    _, problem = refused(changed(50000020, labels={"Edema": "2.0"}))
    assert problem == "a label is '2.0'; expected 1, 0, -1 or nothing"


def test_a_column_that_is_missing_is_named_with_those_there_are(root):
    path = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    write_table(path, [{"dicom_id": "a", "View_Position": "PA"}])
    with pytest.raises(DataError, match=r"has no column 'ViewPosition'\. Did you mean"):
        everything(root)


# ---- sections --------------------------------------------------------------------------------


def test_sections_are_those_of_the_archives_own_tools(golden):
    for case in golden("mimic_sections")["cases"]:
        cut = cut_report(case["text"])
        assert list(cut.names) == case["section_names"]
        assert list(cut.texts) == case["sections"]
        assert cut.last("findings") == case["findings_last"]
        assert cut.last("impression") == case["impression_last"]
        assert cut.conclusion == case["conclusion_of_create_section_files"]


def test_headings_are_the_published_ones(shared):
    listed = json.loads((shared / "papers/golden/vocabularies.json").read_text())
    assert dict(SECTION_OF) == listed["mimic_section_spellings"]
    for words in listed["mimic_findings_substrings"]:
        assert section_of(f"xx {words} yy") == "findings"


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("IMPRESSION AND FINDINGS", "impression"),
        ("PERTINENT FINDINGS", "findings"),
        ("PORTABLE AP CHEST", "findings"),
        ("CHEST COMPARISON", "comparison"),
        ("NDICATION", "impression"),
        ("DOSE", "dose"),
    ],
)
def test_a_heading_of_another_spelling_goes_by_its_words(heading: str, section: str):
    assert section_of(heading) == section


def test_a_heading_in_the_rest_of_a_headings_line_is_text():
    cut = cut_report(" A\n FINDINGS:  NOTE:  clear.\n IMPRESSION: x")
    assert cut.texts[1:] == ("NOTE:  clear.", "x")


def test_empty_findings_give_way_to_the_ones_before():
    cut = cut_report(" A\n FINDINGS:  clear.\n FINDINGS: \n \n IMPRESSION: \n ")
    assert cut.names == ("preamble", "findings")
