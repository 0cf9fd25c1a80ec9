"""Where Open-i's reports and images are in the folder into which they were downloaded."""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Set
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, final

from rrg_data.openi_xml import LARGEST_REPORT
from rrg_data.tgz import read_members
from rrgcore.chest import View, view_of
from rrgcore.errors import DataError
from rrgcore.extras import how_to_install
from rrgcore.sources import Ledger

Form = Literal["png", "dicom"]

ARCHIVE = "Open-i's Indiana University collection, https://openi.nlm.nih.gov/faq"
LAYOUT = """\
  ROOT/NLMCXR_reports.tgz   as downloaded; or unpacked, ROOT/ecgen-radiology/*.xml
  ROOT/NLMCXR_png/*.png     or ROOT/NLMCXR_dcm/<study>/*.dcm
  ROOT/indiana_projections.csv   optional: which image is which view"""

_FOLDERS: Mapping[Form, tuple[str, tuple[str, ...]]] = {
    "png": ("NLMCXR_png", (".png",)),
    "dicom": ("NLMCXR_dcm", (".dcm", ".dicom")),
}
_PROJECTIONS = "indiana_projections.csv"

Key = tuple[str, str]


@final
class OpeniImages:
    """The image files in one of the two forms; raises DataError where there are none."""

    def __init__(self, root: Path, wanted: Form | None) -> None:
        self.form, self.folder = _find_images(root, wanted)
        if self.form == "dicom" and find_spec("pydicom") is None:
            raise DataError(f"DICOM files are read through pydicom: {how_to_install('dicom')}")
        self.twice: list[tuple[str, str]] = []
        """Files of an image that another file is already, which is named too."""
        self._files = self._list()

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._files

    def where(self, name: str) -> str:
        """Return the file of an image, below the folder, by the name that a report has for it."""
        return self._files[_key(name)]

    def besides(self, named: Set[str]) -> list[str]:
        """List the files that have none of these names."""
        keys = {_key(name) for name in named}
        return [file for key, file in self._files.items() if key not in keys]

    def _list(self) -> dict[Key, str]:
        _, endings = _FOLDERS[self.form]
        found: dict[Key, str] = {}
        for folder, folders, names in os.walk(self.folder, followlinks=True):
            folders.sort()
            for name in sorted(names):
                if not name.lower().endswith(endings) or name.startswith("."):
                    continue
                path = Path(folder) / name
                where = path.relative_to(self.folder).as_posix()
                first = found.setdefault(_key(path.stem, path.parent.name), where)
                if first != where:
                    self.twice.append((where, first))
        return found


@final
class Projections:
    """Kaggle's table of which image is which view, where it is there."""

    def __init__(self, root: Path) -> None:
        self.path = root / _PROJECTIONS
        self._views: dict[Key, View] = {}
        if not self.path.is_file():
            return
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for row in csv.DictReader(file, strict=True):
                    self._views[_key(row["filename"])] = view_of(row["projection"])
        except (KeyError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"{self.path}: expected the columns filename and projection ({error!r})"
            ) from error

    def view(self, name: str) -> View | None:
        """Return the view of an image, or None where the table does not have it."""
        return self._views.get(_key(name))


def find_reports(root: Path) -> Path:
    """Return the .tgz of reports, or the folder of them; raises DataError for none or several."""
    if not root.is_dir():
        raise refusal(f"the folder {root} does not exist")
    archives = sorted((*root.glob("NLMCXR_reports*.tgz"), *root.glob("NLMCXR_reports*.tar.gz")))
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise refusal(f"{root} holds {names}; leave one there")
    inner = root / "NLMCXR_reports"
    for path in (*archives, root / "ecgen-radiology", inner / "ecgen-radiology", inner):
        if path.is_file() or any(path.glob("*.xml")):
            return path
    raise refusal(f"{root} holds no reports")


def report_files(folder: Path) -> list[Path]:
    """List a folder's reports, 2.xml before 10.xml."""
    found = (path for path in folder.glob("*.xml") if not path.name.startswith("."))
    return sorted(found, key=lambda path: (len(path.name), path.name))


def read_reports(reports: Path, ledger: Ledger) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each report; one too large to be one is refused by name."""
    if reports.is_file():
        for name, data in read_members(reports, ledger, largest=LARGEST_REPORT):
            if name.endswith(".xml") and not name.rpartition("/")[2].startswith("."):
                yield name, data
            else:
                ledger.leave_out(name, "no report: not an .xml file")
        return
    for path in report_files(reports):
        name = f"{reports.name}/{path.name}"
        if not path.is_file():
            ledger.refuse(name, "is not a file")
        elif (size := path.stat().st_size) > LARGEST_REPORT:
            ledger.refuse(name, f"has {size:,} bytes; expected at most {LARGEST_REPORT:,}")
        else:
            yield name, path.read_bytes()


def refusal(text: str) -> DataError:
    """Return the error for a folder that is not Open-i's, with what was expected."""
    return DataError(f"{text}.\nExpected {ARCHIVE}:\n{LAYOUT}")


def _find_images(root: Path, wanted: Form | None) -> tuple[Form, Path]:
    forms = [form for form in _FOLDERS if wanted in (None, form)]
    for form in forms:
        if (path := root / _FOLDERS[form][0]).is_dir():
            return form, path
    names = [_FOLDERS[form][0] for form in forms]
    for name in names:
        if packed := sorted(root.glob(f"{name}*.tgz")):
            raise refusal(
                f"{packed[0]} is not unpacked: images are read one by one, in any order.\n"
                f"mkdir {root / name} && tar xzf {packed[0]} -C {root / name}"
            )
    raise refusal(f"{root} holds no {' and no '.join(names)}: there are no images")


def _key(name: str, folder: str = "") -> Key:
    """Return study and rest of an image's name: PNG files are called CXR1_1_IM-0001-3001, DICOM
    files 1_IM-0001-3001, in a folder of the study's number.
    """
    found = re.match(r"(?:CXR)?(?:(\d+)_)?(?:\d+_)?(IM-\d[\d-]*)", name)
    if found is None:
        return "", name
    return found[1] or re.sub(r"\D", "", folder), found[2]
