"""What plugins import, and what becomes of a name that it had before."""

import importlib
import warnings
from types import ModuleType

import pytest

import rrgcore
from rrgcore import api
from rrgcore.deprecation import Renamed

RELEASED = """
    AbsentTokenizer Adapter AlignmentObjective Annotation Annotator Attends Batch Borrowed Box Boxes
    ChecksTrainingSet CrossModal DataChecks DataError Dataset Decoded Decoder EmaTwin Embeds
    EmbedsTokens Encoded Entity Features Generated Generation ImageGivenText ImageMasking ImageRef
    JointSpace Labels Losses MaskedText MaskingStrategy Matches MayLack Metric NGrams
    ObjectiveOutput OffersAlignment Pair Part Parts Prepares Pretrained RadGraph Reconstructs Scores
    Study TextEncoder TextGivenImage TextMasking Tokenizer Tokens Trunk TrunkCache UserError VERSION
    Views Visual VisualEncoder WeightsError WordTokenizer decode_image encode_views load_tokenizer
    pad_sequences read_image
"""
"""The names of the last release, 0.1.0."""


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The interface, as if two of its names were of before."""
    now = {
        "ReportDecoder": Renamed("Decoder", since="0.2"),
        "nearest": Renamed("rrgcore.errors.did_you_mean", since="0.2"),
    }
    monkeypatch.setattr(api, "RENAMED", now)
    return api


def test_no_name_of_the_last_release_is_gone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert [name for name in RELEASED.split() if not hasattr(api, name)] == []


def test_every_name_that_is_listed_is_there() -> None:
    for module in ("rrgcore", "rrgcore.api", "rrgcore.testing"):
        found = importlib.import_module(module)
        assert [name for name in found.__all__ if not hasattr(found, name)] == []
    assert set(api.RENAMED) & set(api.__all__) == set()
    assert api.VERSION in range(1, 100)
    assert rrgcore.__version__.count(".") == 2


def test_a_name_of_before_works_and_says_what_to_write(renamed: ModuleType) -> None:
    with pytest.warns(DeprecationWarning, match=r"api.ReportDecoder is called Decoder since rrg 0"):
        assert renamed.ReportDecoder is api.Decoder
    with pytest.warns(DeprecationWarning, match="the next minor release is without the old name"):
        from rrgcore.api import nearest
    assert nearest("maks", ["mask"]) == " Did you mean 'mask'?"


def test_what_never_was_a_name_is_an_attribute_error_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Adaptor'. Did you mean 'Adapter'\?"):
        _ = api.Adaptor
    assert not hasattr(api, "__path__")
