"""The kinds of component and their capabilities, as abstract classes.

A kind says what a component is; a capability, inherited beside it, says what else it can do, and
`isinstance` answers "can you?". A capability that depends on options raises `Lacks` when it is
asked for on an instance that was built without it.
"""

from rrgcore.interfaces.borrowed import Borrowed
from rrgcore.interfaces.capabilities import (
    Attends,
    AttendsWriting,
    ChecksTrainingSet,
    CrossModal,
    Embeds,
    EmbedsTokens,
    ImageGivenText,
    KeepsPlaces,
    Lacks,
    Matches,
    MayLack,
    OffersAlignment,
    Prepares,
    Pretrained,
    Reconstructs,
    ShowsKnowledge,
    ShowsLandmarks,
    TextEncoder,
    TextGivenImage,
    check_capability,
)
from rrgcore.interfaces.nouns import (
    Adapter,
    AlignmentObjective,
    Decoder,
    ImageMasking,
    MaskingStrategy,
    TextMasking,
    VisualEncoder,
)
from rrgcore.interfaces.supporting import JointSpace, Part, Trunk, TrunkCache

__all__ = [
    "Adapter",
    "AlignmentObjective",
    "Attends",
    "AttendsWriting",
    "Borrowed",
    "ChecksTrainingSet",
    "CrossModal",
    "Decoder",
    "Embeds",
    "EmbedsTokens",
    "ImageGivenText",
    "ImageMasking",
    "JointSpace",
    "KeepsPlaces",
    "Lacks",
    "MaskingStrategy",
    "Matches",
    "MayLack",
    "OffersAlignment",
    "Part",
    "Prepares",
    "Pretrained",
    "Reconstructs",
    "ShowsKnowledge",
    "ShowsLandmarks",
    "TextEncoder",
    "TextGivenImage",
    "TextMasking",
    "Trunk",
    "TrunkCache",
    "VisualEncoder",
    "check_capability",
]
