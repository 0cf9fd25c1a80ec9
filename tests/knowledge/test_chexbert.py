"""CheXbert in its own architecture with random weights: loaded, compared, refused."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rrg_knowledge.chexbert import CheXbertLabeler
from rrgcore.annotations import Labels
from rrgcore.errors import DataError, WeightsError
from rrgcore.study import Study
from rrgcore.testing import check_component

from .tiny_chexbert import (
    VOCABULARY,
    Reference,
    checkpoint,
    make_reference,
    write_chexbert,
    write_tokenizer,
)

TEXTS = (
    "The heart is enlarged.\n  No pleural effusion.",
    "mild edema of the lungs . the heart is enlarged . " * 3,
    "the lungs are clear .",
    "",
    "no pleural effusion . no edema .",
)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as of bert-base-uncased, with a few words."""
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "uncased")


@pytest.fixture
def weights(reference: Reference, tmp_path: Path) -> Path:
    path = tmp_path / "chexbert.pth"
    torch.save(checkpoint(reference), path)
    return path


def make(weights: Path, tokenizer: str, **options: Any) -> CheXbertLabeler:
    return CheXbertLabeler(
        weights=str(weights), tokenizer=tokenizer, heads=4, device="cpu", **options
    )


def label(labeler: CheXbertLabeler, *texts: str) -> list[Mapping[str, int]]:
    studies = [Study(f"s{i}", (), (), text) for i, text in enumerate(texts)]
    return [labels.values for labels in labeler.annotate(studies)]


def ids(text: str) -> list[int]:
    """Tokenize by hand: words and full stops, lower case."""
    words = text.lower().replace(".", " . ").split()
    return [2, *(VOCABULARY.index(word) for word in words), 3]


def save(path: Path, reference: Reference, **changed: Tensor | None) -> Path:
    """Save a checkpoint with tensors replaced, or taken out."""
    saved = checkpoint(reference)
    state = saved["model_state_dict"]
    for name, tensor in changed.items():
        key = "module." + name.replace("__", ".")
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    torch.save(saved, path)
    return path


# ---- what it reads --------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_labels_are_those_of_the_published_architecture(
    batch_size: int, weights: Path, tokenizer: str, reference: Reference
) -> None:
    expected = [reference.label(ids(text)) for text in TEXTS]
    assert label(make(weights, tokenizer, batch_size=batch_size), *TEXTS) == expected
    assert len({str(each) for each in expected}) == len(TEXTS)  # or nothing was compared
    assert {value for each in expected for value in each.values()} == {1, 0, -1}


@pytest.mark.parametrize(("prefix", "zipped"), [("module.", True), ("module.", False), ("", True)])
def test_checkpoints_of_any_age_and_without_data_parallel_are_read(
    prefix: str, zipped: bool, tmp_path: Path, tokenizer: str, reference: Reference
) -> None:
    path = tmp_path / "chexbert.pth"
    torch.save(checkpoint(reference, prefix), path, _use_new_zipfile_serialization=zipped)
    assert label(make(path, tokenizer), TEXTS[0]) == [reference.label(ids(TEXTS[0]))]


def test_what_older_transformers_saved_and_labels_do_not_need_is_passed_over(
    tmp_path: Path, tokenizer: str, reference: Reference
) -> None:
    path = save(
        tmp_path / "chexbert.pth",
        reference,
        bert__embeddings__position_ids=torch.arange(64)[None],
        bert__pooler__dense__weight=None,
    )
    assert label(make(path, tokenizer), TEXTS[0]) == [reference.label(ids(TEXTS[0]))]


def test_a_text_is_cut_to_512_tokens_with_the_separator_kept(
    tmp_path: Path, tokenizer: str
) -> None:
    reference = make_reference(positions=512)
    labeler = make(save(tmp_path / "chexbert.pth", reference), tokenizer)
    read: list[list[int]] = []
    labeler.network.register_forward_pre_hook(lambda _, given: read.append(given[0][0].tolist()))
    long = "mild edema . " * 200
    assert label(labeler, long) == [reference.label([*ids(long)[:511], 3])]
    assert read == [[*ids(long)[:511], 3]]


def test_white_space_makes_no_difference(weights: Path, tokenizer: str) -> None:
    one, other = label(make(weights, tokenizer), "mild  edema\n.\n", " mild edema .")
    assert one == other


def test_the_fingerprint_tells_one_file_from_another(
    weights: Path, tmp_path: Path, tokenizer: str
) -> None:
    other = save(tmp_path / "other.pth", make_reference(positions=32))
    one = make(weights, tokenizer).fingerprint()
    assert one.startswith("CheXbert chexbert.pth (sha256 ")
    assert one.split("(")[1] != make(other, tokenizer).fingerprint().split("(")[1]


def test_it_keeps_the_contract_of_annotators(tmp_path: Path) -> None:
    check_component("annotator", "chexbert", **write_chexbert(tmp_path))


def test_building_it_draws_nothing_from_the_global_generator(weights: Path, tokenizer: str) -> None:
    before = torch.get_rng_state()
    make(weights, tokenizer)
    assert torch.equal(before, torch.get_rng_state())


# ---- what it refuses ------------------------------------------------------------------------


def refusal(weights: Path | str, tokenizer: str, **options: Any) -> str:
    with pytest.raises(WeightsError) as raised:
        CheXbertLabeler(
            weights=str(weights), tokenizer=tokenizer, **{"heads": 4, "device": "cpu", **options}
        ).read_given()
    return str(raised.value)


def test_absent_weights_are_refused_with_where_they_are_published(tokenizer: str) -> None:
    message = refusal("nowhere/chexbert.pth", tokenizer)
    assert message.startswith("there are no weights of CheXbert at nowhere/chexbert.pth.")
    assert "hf download StanfordAIMI/RRG_scorers chexbert.pth" in message
    assert "set weights: DIR/chexbert.pth" in message


def test_missing_tensors_are_named(tmp_path: Path, tokenizer: str, reference: Reference) -> None:
    path = save(tmp_path / "a.pth", reference, linear_heads__13__bias=None)
    assert f"{path} is not CheXbert's: it lacks 'linear_heads.13.bias'" in refusal(path, tokenizer)


def test_tensors_too_many_are_named(tmp_path: Path, tokenizer: str, reference: Reference) -> None:
    path = save(tmp_path / "a.pth", reference, linear_heads__14__bias=torch.zeros(4))
    assert "has 'linear_heads.14.bias', for which CheXbert has no place" in refusal(path, tokenizer)


def test_a_wrong_shape_is_named(tmp_path: Path, tokenizer: str, reference: Reference) -> None:
    path = save(tmp_path / "a.pth", reference, linear_heads__0__weight=torch.zeros(2, 32))
    message = refusal(path, tokenizer)
    assert "has (2, 32) for 'linear_heads.0.weight'; expected (4, 32)" in message


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, tokenizer: str) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, path)
    assert "holds no 'model_state_dict' of tensors (it holds state_dict)" in refusal(
        path, tokenizer
    )
    torch.save({"model_state_dict": {"module.a": torch.zeros(1)}}, path)
    assert "has no matrix 'bert.embeddings.word_embeddings.weight'" in refusal(path, tokenizer)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, tokenizer: str) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model_state_dict": {}, "extra": Path("a")}, path)
    message = refusal(path, tokenizer)
    assert f"{path} holds more than tensors (pathlib." in message
    assert "which may run a program when it is read" in message
    assert "weights_only" not in message  # torch's advice is to read it all the same


@pytest.mark.parametrize("content", [b"", b"hello, world", b"<html>", pickle.dumps([1])])
def test_junk_is_no_checkpoint(content: bytes, tmp_path: Path, tokenizer: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    message = refusal(path, tokenizer)
    assert message.startswith(f"{path} is no checkpoint of PyTorch, or a damaged one.")
    assert "torch.load" not in message


def test_heads_that_do_not_divide_the_width_are_refused(weights: Path, tokenizer: str) -> None:
    assert "is 32 wide, which 12 heads of attention cannot share" in (
        refusal(weights, tokenizer, heads=12)
    )


def test_a_tokenizer_of_another_model_is_refused(weights: Path, tmp_path: Path) -> None:
    larger = write_tokenizer(tmp_path / "larger", words=[*VOCABULARY, "more"])
    assert f"has {len(VOCABULARY) + 1} tokens; the weights, {len(VOCABULARY)}" in (
        refusal(weights, larger)
    )
    cased = write_tokenizer(tmp_path / "cased", lower=False)
    assert "tells upper from lower case; CheXbert's is bert-base-uncased" in refusal(weights, cased)


def test_a_study_without_a_report_is_an_error(weights: Path, tokenizer: str) -> None:
    labeler = make(weights, tokenizer)
    with pytest.raises(DataError, match="study 'a' has no report that CheXbert could label"):
        list(labeler.annotate([Study("a", (), ())]))


def test_no_study_gives_no_labels(weights: Path, tokenizer: str) -> None:
    found: list[Labels] = list(make(weights, tokenizer).annotate([]))
    assert not found


def test_impossible_options_are_refused(weights: Path, tokenizer: str) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        make(weights, tokenizer, batch_size=0)
    with pytest.raises(ValueError, match="device 'gpu0' is none that torch knows"):
        CheXbertLabeler(weights=str(weights), tokenizer=tokenizer, device="gpu0")
