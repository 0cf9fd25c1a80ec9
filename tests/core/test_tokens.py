"""Tokenizers: the same promises from a word vocabulary and from Hugging Face's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rrgcore.errors import WeightsError
from rrgcore.tokens import (
    SPECIAL,
    AbsentTokenizer,
    PretrainedTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
)

REPORT = "the heart is normal ."
WORDS = ("the", "heart", "is", "normal", "sized", ".", "no", "effusion")


def words(special: tuple[str, ...] = ()) -> Tokenizer:
    return WordTokenizer(words=WORDS, special=special)


def pretrained(special: tuple[str, ...] = ()) -> Tokenizer:
    from transformers import BertTokenizerFast

    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *WORDS, "##ly"))}
    return PretrainedTokenizer(backend=BertTokenizerFast(vocab=vocabulary), special=special)


BOTH = pytest.mark.parametrize("make", [words, pretrained])
Make = Callable[..., Tokenizer]


@BOTH
def test_a_text_is_framed_as_bert_does(make: Make) -> None:
    tokenizer = make()
    ids = tokenizer.encode(REPORT)
    assert ids[0] == tokenizer.cls_id == tokenizer.id_of("[CLS]")
    assert ids[-1] == tokenizer.sep_id == tokenizer.id_of("[SEP]")
    assert [tokenizer.id_of(word) for word in REPORT.split()] == ids[1:-1]


@BOTH
def test_a_text_comes_back_as_it_was(make: Make) -> None:
    tokenizer = make()
    assert tokenizer.decode(tokenizer.encode(REPORT)) == REPORT


@BOTH
@pytest.mark.parametrize("max_tokens", [2, 3, 5, 7, 100])
def test_a_long_text_is_cut_with_its_end_kept(make: Make, max_tokens: int) -> None:
    tokenizer = make()
    whole = tokenizer.encode(REPORT)
    cut = tokenizer.encode(REPORT, max_tokens=max_tokens)
    assert len(cut) == min(max_tokens, len(whole))
    assert cut == [*whole[: len(cut) - 1], tokenizer.sep_id]


@BOTH
def test_there_is_no_text_of_one_token(make: Make) -> None:
    with pytest.raises(AssertionError, match="two tokens"):
        make().encode(REPORT, max_tokens=1)


@BOTH
def test_every_token_knows_its_word(make: Make) -> None:
    tokenizer = make()
    ids, index = tokenizer.encode_words(REPORT.split())
    assert ids == tokenizer.encode(REPORT)
    assert index == [None, 0, 1, 2, 3, 4, None]


def test_the_pieces_of_a_word_are_of_one_word() -> None:
    tokenizer = pretrained()
    ids, index = tokenizer.encode_words(["normally", "sized."])
    assert index == [None, 0, 0, 1, 1, None]
    assert ids[2] == tokenizer.id_of("##ly")


@BOTH
def test_special_tokens_are_held_and_not_written(make: Make) -> None:
    tokenizer = make(("[MATCH]",))
    assert len(tokenizer) == len(make()) + 1
    match = tokenizer.id_of("[MATCH]")
    assert match < len(tokenizer)
    assert tokenizer.decode([match, tokenizer.pad_id, tokenizer.id_of("heart")]) == "heart"


@BOTH
def test_a_special_token_that_is_held_already_is_held_once(make: Make) -> None:
    assert len(make(("[MASK]", "[CLS]"))) == len(make())


@BOTH
def test_the_ids_of_the_frame_are_four_different_ones(make: Make) -> None:
    tokenizer = make()
    frame = {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    assert len(frame) == 4


@BOTH
def test_an_unknown_token_has_no_id(make: Make) -> None:
    with pytest.raises(KeyError):
        make().id_of("pneumonia")


@BOTH
def test_what_is_saved_is_loaded_with_the_same_ids(make: Make, tmp_path: Path) -> None:
    tokenizer = make(("[MATCH]",))
    tokenizer.save(tmp_path / "tokenizer")
    again = load_tokenizer(str(tmp_path / "tokenizer"), special=("[MATCH]",))
    assert type(again) is type(tokenizer)
    assert len(again) == len(tokenizer)
    assert again.encode(REPORT) == tokenizer.encode(REPORT)
    assert again.id_of("[MATCH]") == tokenizer.id_of("[MATCH]")
    assert again.decode([again.id_of("[MATCH]")]) == ""


@BOTH
def test_it_keeps_the_protocol(make: Make) -> None:
    assert isinstance(make(), Tokenizer)


# ---- words ----------------------------------------------------------------------------------


def test_a_vocabulary_is_sorted_and_leaves_rare_words_out() -> None:
    tokenizer = WordTokenizer.of_texts(["the heart .", "the lung ."], min_count=2)
    assert tokenizer.tokens == [*SPECIAL, ".", "the"]


def test_words_that_a_component_writes_are_in_it_however_rare() -> None:
    tokenizer = WordTokenizer.of_texts(["a b"], min_count=5, extra=["present"])
    assert tokenizer.tokens == [*SPECIAL, "present"]


def test_a_vocabulary_does_not_depend_on_the_order_of_reports() -> None:
    one = WordTokenizer.of_texts(["a b", "c"], special=("[MATCH]",))
    other = WordTokenizer.of_texts(["c", "b a"], special=("[MATCH]",))
    assert one.tokens == other.tokens == [*SPECIAL, "[MATCH]", "a", "b", "c"]


def test_a_report_that_spells_a_special_token_makes_no_second_one() -> None:
    tokenizer = WordTokenizer.of_texts(["[MASK] [MATCH] heart"], special=("[MATCH]",))
    assert tokenizer.tokens == [*SPECIAL, "[MATCH]", "heart"]


def test_an_unknown_word_is_shown_as_such() -> None:
    tokenizer = words()
    assert tokenizer.decode(tokenizer.encode("the pancreas .")) == "the [UNK] ."


def test_a_damaged_vocabulary_is_told(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text('{"words": ["a"]}')
    with pytest.raises(WeightsError, match=r"words\.json is no vocabulary of rrg's"):
        load_tokenizer(str(tmp_path))


# ---- Hugging Face ---------------------------------------------------------------------------


def test_a_tokenizer_without_a_frame_of_berts_uses_its_own() -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    backend = Backend(WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "heart": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    llama = PretrainedTokenizer(
        backend=PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
        )
    )
    assert llama.encode("heart") == [1, 3, 2]
    assert (llama.pad_id, llama.mask_id) == (2, 0)


def test_a_tokenizer_without_any_frame_is_refused() -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    backend = PreTrainedTokenizerFast(tokenizer_object=Backend(WordLevel({"a": 0}, unk_token="a")))
    with pytest.raises(WeightsError, match="no beginning or no end"):
        PretrainedTokenizer(backend=backend)


def test_a_tokenizer_that_is_nowhere_says_how_to_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as caught:
        load_tokenizer("someone/no-such-model")
    assert str(caught.value) == (
        "the tokenizer 'someone/no-such-model' is neither a folder or file here nor reachable as "
        "a hub name.\n"
        "Where there is a network:  hf download someone/no-such-model --local-dir DIR\n"
        "then bring DIR here and name its path instead of 'someone/no-such-model'"
    )


def test_a_path_that_does_not_exist_is_told_as_a_path(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a path that does not exist"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no tokenizer"):
        load_tokenizer(str(tmp_path))


# ---- absent ---------------------------------------------------------------------------------


def test_an_absent_tokenizer_has_a_size_and_nothing_else(tmp_path: Path) -> None:
    absent = AbsentTokenizer(name="meta-llama/Llama-2-7b-chat-hf", size=32000)
    assert len(absent) == 32000
    assert isinstance(absent, Tokenizer)
    for use in (
        lambda: absent.encode("heart"),
        lambda: absent.encode_words(["heart"]),
        lambda: absent.decode([1]),
        lambda: absent.save(tmp_path),
    ):
        with pytest.raises(WeightsError, match="'meta-llama/Llama-2-7b-chat-hf' is not at hand"):
            use()


def test_a_special_token_that_comes_later_moves_no_word(tmp_path: Path) -> None:
    """A trained embedding keeps its rows when a new component asks for a token of its own."""
    before = WordTokenizer(words=WORDS, special=("[START]",))
    before.save(tmp_path / "once")
    after = load_tokenizer(str(tmp_path / "once"), special=("[START]", "[MATCH]"))
    after.save(tmp_path / "twice")
    again = load_tokenizer(str(tmp_path / "twice"), special=("[MATCH]", "[START]"))

    assert after.encode(" ".join(WORDS)) == before.encode(" ".join(WORDS))
    assert after.id_of("[MATCH]") == again.id_of("[MATCH]") == len(before)
    assert len(again) == len(after) == len(before) + 1
    assert again.decode([again.id_of("[MATCH]")]) == ""
