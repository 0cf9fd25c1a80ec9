"""Tokenizers: a word vocabulary of the training reports, or any of Hugging Face's.

Both frame a text as BERT does, `[CLS] … [SEP]`, and hold the special tokens components ask for.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from rrgcore.errors import WeightsError
from rrgcore.hub import hub_reachable
from rrgcore.json_text import parse_json

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
WORDS_FILE, CONFIG_FILE = "words.json", "tokenizer_config.json"
KINDS = ("special", "words", "added")
"""What a vocabulary of ours lists."""


@runtime_checkable
class Tokenizer(Protocol):
    """What rrg asks of a tokenizer; a protocol, since Hugging Face's are not ours."""

    pad_id: int
    cls_id: int
    sep_id: int
    mask_id: int

    def __len__(self) -> int:
        """Count every token, the special ones included."""
        ...

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Return `[CLS] … [SEP]`, cut to at most `max_tokens` with the [SEP] kept."""
        ...

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Return `[CLS] … [SEP]` and each token's index of its word (None for special ones)."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text, special tokens left out."""
        ...

    def id_of(self, token: str) -> int:
        """Return the id of a special token or of a word that is one token; raises KeyError."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer(folder)` reads."""
        ...


@final
class WordTokenizer:
    """White-space words with a frequency threshold, as R2Gen's: sorted, rare ones are [UNK].

    `added` are special tokens that came after the vocabulary was made; they take the last ids, so
    that a trained embedding keeps its rows.
    """

    def __init__(
        self, *, words: Sequence[str], special: Sequence[str] = (), added: Sequence[str] = ()
    ) -> None:
        self.tokens = list(dict.fromkeys((*SPECIAL, *special, *words, *added)))
        self._special = set((*SPECIAL, *special, *added))
        self._added = [token for token in dict.fromkeys(added) if token not in special]
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self._ids[token] for token in SPECIAL
        )

    @classmethod
    def of_texts(
        cls,
        texts: Iterable[str],
        *,
        min_count: int = 1,
        extra: Iterable[str] = (),
        special: Sequence[str] = (),
    ) -> "WordTokenizer":
        """Learn the vocabulary of some texts; `extra` words are in it however rare."""
        counts = Counter(word for text in texts for word in text.split())
        kept = {word for word, count in counts.items() if count >= min_count} | set(extra)
        return cls(words=sorted(kept - set(SPECIAL) - set(special)), special=special)

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Return `[CLS] … [SEP]`, cut to at most `max_tokens` with the [SEP] kept."""
        ids = [self._ids.get(word, self.unk_id) for word in text.split()]
        if max_tokens is not None:
            assert max_tokens >= 2, "[CLS] and [SEP] are two tokens"
            ids = ids[: max_tokens - 2]
        return [self.cls_id, *ids, self.sep_id]

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Return `[CLS] … [SEP]` and each token's index of its word (None for special ones)."""
        ids = [self._ids.get(word, self.unk_id) for word in words]
        return [self.cls_id, *ids, self.sep_id], [None, *range(len(words)), None]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text, special tokens left out; [UNK] stays: something was meant there."""
        return " ".join(
            token
            for token in (self.tokens[i] for i in ids)
            if token == UNK or token not in self._special
        )

    def id_of(self, token: str) -> int:
        """Return the id of a token; raises KeyError."""
        return self._ids[token]

    def save(self, folder: Path) -> None:
        """Write `words.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        lists = (
            [t for t in self.tokens if t in self._special and t not in self._added],
            [t for t in self.tokens if t not in self._special],
            self._added,
        )
        text = json.dumps(dict(zip(KINDS, lists, strict=True)), indent=0, ensure_ascii=False)
        (folder / WORDS_FILE).write_text(text, encoding="utf-8")


@final
class PretrainedTokenizer:
    """One of Hugging Face's tokenizers, behind our protocol."""

    def __init__(self, *, backend: Any, special: Sequence[str] = ()) -> None:
        self.backend = backend
        if backend.is_fast:
            from tokenizers.decoders import WordPiece  # comes with the backend, not before

            if isinstance(decoder := backend.backend_tokenizer.decoder, WordPiece):
                decoder.cleanup = False  # "normal ." must not come back as "normal."
        missing = [token for token in special if token not in backend.get_vocab()]
        if missing:
            backend.add_special_tokens(
                {"additional_special_tokens": missing}, replace_extra_special_tokens=False
            )
        frame = {
            "pad": backend.pad_token_id,
            "cls": backend.cls_token_id
            if backend.cls_token_id is not None
            else backend.bos_token_id,
            "sep": backend.sep_token_id
            if backend.sep_token_id is not None
            else backend.eos_token_id,
        }
        if frame["cls"] is None or frame["sep"] is None:
            raise WeightsError(
                f"the tokenizer '{backend.name_or_path}' marks no beginning or no end of a text; "
                "a report needs both"
            )
        self.cls_id, self.sep_id = frame["cls"], frame["sep"]
        # Llama's has no pad and no mask: padding is never read, a masking asks for mask_id itself
        self.pad_id = frame["pad"] if frame["pad"] is not None else self.sep_id
        self.mask_id = (
            backend.mask_token_id if backend.mask_token_id is not None else backend.unk_token_id
        )

    def __len__(self) -> int:
        return len(self.backend)

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Return `[CLS] … [SEP]`, cut to at most `max_tokens` with the [SEP] kept."""
        ids = self.backend.encode(text, add_special_tokens=False, verbose=False)
        if max_tokens is not None:
            assert max_tokens >= 2, "[CLS] and [SEP] are two tokens"
            ids = ids[: max_tokens - 2]
        return [self.cls_id, *ids, self.sep_id]

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Return `[CLS] … [SEP]` and each token's index of its word (None for special ones)."""
        coded = self.backend(
            list(words), is_split_into_words=True, add_special_tokens=False, verbose=False
        )
        return [self.cls_id, *coded["input_ids"], self.sep_id], [None, *coded.word_ids(), None]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text, special tokens left out; the space before a full stop stays."""
        return str(
            self.backend.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        ).strip()

    def id_of(self, token: str) -> int:
        """Return the id of a token; raises KeyError."""
        return int(self.backend.get_vocab()[token])

    def save(self, folder: Path) -> None:
        """Write Hugging Face's own files, without what leads out of them."""
        self.backend.save_pretrained(folder)
        path = folder / CONFIG_FILE
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in found.items() if not _leads_out(key)}
        kept.pop("name_or_path", None)  # where it was on this machine
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@final
class AbsentTokenizer:
    """Stands in for a tokenizer that is not at hand where only its size matters (`rrg show`)."""

    def __init__(self, *, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self.pad_id, self.cls_id, self.sep_id, self.mask_id = range(4)

    def __len__(self) -> int:
        return self.size

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Refuse: there is nothing to encode with."""
        raise self._absent()

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int | None]]:
        """Refuse: there is nothing to encode with."""
        raise self._absent()

    def decode(self, ids: Sequence[int]) -> str:
        """Refuse: there is nothing to decode with."""
        raise self._absent()

    def id_of(self, token: str) -> int:
        """Return an id that only a module on the meta device may see."""
        return 0

    def save(self, folder: Path) -> None:
        """Refuse: there is nothing to save."""
        raise self._absent()

    def _absent(self) -> WeightsError:
        return WeightsError(f"the tokenizer '{self.name}' is not at hand")


def load_tokenizer(name: str, *, special: Sequence[str] = ()) -> Tokenizer:
    """Load a tokenizer that was saved, or one of Hugging Face's, by folder or hub name.

    Raises WeightsError when it is neither a folder nor reachable.
    """
    folder = Path(name).expanduser()
    if (folder / WORDS_FILE).is_file():
        return _load_words(folder / WORDS_FILE, special)
    from transformers import AutoTokenizer  # takes a second: only where one is wanted

    def read(*, cached: bool) -> Any:
        source = str(folder) if folder.is_dir() else name
        # said, since who does not say is asked at the terminal
        return AutoTokenizer.from_pretrained(
            source, local_files_only=cached, trust_remote_code=False
        )

    try:
        backend = read(cached=True)
    except (OSError, ValueError) as error:
        if folder.exists() or not hub_reachable():
            raise WeightsError(absent(name, "tokenizer")) from error
        try:
            backend = read(cached=False)
        except (OSError, ValueError) as second:
            raise WeightsError(absent(name, "tokenizer")) from second
    return PretrainedTokenizer(backend=backend, special=special)


def load_saved_tokenizer(folder: Path, *, special: Sequence[str] = ()) -> Tokenizer:
    """Load a tokenizer that a run has saved; raises WeightsError for a damaged one, and for one
    that would have a file read outside its folder, or code run.
    """
    if (folder / WORDS_FILE).is_file():
        return _load_words(folder / WORDS_FILE, special)
    for path in sorted(folder.glob("*.json")):
        try:
            found = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} is damaged ({error})") from error
        if path.name == CONFIG_FILE:
            _check_config(found, path)
    try:
        return load_tokenizer(str(folder), special=special)
    except WeightsError:
        raise
    except Exception as error:  # of what a file can say, the library does not refuse all alike
        raise WeightsError(f"the tokenizer in {folder} is damaged ({error!r})") from error


def _check_config(found: Any, path: Path) -> None:
    """Refuse what transformers would follow, or what is no tokenizer of its own."""
    from transformers import PreTrainedTokenizerBase
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged: it holds no JSON object")
    for key in found:
        if _leads_out(key):
            raise WeightsError(
                f"{path} says `{key}`, which no tokenizer that is saved says: it leads out of the "
                "run folder, or to code. Somebody has changed it"
            )
    name = found.get("tokenizer_class")
    cls = tokenizer_class_from_name(name) if isinstance(name, str) else None
    if not (isinstance(cls, type) and issubclass(cls, PreTrainedTokenizerBase)):
        raise WeightsError(f"{path}: {name!r} is no tokenizer of transformers")


def _leads_out(key: str) -> bool:
    """Whether a key of transformers' configuration names code, or a file."""
    return key in ("auto_map", "init_inputs") or key.endswith(("_file", "_files"))


def _load_words(path: Path, special: Sequence[str]) -> WordTokenizer:
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
        kinds = {key: data.get(key, []) if key == "added" else data[key] for key in KINDS}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is no vocabulary of rrg's: {error!r}") from error
    for key, tokens in kinds.items():
        if not isinstance(tokens, list) or not all(isinstance(each, str) for each in tokens):
            raise WeightsError(f"{path} is no vocabulary of rrg's: {key} is no list of words")
    known = (*kinds["special"], *kinds["added"])
    new = (token for token in special if token not in known)
    return WordTokenizer(
        words=kinds["words"], special=kinds["special"], added=(*kinds["added"], *new)
    )


def absent(name: str, what: str) -> str:
    """Say that weights or a tokenizer are neither on disk nor reachable, and how to bring them."""
    if Path(name).expanduser().exists():
        return f"'{name}' holds no {what}"
    if re.match(r"^([./~]|[A-Za-z]:)", name) or name.count("/") > 1:
        return f"the {what} '{name}' is a path that does not exist"
    return (
        f"the {what} '{name}' is neither a folder or file here nor reachable as a hub name.\n"
        f"Where there is a network:  hf download {name} --local-dir DIR\n"
        f"then bring DIR here and name its path instead of '{name}'"
    )
