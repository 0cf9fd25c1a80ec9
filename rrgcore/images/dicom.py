"""DICOM files: the grey picture in each, and nothing of whom it shows.

pydicom (`pip install 'rrg[dicom]'`) is told to keep the elements that make the picture, and no
other: no name, number or date of a patient is parsed. What pydicom would warn of, log or raise is
held back, since it quotes what it read; errors are sentences of our own.

The picture is the one that a viewer shows (DICOM PS3.3, C.11): modality LUT or rescale, then the
first VOI LUT or else the first window, and MONOCHROME1 inverted. It is not turned: files are stored
upright, and PatientOrientation is not reliable.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Float64, Integer, Shaped, UInt8
from PIL import Image

from rrgcore.errors import DataError
from rrgcore.extras import how_to_install
from rrgcore.images.dicom_scan import Scan, Table, load_scan, load_view
from rrgcore.images.grey import LARGEST_AREA, check_finite, quantise, stretch
from rrgcore.images.silence import Shared, no_warnings

T = TypeVar("T")

LARGEST_VALUE: Final = float(np.finfo(np.float32).max)
"""What a rescaled pixel may be: more is no measurement."""


HEAD: Final = 132
"""Bytes of a file that tell whether it is DICOM."""
_GROUPS: Final = (b"\x02\x00", b"\x08\x00")
_KINDS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR "
    b"US UT UV".split()
)
"""Value representations, PS3.5, 6.2."""
_LONGEST: Final = 256
"""Bytes of a first element whose kind is not said."""


def is_dicom(data: bytes) -> bool:
    """Tell whether a file is DICOM, whatever it is called: by its mark, or, as files of before 1993
    have none, by a first element of group 0002 or 0008.
    """
    if data[128:HEAD] == b"DICM":
        return True
    if len(data) < 8 or not data.startswith(_GROUPS):
        return False
    return data[4:6] in _KINDS or 0 < int.from_bytes(data[4:8], "little") <= _LONGEST


def decode_dicom(
    data: bytes, *, name: str, largest: int = LARGEST_AREA
) -> UInt8[np.ndarray, "h w"]:
    """Decode the bytes of a DICOM file as 8-bit grey.

    Without a VOI LUT or a window, an 8-bit picture keeps its values and a deeper one is stretched
    between its percentiles, pixel padding not counted. Raises DataError for what is not one picture
    of a reasonable size and at most `largest` pixels, for what is damaged, and where a package is
    missing.
    """
    scan = _guarded(name, lambda pydicom: load_scan(pydicom, data, name, largest))
    if scan.values.ndim == 3:
        deep = max(scan.bits - 8, 0)
        return np.asarray(Image.fromarray((scan.values >> deep).astype(np.uint8)).convert("L"))
    grey = _show(scan, name)
    return 255 - grey if scan.inverted else grey


def view_of_dicom(data: bytes, *, name: str) -> str:
    """Return what a DICOM file calls its view, as it stands there ("PA", "LL"), or "".

    Only ViewPosition is read, or else the meaning of ViewCodeSequence, for which the first 64 KiB
    of a file are enough as a rule. Raises DataError for what is no DICOM file.
    """
    if not is_dicom(data):
        raise DataError(f"image {name}: is not a DICOM file")
    return _guarded(name, lambda pydicom: load_view(pydicom, data, name))


# ---- showing ---------------------------------------------------------------------------------


def _show(scan: Scan, name: str) -> UInt8[np.ndarray, "h w"]:
    values = scan.values
    if scan.voi is None and scan.window is None:
        if scan.bits == 8 and values.dtype == np.uint8 and not scan.is_rescaled:
            return values
        return stretch(_rescale(values, scan, name), name, counted=scan.counted)
    low, high = int(values.min()), int(values.max())
    if high - low >= 2**16:
        return _window(values, scan, name)
    # there are far fewer values than pixels
    greys = _window(np.arange(low, high + 1), scan, name)
    return greys[values.astype(np.int64) - low]


def _rescale(
    values: Integer[np.ndarray, "*shape"], scan: Scan, name: str
) -> Shaped[np.ndarray, "*shape"]:
    if scan.modality is not None:
        return _look_up(values, scan.modality)
    if not scan.is_rescaled:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled: Shaped[np.ndarray, "*shape"] = values * scan.slope + scan.intercept
    check_finite(rescaled, name)
    if np.abs(rescaled).max(initial=0) > LARGEST_VALUE:
        raise DataError(
            f"image {name}: rescaled as it says (slope {scan.slope:g}, intercept "
            f"{scan.intercept:g}), it holds values beyond {LARGEST_VALUE:.1g}"
        )
    return rescaled


def _window(
    values: Integer[np.ndarray, "*shape"], scan: Scan, name: str
) -> UInt8[np.ndarray, "*shape"]:
    """Return grey by the VOI LUT or the window (PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    rescaled = _rescale(values, scan, name)
    if scan.voi is not None:
        return quantise(_look_up(rescaled, scan.voi) / float(2**scan.voi.bits - 1))
    assert scan.window is not None, "a scan without table and window is stretched"
    (center, width), shares = scan.window, rescaled.astype(np.float64)
    with np.errstate(over="ignore"):  # infinitely far from a narrow window is black or white
        return quantise(_shares(shares, center, width, scan.function))


def _shares(
    values: Float64[np.ndarray, "*shape"], center: float, width: float, function: str
) -> Float64[np.ndarray, "*shape"]:
    shares: Float64[np.ndarray, "*shape"]
    if function == "SIGMOID":
        shares = 1 / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700)))
    elif function == "LINEAR_EXACT":
        shares = (values - center) / width + 0.5
    elif width <= 1:
        shares = (values > center - 0.5).astype(np.float64)
    else:
        shares = (values - (center - 0.5)) / (width - 1) + 0.5
    return shares


def _look_up(values: Shaped[np.ndarray, "*shape"], table: Table) -> Integer[np.ndarray, "*shape"]:
    # cut to the table before they are integers, which are too small for some
    at = (np.rint(values.astype(np.float64)) - table.first).clip(0, len(table.entries) - 1)
    found: Integer[np.ndarray, "*shape"] = table.entries[at.astype(np.int64)]
    return found


# ---- silence ---------------------------------------------------------------------------------


def _guarded(name: str, read: Callable[[ModuleType], T]) -> T:
    """Call what reads through pydicom, in silence; of what it raises only the kind is told."""
    try:
        import pydicom
    except ImportError as error:
        raise DataError(
            f"image {name}: is a DICOM file, and pydicom, which reads them, is not installed: "
            f"{how_to_install('dicom')}"
        ) from error
    with _silence():
        try:
            return read(pydicom)
        except DataError:
            raise
        except Exception as error:  # a broken file can break a parser in any way
            kind = type(error).__name__
    # raised out here, so that no traceback shows what pydicom quoted
    raise DataError(
        f"image {name}: is a damaged DICOM file ({kind} from pydicom); copy or download it again"
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Hold back pydicom's warnings and log, for as long as any thread reads."""
    with _NO_LOG.held(), no_warnings():
        yield


@contextmanager
def _no_log() -> Iterator[None]:
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


_NO_LOG = Shared(_no_log)
