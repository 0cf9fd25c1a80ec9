"""The protocols that score reports as they are written: raw, RadEval's, and on 13a tokens."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import final

from rrgcore.scoring import Pair, Terms, mean_terms

from .bleu import corpus_bleu
from .caption import CaptionProtocol
from .fingerprint import CAPTION_TOOL, Fingerprint, with_meteor
from .ngrams import Corpus, Segment
from .rouge import make_stemmer, stemmed_rouge
from .sentences import Written, write_out


class AsWritten(CaptionProtocol):
    """A protocol that counts capitals, and may write cleaned predictions as sentences first."""

    def __init__(
        self, *, sentences: bool = True, meteor: bool = True, meteor_segments: int = 30_000
    ) -> None:
        super().__init__(meteor=meteor, meteor_segments=meteor_segments)
        self.sentences = sentences

    def written(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        """Return the pairs, cleaned predictions as sentences."""
        return _written(pairs, sentences=self.sentences).pairs

    def cleaning(self, pairs: Sequence[Pair]) -> str:
        """Say what a fingerprint says of it."""
        return _written(pairs, sentences=self.sentences).cleaning


@final
class Raw(AsWritten):
    """RGRG and MLRG: reports as they are, a space before each full stop, scores of the corpus.

    Capitals count. So a prediction that is cleaned text (lower case, full stops apart) is written
    as sentences first where most references are not, unless `sentences` is off.
    """

    def tokens(self, report: str) -> str:
        """Return the report with a space before each full stop, and runs of spaces as one."""
        return re.sub(" +", " ", report.replace(".", " ."))

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        return Fingerprint(
            "raw",
            "between white space, full stops apart, case kept",
            len(pairs),
            with_meteor(CAPTION_TOOL, self.meteor),
            cleaning=self.cleaning(pairs),
        )


@final
class RadEval(AsWritten):
    """RadEval and ViLMedic: reports as they are, between white space, and ROUGE-L of stems.

    Capitals count, and a full stop belongs to its word. So a prediction that is cleaned text
    (lower case, full stops apart) is written as sentences first where most references are not,
    unless `sentences` is off.
    """

    def tokens(self, report: str) -> str:
        """Return the report as it is."""
        return report

    def measure(self, segments: Sequence[Segment], pairs: Sequence[Pair]) -> Mapping[str, Terms]:
        """Return the caption tool's terms, but ROUGE-L of stems."""
        corpus = Corpus(segments)
        return {
            **corpus_bleu(corpus.bleu_rows()),
            "ROUGE-L": _stemmed_rouge(pairs),
            "CIDEr": mean_terms(corpus.cider()),
        }

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        tool = f"{CAPTION_TOOL.replace(', ROUGE-L', '')}; {_stemmed()}"
        return Fingerprint(
            "radeval",
            "between white space, case kept",
            len(pairs),
            with_meteor(tool, self.meteor),
            cleaning=self.cleaning(pairs),
        )


@final
class Lower13a(CaptionProtocol):
    """Hugging Face evaluate and Libra: BLEU of 13a tokens in lower case, and ROUGE-L of stems.

    Not smoothed: BLEU-n is 0 where the corpus has no n-gram in common with its references.
    """

    def __init__(self) -> None:
        super().__init__(meteor=False, meteor_segments=0)
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a  # takes a while to import

        self._tokenize = Tokenizer13a()

    def tokens(self, report: str) -> str:
        """Return the tokens of mteval-v13a, as sacrebleu has them, in lower case."""
        tokens: str = self._tokenize(report.lower().rstrip())
        return tokens

    def measure(self, segments: Sequence[Segment], pairs: Sequence[Pair]) -> Mapping[str, Terms]:
        """Return the terms of BLEU and ROUGE-L."""
        rows = Corpus(segments).bleu_rows()
        return {**corpus_bleu(rows, smooth=False), "ROUGE-L": _stemmed_rouge(pairs)}

    def fingerprint(self, pairs: Sequence[Pair]) -> Fingerprint:
        """Say how the scores of these pairs are made."""
        return Fingerprint(
            "13a",
            f"13a of sacrebleu {version('sacrebleu')} in lower case",
            len(pairs),
            f"BLEU of the corpus without smoothing as sacrebleu; {_stemmed()}",
        )


def _written(pairs: Sequence[Pair], *, sentences: bool) -> Written:
    return write_out(pairs) if sentences else Written(pairs)


def _stemmed_rouge(pairs: Sequence[Pair]) -> Terms:
    stems = make_stemmer()
    return mean_terms([stemmed_rouge(stems(p.prediction), stems(p.reference)) for p in pairs])


def _stemmed() -> str:
    return f"ROUGE-L of stems (NLTK {version('nltk')}) as rouge-score 0.1.2"
