"""IU X-Ray from Open-i's originals: what is selected, and what is refused by name."""

import gzip
import io
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrg_data.iu_xray import IuXraySource, listed, view_of_caption
from rrg_data.splits import split_by_hash
from rrgcore.errors import DataError
from rrgcore.sources import Ledger
from rrgcore.study import Study

from .openi import LISTED, names_of, report_xml, reports_of, write_openi, write_png, write_tgz

ONE, TWO, VAL, TEST = LISTED
BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


def read(root: Path, *, skip_bad: bool = False, **options: Any) -> tuple[list[Any], Ledger]:
    ledger = Ledger(skip_bad=skip_bad)
    return list(IuXraySource(root=str(root), **options).read(ledger)), ledger


def archive(root: Path, files: Mapping[str, str | bytes], *images: str) -> Path:
    """Reports in a .tgz, and the images."""
    write_tgz(root / "NLMCXR_reports.tgz", files)
    (root / "NLMCXR_png").mkdir(exist_ok=True)
    for name in images:
        write_png(root / "NLMCXR_png" / f"{name}.png")
    return root


def study(found: list[Any]) -> Study:
    ((_, only),) = found
    assert isinstance(only, Study)
    return only


# ---- what is selected -------------------------------------------------------------------------


def test_studies_have_r2gen_s_ids_splits_and_findings(tmp_path: Path) -> None:
    found, ledger = read(write_openi(tmp_path))
    assert [(split, study.id) for split, study in found] == [
        ("train", ONE),
        ("train", TWO),
        ("val", VAL),
        ("test", TEST),
    ]
    first = found[0][1]
    assert first.report == "The lungs are clear."
    assert first.subject == "CXR2384"
    assert [image.where for image in first.images] == [
        "CXR2384_IM-0942-1001.png",
        "CXR2384_IM-0942-2001.png",
    ]
    assert ledger.found == {"reports": 4, "images": 8}
    assert (ledger.left_out, ledger.missing, ledger.bad) == ({}, {}, [])


def test_r2gen_s_list_is_2069_296_590() -> None:
    assert Counter(listed().values()) == {"train": 2069, "val": 296, "test": 590}


def test_the_unpacked_folder_reads_as_the_archive(tmp_path: Path) -> None:
    packed, _ = read(write_openi(tmp_path / "packed"))
    write_openi(tmp_path / "open")
    with tarfile.open(tmp_path / "open/NLMCXR_reports.tgz") as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        tar.extractall(tmp_path / "open")
    (tmp_path / "open/NLMCXR_reports.tgz").unlink()
    unpacked, _ = read(tmp_path / "open")
    assert sorted(packed, key=str) == sorted(unpacked, key=str)


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("findings", "The lungs are clear."),
        ("impression", "No acute disease."),
        ("both", "The lungs are clear. No acute disease."),
    ],
)
def test_findings_impression_or_both(text: str, report: str, tmp_path: Path) -> None:
    found, _ = read(write_openi(tmp_path, [ONE]), text=text)
    assert study(found).report == report


@pytest.mark.parametrize(
    ("texts", "options", "reason"),
    [
        ({"findings": None}, {}, "no findings"),
        ({"findings": " ."}, {"text": "both"}, "no findings"),
        ({"impression": None}, {"text": "impression"}, "no impression"),
        ({"findings": None}, {"select": "all"}, "no findings"),
        (
            {"findings": None, "impression": None},
            {"select": "all", "text": "both"},
            "no findings and no impression",
        ),
    ],
)
def test_a_study_without_the_text_is_left_out_and_counted(
    texts: dict[str, Any], options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    archive(tmp_path, reports_of(ONE, **texts), *names_of(ONE))
    found, ledger = read(tmp_path, **options)
    assert (found, ledger.left_out) == ([], {reason: [ONE]})


def test_both_is_what_there_is_of_them(tmp_path: Path) -> None:
    archive(tmp_path, reports_of(ONE, findings=None), *names_of(ONE))
    found, _ = read(tmp_path, select="all", text="both")
    assert study(found).report == "No acute disease."


@pytest.mark.parametrize(
    ("count", "select", "split", "left_out"),
    [
        (0, "r2gen", "r2gen", {"no image": ["CXR9"]}),
        (1, "r2gen", "r2gen", {"one image; R2Gen's studies have two": ["CXR9_IM-1"]}),
        (2, "r2gen", "r2gen", {"not one of R2Gen's studies": ["CXR9_IM-1"]}),
        (2, "r2gen", "random", {}),
        (3, "r2gen", "random", {"more than two images; R2Gen's studies have two": ["CXR9_IM-1"]}),
        (0, "all", "r2gen", {"no image": ["CXR9"]}),
        (1, "all", "r2gen", {}),
        (3, "all", "r2gen", {}),
    ],
)
def test_a_study_that_is_not_on_the_list(
    count: int, select: str, split: str, left_out: dict[str, Any], tmp_path: Path
) -> None:
    names = names_of("CXR9_IM-1", count)
    archive(tmp_path, {"ecgen-radiology/9.xml": report_xml("CXR9", names)}, *names)
    found, ledger = read(tmp_path, select=select, split=split)
    assert ledger.left_out == left_out
    if not left_out:
        assert found[0][0] == split_by_hash("CXR9")
        assert len(study(found).images) == count


def test_of_more_images_r2gen_s_study_has_the_first_two(tmp_path: Path) -> None:
    names = names_of(VAL, 3)
    archive(tmp_path, {"ecgen-radiology/1.xml": report_xml("CXR2279", names)}, *names)
    found, ledger = read(tmp_path)
    assert [image.where for image in study(found).images] == [f"{n}.png" for n in names[:2]]
    assert list(ledger.left_out.values()) == [[names[2]]]
    everything, _ = read(tmp_path, select="all")
    assert len(study(everything).images) == 3
    assert everything[0][0] == "val"


def test_a_hashed_split_is_the_same_everywhere_and_7_to_1_to_2() -> None:
    shares = Counter(split_by_hash(f"CXR{number}") for number in range(4000))
    assert {split: round(n / 400) for split, n in shares.items()} == {
        "train": 7,
        "val": 1,
        "test": 2,
    }
    assert [split_by_hash(f"CXR{n}") for n in (1, 2, 3, 4)] == ["val", "train", "train", "train"]


def test_a_missing_image_is_told_and_its_study_left_out(tmp_path: Path) -> None:
    root = write_openi(tmp_path)
    for name in (names_of(ONE)[1], *names_of(TWO)):
        (root / "NLMCXR_png" / f"{name}.png").unlink()
    found, ledger = read(root)
    assert [study.id for _, study in found] == [VAL, TEST]
    assert ledger.missing == {
        "images that are not in NLMCXR_png": [names_of(ONE)[1], *names_of(TWO)],
        "studies left out, since not all of their images are there": [ONE],
        "studies left out, since none of their images is there": [TWO],
    }
    found, ledger = read(root, select="all")
    assert [len(study.images) for _, study in found] == [1, 2, 2]
    assert len(ledger.missing["images that are not in NLMCXR_png"]) == 3


# ---- views ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "view"),
    [
        ("Chest, single portable AP view", "frontal"),
        ("Portable AP chest XXXX, XXXX hours", "frontal"),
        ("PA chest", "frontal"),
        ("PA chest XXXX", "unknown"),
        ("PA and XXXX chest", "unknown"),
        ("Xray Chest PA and Lateral", "unknown"),
        ("CHEST 2V FRONTAL/LATERAL", "unknown"),
        ("Chest XXXX and lateral", "unknown"),
        ("AP left lateral decubitus", "unknown"),
        ("Two frontal views", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_caption_is_believed_where_it_names_one_view_alone(caption: str, view: str) -> None:
    assert view_of_caption(caption) == view


def test_views_are_read_from_kaggle_s_table_where_it_is_there(tmp_path: Path) -> None:
    root = write_openi(tmp_path, [ONE])
    assert study(read(root)[0]).views == ("unknown", "unknown")
    (root / "indiana_projections.csv").write_text(
        "uid,filename,projection\n"
        "2384,2384_IM-0942-2001.dcm.png,Frontal\n2384,2384_IM-0942-1001.dcm.png,Lateral\n"
    )
    assert study(read(root)[0]).views == ("lateral", "frontal")
    (root / "indiana_projections.csv").write_text("uid;filename\n1;2\n")
    with pytest.raises(DataError, match="expected the columns filename and projection"):
        read(root)


def write_dicom(path: Path, view: str) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    path.parent.mkdir(parents=True, exist_ok=True)
    scan = Dataset()
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.SOPClassUID = scan.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    scan.PatientName = "Secret^Name"
    scan.ViewPosition = view
    scan.Rows, scan.Columns, scan.SamplesPerPixel = 20, 24, 1
    scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 12, 11, 0
    scan.PhotometricInterpretation = "MONOCHROME2"
    scan.PixelData = np.arange(480, dtype="<u2").reshape(20, 24).tobytes()
    scan.save_as(path, enforce_file_format=True)


def test_dicom_files_are_found_by_study_and_name_and_tell_their_view(tmp_path: Path) -> None:
    write_tgz(tmp_path / "NLMCXR_reports.tgz", reports_of(ONE, TWO))
    folder = tmp_path / "NLMCXR_dcm"
    write_dicom(folder / "2384" / "2384_IM-0942-1001.dcm", "LL")
    write_dicom(folder / "2384" / "2384_IM-0942-2001.dcm", "PA")
    for name in names_of(TWO):
        write_dicom(folder / f"{name}.dcm", "")
    found, ledger = read(tmp_path)
    assert [study.views for _, study in found] == [("lateral", "frontal"), ("unknown",) * 2]
    assert not ledger.missing
    source = IuXraySource(root=str(tmp_path))
    pixels = source.open(found[0][1].images[0])
    assert (pixels.dtype, pixels.shape) == (np.uint8, (20, 24))
    assert source.folder() is None


def test_png_comes_before_dicom_unless_dicom_is_asked_for(tmp_path: Path) -> None:
    root = write_openi(tmp_path, [ONE])
    for name in names_of(ONE):
        write_dicom(root / "NLMCXR_dcm" / f"{name}.dcm", "PA")
    assert IuXraySource(root=str(root)).folder() == root / "NLMCXR_png"
    assert study(read(root, images="dicom")[0]).views == ("frontal", "frontal")


def test_images_of_a_report_that_was_skipped_are_told(tmp_path: Path) -> None:
    files = reports_of(ONE) | {"ecgen-radiology/9.xml": "<eCitation>"}
    archive(tmp_path, files, *names_of(ONE), *names_of("CXR9_IM-9"))
    _, ledger = read(tmp_path, skip_bad=True)
    assert ledger.missing == {
        "images that no usable report names": [f"{name}.png" for name in names_of("CXR9_IM-9")]
    }


def test_images_of_a_study_that_the_selection_leaves_out_are_not_told_again(
    tmp_path: Path,
) -> None:
    archive(tmp_path, reports_of(ONE, findings=None), *names_of(ONE))
    _, ledger = read(tmp_path)
    assert (ledger.left_out, ledger.missing) == ({"no findings": [ONE]}, {})


def test_of_two_reports_with_one_uid_the_first_is_kept(tmp_path: Path) -> None:
    files = {
        "ecgen-radiology/7.xml": report_xml("CXR2384", names_of(ONE), findings="First."),
        "ecgen-radiology/1.xml": report_xml("CXR2384", names_of(ONE), findings="Second."),
    }
    found, ledger = read(archive(tmp_path, files, *names_of(ONE)), skip_bad=True)
    assert study(found).report == "First."
    assert [name for name, _ in ledger.bad] == ["ecgen-radiology/1.xml"]


# ---- what is refused --------------------------------------------------------------------------


def assert_refused(root: Path, name: str, problem: str, kept: list[str]) -> None:
    """Refused by name; skipped if asked, and then counted and nothing else."""
    with pytest.raises(DataError) as error:
        read(root)
    assert str(error.value).startswith(f"{name}: "), error.value
    assert problem in str(error.value)
    assert "--skip-bad" in str(error.value)
    found, ledger = read(root, skip_bad=True)
    assert [study.id for _, study in found] == kept
    assert [bad for bad, _ in ledger.bad] == [name]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<eCitation><uId", "is not well-formed XML (unclosed token: line 1, column 11)"),
        ("", "is not well-formed XML (no element found"),
        (report_xml("CXR1", [], findings="&undefined;"), "is not well-formed XML (undefined ent"),
        (report_xml("CXR1", [], findings="&c;", head=BOMB), "declares a document type (DOCTYPE)"),
        (
            report_xml(
                "CXR1",
                [],
                findings="&x;",
                head='<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            ),
            "declares a document type (DOCTYPE)",
        ),
        ('<?xml version="1.0" encoding="klingon"?><eCitation/>', "is not well-formed XML"),
        ("<html><body>Not found</body></html>", "is no report of Open-i: <html> has no uId"),
        ("<eCitation/>", "<eCitation> has no uId that names the study"),
        (report_xml("CXR1", ["../../x"]), "names the image '../../x', which is outside"),
        (report_xml("CXR1", ["/etc/x"]), "names the image '/etc/x', which is outside"),
        (report_xml("CXR1", ["..\\x"]), "which is outside the folder of images"),
        (report_xml("CXR1", [""]), "has an image without a name"),
        (report_xml("CXR1", ["a", "a"]), "names the image a twice"),
        (report_xml("CXR2384", names_of(ONE)), "is CXR2384, as ecgen-radiology/2384.xml is alr"),
        ("<eCitation>" + " " * (1 << 20), "has 1,048,587 bytes; expected at most 1,048,576"),
    ],
)
def test_a_bad_report_is_refused_by_name(text: str, problem: str, tmp_path: Path) -> None:
    bad = "ecgen-radiology/23840.xml"
    files = {**reports_of(ONE), bad: text, **reports_of(TWO)}
    archive(tmp_path, files, *names_of(ONE), *names_of(TWO))
    name = f"NLMCXR_reports.tgz: {bad}" if "bytes" in problem else bad
    assert_refused(tmp_path, name, problem, [ONE, TWO])

    folder = tmp_path / "open"
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / "NLMCXR_png").symlink_to(tmp_path / "NLMCXR_png")
    assert_refused(folder, bad, problem, [ONE, TWO])


def link(kind: bytes, name: str = "ecgen-radiology/link.xml") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (tarfile.TarInfo("/etc/1.xml"), "is a path that climbs out of the archive"),
        (tarfile.TarInfo("ecgen-radiology/../../1.xml"), "is a path that climbs out"),
        (tarfile.TarInfo("..\\1.xml"), "is a path that climbs out"),
        (link(tarfile.SYMTYPE), "is a link (to /etc/passwd)"),
        (link(tarfile.LNKTYPE), "is a link (to /etc/passwd)"),
        (link(tarfile.CHRTYPE), "is a device or a pipe"),
        (link(tarfile.FIFOTYPE), "is a device or a pipe"),
    ],
)
def test_a_member_that_is_no_plain_file_is_refused_by_name(
    member: tarfile.TarInfo, problem: str, tmp_path: Path
) -> None:
    archive(tmp_path, {}, *names_of(ONE))
    write_tgz(tmp_path / "NLMCXR_reports.tgz", reports_of(ONE), [member])
    assert_refused(tmp_path, f"NLMCXR_reports.tgz: {member.name}", problem, [ONE])
    assert not list(tmp_path.glob("**/*.xml")), "nothing is unpacked"


def cut(data: bytes) -> bytes:
    return data[: len(data) - 300]


def without_end(data: bytes) -> bytes:
    """The last blocks of the tar are missing, though the .gz is whole."""
    return gzip.compress(gzip.decompress(data).rstrip(b"\0") + b"\0" * 300)


def without_checksum(data: bytes) -> bytes:
    return data[:-8]


def wrong_checksum(data: bytes) -> bytes:
    return data[:-8] + b"\1" * 8


def huge_header(data: bytes) -> bytes:
    """A header that says that a file's name has 4 GB."""
    whole = gzip.decompress(data)
    block = tarfile.TarInfo("././@LongLink")
    block.type, block.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    return gzip.compress(whole[: whole.rindex(b"eCitation>") // 512 * 512 + 512] + block.tobuf())


@pytest.mark.parametrize("spoil", [cut, without_end, without_checksum, wrong_checksum, huge_header])
def test_a_truncated_archive_is_refused_by_name(
    spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    # noise does not compress, so that the cut is within the last file
    noise = np.random.default_rng(0).integers(0x21, 0x3B, 4000, dtype=np.uint8).tobytes()
    report = report_xml("CXR1", [], findings=noise.decode().replace("&", " "))
    files = {**reports_of(ONE), "ecgen-radiology/1.xml": report}
    path = archive(tmp_path, files, *names_of(ONE)) / "NLMCXR_reports.tgz"
    path.write_bytes(spoil(path.read_bytes()))
    assert_refused(tmp_path, "NLMCXR_reports.tgz", "is cut off or damaged after ", [ONE])


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", gzip.compress(b"no tar" * 200, mtime=0)]
)
def test_what_is_no_archive_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    archive(tmp_path, {}, "x")
    (tmp_path / "NLMCXR_reports.tgz").write_bytes(content)
    assert_refused(tmp_path, "NLMCXR_reports.tgz", "is no .tgz", [])


def test_an_archive_that_unpacks_without_end_is_refused_before_it_does(tmp_path: Path) -> None:
    member = tarfile.TarInfo("ecgen-radiology/1.xml")
    member.size = 1 << 40
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(link(tarfile.DIRTYPE, "ecgen-radiology"))
    archive(tmp_path, {}, "x")
    content = gzip.compress(buffer.getvalue()[:512] + member.tobuf() + b"\0" * 5000)
    (tmp_path / "NLMCXR_reports.tgz").write_bytes(content)
    _, ledger = read(tmp_path, skip_bad=True)
    (archive_name, excess), (member_name, size) = ledger.bad  # what explains the rest comes first
    assert (archive_name, member_name) == (
        "NLMCXR_reports.tgz",
        "NLMCXR_reports.tgz: ecgen-radiology/1.xml",
    )
    assert "more than 2,147,483,648 bytes, unpacked" in excess
    assert "has 1,099,511,627,776 bytes" in size


def test_what_is_no_report_is_counted(tmp_path: Path) -> None:
    archive(tmp_path, {"README.txt": "hello", "ecgen-radiology/._1.xml": "\0\5"}, "x")
    _, ledger = read(tmp_path)
    assert ledger.left_out == {
        "no report: not an .xml file": ["README.txt", "ecgen-radiology/._1.xml"]
    }


def test_an_image_that_is_there_twice_is_refused_by_name(tmp_path: Path) -> None:
    root = write_openi(tmp_path, [ONE])
    name = names_of(ONE)[0]
    write_png(root / "NLMCXR_png" / "copy" / f"{name}.png")
    assert_refused(root, f"copy/{name}.png", f"is an image that {name}.png is already", [ONE])


# ---- the folder -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], "holds no reports"),
        (["NLMCXR_reports.tgz"], "holds no NLMCXR_png and no NLMCXR_dcm"),
        (["NLMCXR_reports.tgz", "NLMCXR_png.tgz"], "tar xzf"),
        (["NLMCXR_reports.tgz", "NLMCXR_reports_trainval.tgz"], "leave one there"),
    ],
)
def test_a_folder_that_is_not_open_i_s_is_told_what_was_expected(
    made: list[str], said: str, tmp_path: Path
) -> None:
    for name in made:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        IuXraySource(root=str(tmp_path))
    assert said in str(error.value)
    assert IuXraySource.layout in str(error.value)


def test_the_fingerprint_is_of_the_reports(tmp_path: Path) -> None:
    one = IuXraySource(root=str(write_openi(tmp_path / "a"))).fingerprint()
    two = IuXraySource(root=str(write_openi(tmp_path / "b", [ONE]))).fingerprint()
    assert one.keys() == {"reports_sha256", "images"}
    assert one != two


# ---- the real one -----------------------------------------------------------------------------


@pytest.fixture
def real(shared: Path) -> Path:
    if not (folder := shared / "data" / "iu_xray").is_dir():
        pytest.skip(f"no real reports: {folder} is absent")
    return folder


def test_all_2365_real_reports_are_those_of_r2gen_s_train_and_val(
    real: Path, tmp_path: Path
) -> None:
    (tmp_path / "NLMCXR_reports.tgz").symlink_to(real / "NLMCXR_reports_trainval.tgz")
    text = gzip.decompress((tmp_path / "NLMCXR_reports.tgz").read_bytes())
    (tmp_path / "NLMCXR_png").mkdir()
    for name in re.findall(r'<parentImage id="(.*?)">', text.decode()):
        (tmp_path / "NLMCXR_png" / f"{name}.png").touch()  # none is opened
    found, ledger = read(tmp_path)
    assert Counter(split for split, _ in found) == {"train": 2069, "val": 296}
    assert {study.id: split for split, study in found} == {
        id: split for id, split in listed().items() if split != "test"
    }
    assert {len(study.images) for _, study in found} == {2}
    assert ledger.found == {"reports": 2365, "images": 4868}
    assert (ledger.missing, ledger.bad) == ({}, [])
    assert [len(names) for names in ledger.left_out.values()] == [138]  # third images and more


def test_the_7_real_images_are_of_4_studies(real: Path) -> None:
    found, ledger = read(real, select="all")
    assert {study.id: len(study.images) for _, study in found} == {
        "CXR1900_IM-0584": 2,
        "CXR25_IM-1024": 1,
        "CXR54_IM-2145": 2,
        "CXR7_IM-2263": 2,
    }
    assert ledger.found == {"reports": 2365, "images": 7}
    assert sum(len(names) for what, names in ledger.missing.items() if "studies" in what) == 2361
    source = IuXraySource(root=str(real))
    for _, each in found:
        for image in each.images:
            assert source.open(image).std() > 20
