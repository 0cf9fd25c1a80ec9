"""Everything an implementation imports, in one place."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rrgcore.annotations import (
    Annotation,
    Box,
    Boxes,
    Entity,
    FindingBoxes,
    Labels,
    NearestReport,
    NGrams,
    Probabilities,
    RadGraph,
)
from rrgcore.deprecation import Renamed, find_renamed
from rrgcore.ema import EmaTwin
from rrgcore.errors import DataError, UserError, WeightsError
from rrgcore.features import Features, Parts, Views, encode_views
from rrgcore.images import decode_image, read_image
from rrgcore.insight.figure import Drawn, Figure
from rrgcore.insight.opened import OpenRun
from rrgcore.interfaces import (
    Adapter,
    AlignmentObjective,
    Attends,
    AttendsWriting,
    Borrowed,
    ChecksTrainingSet,
    CrossModal,
    Decoder,
    Embeds,
    EmbedsTokens,
    ImageGivenText,
    ImageMasking,
    JointSpace,
    KeepsPlaces,
    MaskingStrategy,
    Matches,
    MayLack,
    OffersAlignment,
    Part,
    Prepares,
    Pretrained,
    Reconstructs,
    ShowsKnowledge,
    ShowsLandmarks,
    TextEncoder,
    TextGivenImage,
    TextMasking,
    Trunk,
    TrunkCache,
    VisualEncoder,
)
from rrgcore.plugins import API_VERSION as VERSION
from rrgcore.precision import full_precision
from rrgcore.processes import gather_padded, gather_rows, rows_before
from rrgcore.provenance import Artefact, Provenance
from rrgcore.scoring import Metric, Pair, ReadsFindings, Scores, Terms, mean_terms
from rrgcore.scoring.published import Published, PublishedRow, PublishedTable
from rrgcore.sources import Ledger, Source
from rrgcore.study import ImageRef, Study
from rrgcore.supply import (
    AnnotationFile,
    Annotator,
    DataChecks,
    Dataset,
    HasAnnotationFiles,
    HoldsArtefacts,
    KeepsRawReports,
    Mention,
    NamesFindings,
    Workbench,
)
from rrgcore.tokens import AbsentTokenizer, Tokenizer, WordTokenizer, load_tokenizer
from rrgcore.types import (
    Batch,
    Decoded,
    Encoded,
    Generated,
    Generation,
    Losses,
    MaskedText,
    ObjectiveOutput,
    TakenIn,
    Tokens,
    Visual,
    pad_sequences,
)

__all__ = [
    "VERSION",
    "AbsentTokenizer",
    "Adapter",
    "AlignmentObjective",
    "Annotation",
    "AnnotationFile",
    "Annotator",
    "Artefact",
    "Attends",
    "AttendsWriting",
    "Batch",
    "Borrowed",
    "Box",
    "Boxes",
    "ChecksTrainingSet",
    "CrossModal",
    "DataChecks",
    "DataError",
    "Dataset",
    "Decoded",
    "Decoder",
    "Drawn",
    "EmaTwin",
    "Embeds",
    "EmbedsTokens",
    "Encoded",
    "Entity",
    "Features",
    "Figure",
    "FindingBoxes",
    "Generated",
    "Generation",
    "HasAnnotationFiles",
    "HoldsArtefacts",
    "ImageGivenText",
    "ImageMasking",
    "ImageRef",
    "JointSpace",
    "KeepsPlaces",
    "KeepsRawReports",
    "Labels",
    "Ledger",
    "Losses",
    "MaskedText",
    "MaskingStrategy",
    "Matches",
    "MayLack",
    "Mention",
    "Metric",
    "NGrams",
    "NamesFindings",
    "NearestReport",
    "ObjectiveOutput",
    "OffersAlignment",
    "OpenRun",
    "Pair",
    "Part",
    "Parts",
    "Prepares",
    "Pretrained",
    "Probabilities",
    "Provenance",
    "Published",
    "PublishedRow",
    "PublishedTable",
    "RadGraph",
    "ReadsFindings",
    "Reconstructs",
    "Scores",
    "ShowsKnowledge",
    "ShowsLandmarks",
    "Source",
    "Study",
    "TakenIn",
    "Terms",
    "TextEncoder",
    "TextGivenImage",
    "TextMasking",
    "Tokenizer",
    "Tokens",
    "Trunk",
    "TrunkCache",
    "UserError",
    "Views",
    "Visual",
    "VisualEncoder",
    "WeightsError",
    "WordTokenizer",
    "Workbench",
    "decode_image",
    "encode_views",
    "full_precision",
    "gather_padded",
    "gather_rows",
    "load_tokenizer",
    "mean_terms",
    "pad_sequences",
    "read_image",
    "rows_before",
]

RENAMED: Final[Mapping[str, Renamed]] = {}
"""Names that the last minor release had, and what they are called now (docs/plugin_versions.md)."""

if not TYPE_CHECKING:  # a type checker would take any name for one of the module's

    def __getattr__(name: str) -> Any:
        return find_renamed(__name__, name, RENAMED)
