"""The quickstart and the guides to data, followed from the top of a page to its end.

What a page trains in minutes or hours is trained here for a few steps; every other command is given
as it stands.
"""

import csv
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from rrgcore import load_recipe
from rrgcore.cli import make_app
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered

from ..data.mimic import write_mimic
from ..data.openi import write_openi
from .pages import commands_of
from .tutorials import GUIDES, PAPERS, QUICKSTART, SMALL, short, steps

NAMES = dict(commands_of(typer.main.get_command(make_app())))
TINY = Path("runs/tiny")


@pytest.fixture
def here(rrg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where a reader is; without Java: METEOR has tests of its own."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("RRG_DATA", os.getcwd())
    return Path.cwd()


@pytest.fixture
def plans(plugins: Discovered) -> Callable[[list[str]], list[Plan]]:
    """Check the recipes of a command: names, options, types, references and capabilities."""

    def check(words: list[str]) -> list[Plan]:
        options = options_of(words)
        named = [*options.get("recipes", ()), *filter(None, [options.get("recipe")])]
        overrides = [w for w in named if "=" in w] + list(options.get("overrides") or ())
        variants = options["variant"] or ()
        return [
            load_recipe(word, variants=variants, overrides=overrides, plugins=plugins).plan
            for word in named
            if "=" not in word
        ]

    return check


@pytest.fixture
def follow(
    here: Path, rrg: Callable[..., Any], plans: Callable[[list[str]], list[Plan]]
) -> Callable[..., list[str]]:
    """Do what a page says, and return what each command said.

    A run on phantoms that takes minutes is checked, and the tiny one stands in its place; one on
    data of one's own is trained for a few steps. Of one that starts from published weights nothing
    but the recipe is checked. `figures` are drawn in place of all.
    """

    def do(
        page: Path,
        *,
        small: Sequence[str] = (),
        figures: Sequence[str] = (),
        instead: Mapping[str, str] | None = None,
    ) -> list[str]:
        said = []
        for kind, words in steps(page):
            if kind == "save":
                Path(words[0]).write_text(words[1], encoding="utf-8")
                continue
            words = [(instead or {}).get(word, word) for word in words]
            if words[0] == "explain":
                words += [word for name in figures for word in ("--figure", name)]
            if words[0] in ("run", "check", "show"):
                words = prepared(words, small)
            if words:
                done = rrg(*words)
                said.append(done.out + done.err)
                assert done.code == 0, f"rrg {shlex.join(words)}\n{done.err}"
        return said

    def prepared(words: list[str], small: Sequence[str]) -> list[str]:
        checked = plans(words)
        variants = set(options_of(words)["variant"] or ())
        if all(plan.dataset.name == "phantom" for plan in checked):
            if "tiny" in variants:
                return words
            if words[0] == "run":
                shutil.copytree(TINY, options_of(words)["out"])
        elif not variants & PAPERS:
            return [*words, *SMALL, *short(checked[0].stages), *small]
        return []

    return do


def options_of(words: list[str]) -> dict[str, Any]:
    return NAMES[words[0]].make_context(words[0], words[1:]).params


# ---- what takes seconds ----------------------------------------------------------------------


def test_the_quickstart_leads_to_an_explained_prediction(follow: Callable[..., list[str]]) -> None:
    follow(QUICKSTART, figures=["attention"])

    assert Path("runs/first/page.html").stat().st_size > 10_000
    assert len(Path("reports.jsonl").read_text().splitlines()) == 8
    assert list(Path("runs/first/explain").glob("attention-*.png"))


@pytest.mark.parametrize("page", sorted(GUIDES.glob("*.md")), ids=lambda page: page.stem)
def test_the_recipes_of_a_guide_are_recipes(
    page: Path, here: Path, plans: Callable[[list[str]], list[Plan]]
) -> None:
    count = 0
    for kind, words in steps(page):
        if kind == "save":
            Path(words[0]).write_text(words[1], encoding="utf-8")
        elif words[0] in ("run", "check", "show"):
            count += len(plans(words))
    assert count > 3


# ---- from the files to a report --------------------------------------------------------------


@pytest.mark.slow
def test_the_quickstart_draws_every_figure(follow: Callable[..., list[str]]) -> None:
    follow(QUICKSTART)

    pictures = {path.stem.partition("-")[0] for path in Path("runs/first/explain").glob("*.png")}
    assert pictures >= {"attention", "reconstruction", "retrieval", "matching", "pointing"}


@pytest.mark.slow
def test_open_i_s_files_become_a_model(follow: Callable[..., list[str]]) -> None:
    write_openi(Path("openi"))

    said = follow(GUIDES / "iu_xray.md")

    assert "4 studies (2 train, 1 val, 1 test)" in said[0]
    assert Path("iu_model/card.md").is_file()
    assert Path("runs/iu/explain/explain.json").is_file()


@pytest.mark.slow
def test_physionet_s_files_become_a_model(follow: Callable[..., list[str]]) -> None:
    write_mimic(Path("mimic"))

    follow(GUIDES / "mimic_cxr.md")

    assert len(Path("reports.jsonl").read_text().splitlines()) == 3
    assert Path("runs/mimic/page.html").is_file()


@pytest.mark.slow
def test_a_hospital_s_dicom_files_become_a_model(follow: Callable[..., list[str]]) -> None:
    write_hospital(Path("hospital"), Path("incoming"))

    follow(GUIDES / "hospital.md")

    with open("reports.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert len(Path("studies.jsonl").read_text().splitlines()) == 2
    written = [*Path("runs/hospital").rglob("*"), *Path("hospital_model").rglob("*")]
    assert [p for p in written if p.is_file() and b"Secret" in p.read_bytes()] == []


@pytest.mark.slow
def test_open_i_s_real_files_become_a_model(follow: Callable[..., list[str]], shared: Path) -> None:
    real = shared / "data" / "iu_xray"
    Path("openi").mkdir()
    shutil.copy(real / "NLMCXR_reports_trainval.tgz", "openi/NLMCXR_reports.tgz")
    shutil.copytree(real / "NLMCXR_png", "openi/NLMCXR_png")
    films = {
        "openi/NLMCXR_png/CXR2279_IM-0865-2001.png": "openi/NLMCXR_png/CXR25_IM-1024-2001.png",
        "CXR2279_IM-0865": "CXR7_IM-2263",
    }

    said = follow(
        GUIDES / "iu_xray.md", small=["data.splits={val: train, test: train}"], instead=films
    )

    assert "3 studies (3 train, 0 val, 0 test)" in said[0]


# ---- a hospital ------------------------------------------------------------------------------


def write_hospital(root: Path, incoming: Path) -> None:
    """Studies of one view or two, a patient each; and films that have no report yet."""
    pytest.importorskip("pydicom", reason="rrg[dicom] is not installed")
    rows = [("accession", "patient", "findings", "frontal", "lateral")]
    for number in range(24):
        name = f"A{1000 + number}"
        views = [f"{name}_pa.dcm", f"{name}_lat.dcm" if number % 2 else ""]
        side = ("left", "right")[number % 3 == 0]
        rows.append(
            (name, f"P{number}", f"There is a {side} pleural effusion, {number} cm.", *views)
        )
        for view in filter(None, views):
            write_dicom(root / "images" / view, seed=len(view) + 7 * number)
    write_table(root / "reports.csv", rows)
    films = [f"B{number}_{view}.dcm" for number in range(2) for view in ("pa", "lat")]
    for number, film in enumerate(films):
        write_dicom(incoming / film, seed=500 + number)
    pairs = zip(films[::2], films[1::2], strict=True)
    named = [("accession", "frontal", "lateral"), *((f"B{n}", *two) for n, two in enumerate(pairs))]
    write_table(incoming / "studies.csv", named)


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_dicom(path: Path, *, seed: int) -> None:
    """A film of 12 bits that says whose it is."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    path.parent.mkdir(parents=True, exist_ok=True)
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    film.PatientName = "Secret^Name"
    film.Rows, film.Columns, film.SamplesPerPixel = 80, 70, 1
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    film.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(seed).integers(0, 4096, (80, 70), dtype=np.uint16)
    film.PixelData = pixels.astype("<u2").tobytes()
    film.save_as(path, enforce_file_format=True)
