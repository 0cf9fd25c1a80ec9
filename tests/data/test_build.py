"""`rrg data build`: an archive as it is downloaded becomes a data set, or a sentence."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rrg_data.r2gen import R2GenDataset
from rrgcore.options import load_source
from rrgcore.plugins import Discovered

from .openi import LISTED, names_of, report_xml, reports_of, write_openi, write_png, write_tgz

Rrg = Callable[..., Any]


@pytest.fixture
def openi(tmp_path: Path) -> Path:
    return write_openi(tmp_path / "openi")


def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((folder / "annotation.json").read_text())
    return found


def left_out(folder: Path) -> list[list[str]]:
    lines = (folder / "left_out.jsonl").read_text().splitlines()
    return [list(json.loads(line).values()) for line in lines]


def assert_refused(answer: Any, *said: str, leaves: tuple[str, ...] = ()) -> None:
    assert answer.code == 2, answer
    for text in said:
        assert text in answer.err, answer.err
    assert "Traceback" not in answer.err + answer.out
    assert tuple(sorted(path.name for path in Path.cwd().iterdir())) == leaves


# ---- what it says -----------------------------------------------------------------------------


def test_one_command_builds_what_a_recipe_reads(rrg: Rrg, openi: Path) -> None:
    answer = rrg("data", "build", "iu_xray", openi, "my iu", "--size", "24")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "iu_xray: 4 reports, 8 images",
        "my iu: 4 studies (2 train, 1 val, 1 test), 8 images, annotations: none",
        "left out by the selection: nothing",
        "missing: nothing",
        "bad: nothing",
        "To read it in a recipe: data.name=r2gen 'data.root=my iu' data.cleaning=r2gen-iu",
    ]
    data = R2GenDataset(root="my iu")
    assert data.studies("train")[0].report == "the lungs are clear ."
    assert data.open(data.studies("test")[0].images[1]).shape == (24, 32)


def test_what_is_left_out_is_counted_by_reason_and_listed_by_name(rrg: Rrg, openi: Path) -> None:
    one, two, val, test = LISTED
    files = reports_of(one, two) | reports_of(val, findings=None) | reports_of(test)
    files["ecgen-radiology/9.xml"] = report_xml("CXR9", names_of("CXR9_IM-9"))
    files["ecgen-radiology/8.xml"] = "<eCitation>"
    write_tgz(openi / "NLMCXR_reports.tgz", files)
    (openi / "NLMCXR_png" / f"{names_of(two)[1]}.png").unlink()
    corrupt = openi / "NLMCXR_png" / f"{names_of(test)[0]}.png"
    corrupt.write_bytes(corrupt.read_bytes()[:200])

    answer = rrg("data", "build", "iu_xray", openi, "out", "--skip-bad")
    assert answer.code == 0
    assert answer.out.splitlines()[:-1] == [
        "iu_xray: 6 reports, 7 images",
        "out: 1 study (1 train, 0 val, 0 test), 2 images, annotations: none",
        "left out by the selection:",
        f"  1: no findings ({val})",
        "  1: not one of R2Gen's studies (CXR9_IM-9)",
        "missing:",
        f"  1: images that are not in NLMCXR_png ({names_of(two)[1]})",
        f"  1: studies left out, since not all of their images are there ({two})",
        "bad, and skipped: 2",
        "  ecgen-radiology/8.xml: is not well-formed XML (no element found: line 1, column 11)",
        f"  {test}: image {corrupt}: is damaged (image file is truncated); copy or download it "
        "again",
        "Each is named in out/left_out.jsonl",
    ]
    assert [line[:2] for line in left_out(Path("out"))] == [
        [val, "selection"],
        ["CXR9_IM-9", "selection"],
        [names_of(two)[1], "missing"],
        [two, "missing"],
        ["ecgen-radiology/8.xml", "bad"],
        [test, "bad"],
    ]
    record = json.loads(Path("out/build.json").read_text())
    assert (record["studies"], record["images"]) == ({"train": 1, "val": 0, "test": 0}, 2)
    assert (record["bad"], sum(record["missing"].values())) == (2, 2)


def test_images_that_no_report_names_are_counted_and_listed(rrg: Rrg, openi: Path) -> None:
    write_png(openi / "NLMCXR_png" / "CXR9_IM-0009-1001.png")
    answer = rrg("data", "build", "iu_xray", openi, "out")
    assert answer.code == 0
    assert "  1: images that no report names (CXR9_IM-0009-1001.png)" in answer.out.splitlines()
    assert left_out(Path("out")) == [
        ["CXR9_IM-0009-1001.png", "missing", "images that no report names"]
    ]


# ---- what is bad ------------------------------------------------------------------------------


def test_something_bad_stops_the_build_with_its_name(rrg: Rrg, openi: Path) -> None:
    data = (openi / "NLMCXR_reports.tgz").read_bytes()
    (openi / "NLMCXR_reports.tgz").write_bytes(data[:-40])
    answer = rrg("data", "build", "iu_xray", openi, "out", "--workers", "1")
    assert answer.code == 2
    problem, skip, kept = answer.err.splitlines()
    assert problem.startswith("NLMCXR_reports.tgz: is cut off or damaged after ")
    assert skip == "--skip-bad leaves such things out, and counts them"
    assert kept.startswith(f"What was done is kept in {Path.cwd() / 'out.partial'}: the same")
    assert [path.name for path in Path.cwd().iterdir()] == ["out.partial"]

    answer = rrg("data", "build", "iu_xray", openi, "out", "--skip-bad")
    assert answer.code == 0
    assert "bad, and skipped: 1\n  NLMCXR_reports.tgz: is cut off" in answer.out
    assert [path.name for path in Path.cwd().iterdir()] == ["out"]


def test_a_corrupt_image_stops_the_build_with_its_name(rrg: Rrg, openi: Path) -> None:
    name = f"{names_of(LISTED[0])[1]}.png"
    (openi / "NLMCXR_png" / name).write_bytes(b"\x89PNG")
    answer = rrg("data", "build", "iu_xray", openi, "out")
    assert_refused(answer, f"{LISTED[0]}: image {openi / 'NLMCXR_png' / name}: is not an image")


def test_a_build_that_was_stopped_goes_on_where_it_was(rrg: Rrg, openi: Path) -> None:
    scan = openi / "NLMCXR_png" / f"{names_of(LISTED[-1])[1]}.png"
    whole = scan.read_bytes()
    scan.write_bytes(b"")
    # with one thread the last study is alone when it fails
    build = ("data", "build", "iu_xray", openi, "out", "--workers", "1")
    assert "What was done is kept in" in rrg(*build).err
    kept = Path("out.partial/images") / LISTED[0] / "0.png"
    made = kept.stat().st_ino

    assert "size was 512, is now 64" in rrg(*build, "--size", "64").err
    scan.write_bytes(whole)
    again = rrg(*build)
    assert again.code == 0
    assert again.err.startswith(f"Going on with {Path.cwd() / 'out.partial'}: ")
    assert again.err.endswith(" images are there already\n")
    assert (Path("out/images") / LISTED[0] / "0.png").stat().st_ino == made
    assert [len(each) for each in rows(Path("out")).values()] == [2, 1, 1]
    assert_refused(rrg(*build), "out is not empty", leaves=("out",))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["iu_xry", "x", "out"], ["no source called 'iu_xry'. Did you mean 'iu_xray'?"]),
        (
            ["iu_xray", "nowhere", "out"],
            ["the folder nowhere does not exist", "NLMCXR_png"],
        ),
        (["iu_xray", "OPENI", "out", "selct=all"], ["no option 'selct'. Did you mean 'select'?"]),
        (["iu_xray", "OPENI", "out", "select=al"], ["select (", "one of 'r2gen', 'all', got 'al'"]),
        (["iu_xray", "OPENI", "out", "select"], ["expected OPTION=VALUE, with an option of this"]),
        (["iu_xray", "OPENI", "out", "root=x"], ["ROOT, the second argument, says it already"]),
        (["iu_xray", "OPENI", "out", "selct=a", "text=b"], ["2 problems", "selct", "text"]),
        (["iu_xray", "$NOWHERE_AT_ALL", "out"], ["NOWHERE_AT_ALL", "is not set"]),
        (["iu_xray", "OPENI", "out", "--size", "8"], ["--size is 8; expected at least 16, or 0"]),
        (["iu_xray", "OPENI", "out", "--workers", "0"], ["Invalid value for '--workers'"]),
        (["iu_xray", "OPENI", "."], [". is the folder that you are in"]),
        (["iu_xray", "OPENI"], ["Missing argument 'OUT'"]),
    ],
)
def test_a_mistake_exits_with_2_and_leaves_nothing(
    arguments: list[str], said: list[str], rrg: Rrg, openi: Path
) -> None:
    words = [str(openi) if word == "OPENI" else word for word in arguments]
    assert_refused(rrg("data", "build", *words), *said)


# ---- links ------------------------------------------------------------------------------------


def test_images_may_stay_where_they_are(rrg: Rrg, openi: Path) -> None:
    answer = rrg("data", "build", "iu_xray", openi, "out", "--link")
    assert "No image was opened; rrg data check r2gen root=out opens them" in answer.out
    assert Path("out/images").resolve() == openi / "NLMCXR_png"
    data = R2GenDataset(root="out")
    assert [image.where for image in data.studies("val")[0].images] == [
        f"{name}.png" for name in names_of(LISTED[2])
    ]
    assert data.open(data.studies("val")[0].images[0]).shape == (30, 40)


def test_dicom_is_not_linked(rrg: Rrg, openi: Path) -> None:
    (openi / "NLMCXR_png").rename(openi / "NLMCXR_dcm")
    answer = rrg("data", "build", "iu_xray", openi, "out", "--link")
    assert_refused(answer, "--link: the images of iu_xray are not files that other programs read")


# ---- without torch ----------------------------------------------------------------------------


def test_building_imports_no_torch(openi: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['rrg', *sys.argv[1:]]\n"
        "from rrgcore.cli import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "data", "build", "iu_xray", str(openi), "out"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert said.stdout.splitlines()[-1] == "False"


def test_a_source_s_root_may_name_the_environment(
    plugins: Discovered, openi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRG_DATA", str(openi.parent))
    source, options = load_source("iu_xray", "$RRG_DATA/openi", ["text=both"], plugins.registry)
    assert source.folder() == openi / "NLMCXR_png"
    assert options == {"text": "both"}


# ---- the real one -----------------------------------------------------------------------------


def test_the_real_reports_and_images_are_built(rrg: Rrg, shared: Path) -> None:
    if not (real := shared / "data" / "iu_xray").is_dir():
        pytest.skip(f"no real reports: {real} is absent")
    answer = rrg("data", "build", "iu_xray", real, "out", "select=all", "--size", "256")
    assert answer.code == 0
    assert answer.out.splitlines()[:2] == [
        "iu_xray: 2,365 reports, 7 images",
        "out: 4 studies (4 train, 0 val, 0 test), 7 images, annotations: none",
    ]
    built = {row["id"]: row for row in rows(Path("out"))["train"]}
    assert built["CXR7_IM-2263"]["report"] == (
        "The cardiac contours are normal. XXXX basilar atelectasis. The lungs are clear. "
        "Thoracic spondylosis. Lower cervical XXXX arthritis."
    )
    assert built["CXR7_IM-2263"]["subject_id"] == "CXR7"
    with Image.open("out/images/CXR54_IM-2145/0.png") as image:
        assert (image.mode, image.size) == ("L", (362, 256))
    assert sum(line[1] == "missing" for line in left_out(Path("out"))) == 4861 + 2361
