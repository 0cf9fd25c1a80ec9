"""The annotator `nearest_by_matrix`."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy.lib.format import read_array
from safetensors.numpy import load_file

from rrg_knowledge.columns import find_row
from rrg_knowledge.learned_elsewhere import given_provenance, keep_file, kept_file
from rrg_knowledge.nearest_index import (
    LARGEST,
    ReportIndex,
    are_embeddings,
    check_count,
    entries_of,
    own_report,
    unit_rows,
)
from rrgcore.annotations import NearestReport
from rrgcore.errors import DataError
from rrgcore.json_text import parse_json
from rrgcore.provenance import Artefact
from rrgcore.study import Study
from rrgcore.supply import Annotator, HoldsArtefacts

Vector = Float[np.ndarray, " d"]


@final
class NearestByMatrix(Annotator, HoldsArtefacts):
    """argmax_j ⟨v(X), w(R_j)⟩ over the training reports R_j, at unit length, from matrices of
    embeddings that somebody else made, as CXR-RePaiR's CLIP does.

    `images` and `reports` are `.npy` or `.safetensors` (its one tensor), a row an image or report.
    `image_ids` and `report_ids` say whose each row is: a line of text each, or a JSON list. Several
    rows of a study (its images) are averaged at unit length. Of `reports` only those of the
    training split are used; whatever else is there is never found.

    A study with a report gets its own, as in training. For k > 1 the texts are joined, all
    different if `dedupe`. Who made the embeddings may have been trained on the studies that are to
    be predicted: `learned_from` is a file that says on which it was (ids, hash), and `trusted`
    vouches without one.

    Endo et al., "Retrieval-Based Chest X-Ray Report Generation Using a Pre-trained Contrastive
    Language-Image Model", ML4H 2021 (CmEAA, A.1).
    """

    writes: ClassVar[type] = NearestReport
    keeps_studies: ClassVar[bool] = True

    def __init__(
        self,
        *,
        images: str,
        image_ids: str,
        reports: str,
        report_ids: str,
        k: int = 1,
        dedupe: bool = True,
        learned_from: str | None = None,
        trusted: bool = False,
    ) -> None:
        check_count(k)
        self.k = k
        self.dedupe = dedupe
        self.learned_from = learned_from
        self.trusted = trusted
        paths = {
            "images": images,
            "image_ids": image_ids,
            "reports": reports,
            "report_ids": report_ids,
        }
        self._paths = {name: Path(path).expanduser() for name, path in paths.items()}
        self._files = self._paths
        """The same, or what a run has kept of them."""
        self._index: ReportIndex | None = None

    def read_given(self) -> None:
        """Read the matrices, and what made them; raises DataError."""
        self.artefacts()
        images, reports = self._images, self._reports
        widths = [len(next(iter(each.values()))) for each in (images, reports)]
        if widths[0] != widths[1]:
            raise DataError(
                f"{self._paths['images']} has rows of {widths[0]} numbers, "
                f"{self._paths['reports']} of {widths[1]}; images and reports are embedded in one "
                "space"
            )

    def keep_given(self, folder: Path) -> None:
        """Copy the files; the training reports' vectors are in the index too, those of images are
        what other studies are found by.
        """
        for name, path in self._paths.items():
            keep_file(path, folder, name)

    def load_given(self, folder: Path) -> None:
        """Read those copies from now on."""
        self._files = {name: kept_file(path, folder, name) for name, path in self._paths.items()}

    def artefacts(self) -> Sequence[Artefact]:
        """Return what made the matrices."""
        learned = given_provenance(self.learned_from)
        return [Artefact(f"the embeddings {self._paths['images']}", learned, self.trusted)]

    def fit(self, studies: Sequence[Study]) -> None:
        """Index the training reports; raises DataError for one without a row."""
        self.read_given()
        pairs = entries_of(studies)
        vectors = [self._row(self._reports, study, self._paths["reports"]) for _, study in pairs]
        entries = [entry for entry, _ in pairs]
        self._index = ReportIndex(entries, np.stack(vectors), np.arange(len(pairs)), "cosine")

    def save(self, folder: Path) -> None:
        """Write the index."""
        self._fitted.save(folder)

    def load(self, folder: Path) -> None:
        """Read the index; raises DataError."""
        self._index = ReportIndex.load(folder)

    def annotate(self, studies: Iterable[Study]) -> Iterator[NearestReport]:
        """Yield a study's own report, else the nearest; raises DataError for one without a row."""
        for study in studies:
            yield own_report(study) or self._fitted.find(
                study,
                self._row(self._images, study, self._paths["images"]),
                count=self.k,
                dedupe=self.dedupe,
            )

    def fingerprint(self) -> str:
        """Return the file's name and what tells the matrices from others."""
        return f"nearest_by_matrix {self._paths['images'].name} (sha256 {self._digest}), k {self.k}"

    @cached_property
    def _images(self) -> dict[str, Vector]:
        return _vectors(self._files["images"], self._files["image_ids"])

    @cached_property
    def _reports(self) -> dict[str, Vector]:
        return _vectors(self._files["reports"], self._files["report_ids"])

    @cached_property
    def _digest(self) -> str:
        names = ("images", "reports", "image_ids", "report_ids")
        return _digest([self._files[name] for name in names])

    @property
    def _fitted(self) -> ReportIndex:
        assert self._index is not None, "an index is made, or loaded, before it is asked"
        return self._index

    def _row(self, rows: dict[str, Vector], study: Study, path: Path) -> Vector:
        if (row := find_row(rows, study)) is None:
            raise DataError(
                f"{path} has no row for the study '{study.id}'. It has {len(rows):,}, the first "
                f"for '{next(iter(rows))}'"
            )
        return row


def _vectors(path: Path, ids: Path) -> dict[str, Vector]:
    """Return the vector of each id."""
    matrix, names = _matrix(path), _ids(ids)
    if len(names) != len(matrix):
        raise DataError(f"{path} has {len(matrix):,} rows, and {ids} {len(names):,} ids")
    several: dict[str, list[Vector]] = {}
    for name, row in zip(names, unit_rows(matrix), strict=True):
        several.setdefault(name, []).append(row)
    return {name: np.mean(rows, axis=0) for name, rows in several.items()}


def _matrix(path: Path) -> Float[np.ndarray, "u d"]:
    if path.suffix not in (".npy", ".safetensors"):
        raise DataError(f"{path} is no matrix of embeddings; expected .npy or .safetensors")
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:  # read_array, for load would take a zip file too
                found = read_array(file, allow_pickle=False)
        else:
            tensors = load_file(path)
            if len(tensors) != 1:
                raise DataError(f"{path} holds {len(tensors)} tensors; expected one, the matrix")
            (found,) = tensors.values()
    except FileNotFoundError:
        raise DataError(f"there is no matrix of embeddings at {path}") from None
    except DataError:
        raise
    except Exception as error:  # of what bytes can be, neither library refuses all alike
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    if found.ndim != 2 or not found.size or found.dtype.kind != "f":
        raise DataError(
            f"{path} holds {found.dtype} of shape {found.shape}; expected floats, a row an image "
            "or report"
        )
    with np.errstate(over="ignore"):
        matrix: Float[np.ndarray, "u d"] = found.astype(np.float32)
    if not are_embeddings(matrix):
        raise DataError(f"{path} holds numbers that are not finite, or above {LARGEST:g}")
    return matrix


def _ids(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix != ".json":
            return [line.strip() for line in text.splitlines() if line.strip()]
        found = parse_json(text)
    except FileNotFoundError:
        raise DataError(f"there is no list of ids at {path}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, list):
        raise DataError(f"{path} holds no JSON list of ids")
    return [str(each) for each in found]


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
