"""The protocols on real reports: against the packages, the lineage's own counts, and one sentence.

docs/protocols.md has the same sentence's scores on the test split, which is not among the data.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from rrg_metrics.as_written import Lower13a, RadEval, Raw
from rrg_metrics.coco import Coco, Cxrmate
from rrg_metrics.ptb import tokenize
from rrg_metrics.r2gen import R2Gen, R2GenFull
from rrgcore.cleaning import clean
from rrgcore.scoring import Pair

CONSTANT = (
    "the lungs are clear . there is no focal airspace consolidation . no pleural effusion or "
    "pneumothorax . heart size and mediastinal contour are within normal limits . there are "
    "degenerative changes of the spine ."
)
ITS_REPORT = (
    "The lungs are clear. There is no focal airspace consolidation. No pleural effusion or "
    "pneumothorax. Heart size and mediastinal contour are within normal limits. There are "
    "degenerative changes of the spine."
)
"""A report of the training split; cleaned, it is the constant sentence."""


@pytest.fixture(scope="module")
def findings(shared: Path) -> Mapping[str, list[str]]:
    """R2Gen's `report`s of IU X-Ray: the findings, in the order of its splits."""
    folder = shared / "data/iu_xray"
    found: dict[str, str] = {}
    with tarfile.open(folder / "NLMCXR_reports_trainval.tgz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".xml") else None
            if file is not None:
                root = ElementTree.parse(file).getroot()
                uid = root.find(".//uId")
                assert uid is not None, f"{member.name} has no uId"
                parts = {a.get("Label"): a.text or "" for a in root.iter("AbstractText")}
                found[uid.attrib["id"]] = parts["FINDINGS"]
    ids = json.loads((folder / "r2gen_split_ids.json").read_text(encoding="utf-8"))
    return {split: [found[id.partition("_")[0]] for id in ids[split]] for split in ("train", "val")}


def pairs_of(predictions: Sequence[str], references: Sequence[str]) -> list[Pair]:
    return [
        Pair(str(i), prediction, reference)
        for i, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
    ]


@pytest.fixture(scope="module")
def pairs(findings: Mapping[str, list[str]]) -> list[Pair]:
    """Other people's findings as predictions: for a third of them the study's own."""
    rng = np.random.default_rng(0)
    references = findings["val"]
    drawn = rng.choice(findings["train"], len(references))
    own = rng.random(len(references)) < 0.3
    return pairs_of(np.where(own, references, drawn).tolist(), references)


# ---- R2Gen's own counts -------------------------------------------------------------------------


def test_the_lineages_counts_are_those_of_its_annotation(
    findings: Mapping[str, list[str]],
) -> None:
    words = {
        split: [clean(text, "r2gen-iu").split() for text in findings[split]] for split in findings
    }
    assert {split: len(reports) for split, reports in words.items()} == {"train": 2069, "val": 296}
    assert len({word for report in words["train"] for word in report}) == 1501
    assert [sum(len(report) > 59 for report in words[s]) for s in ("train", "val")] == [162, 24]
    assert np.mean([len(report) for report in words["train"]]) == pytest.approx(36.45, abs=0.005)
    assert np.mean([len(report) for report in words["val"]]) == pytest.approx(35.72, abs=0.005)
    metric = R2Gen(meteor=False)
    metric.fit(findings["train"])
    assert len(metric.vocabulary) == 759


# ---- against the packages -----------------------------------------------------------------------


def tool_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """What pycocoevalcap makes of tokens between spaces."""
    corpus = (
        {i: [text] for i, text in enumerate(references)},
        {i: [text] for i, text in enumerate(predictions)},
    )
    bleu, _ = Bleu(4).compute_score(*corpus, verbose=0)
    return {
        **{f"BLEU-{n}": value for n, value in enumerate(bleu, 1)},
        "ROUGE-L": Rouge().compute_score(*corpus)[0],
        "CIDEr": Cider().compute_score(*corpus)[0],
    }


def expected(read: Callable[[str], str], pairs: Sequence[Pair]) -> dict[str, float]:
    return tool_scores(
        [read(pair.prediction) for pair in pairs], [read(pair.reference) for pair in pairs]
    )


def test_coco_scores_as_the_caption_tool(pairs: list[Pair]) -> None:
    wanted = expected(lambda text: " ".join(tokenize(text)), pairs)
    assert Coco(meteor=False).score(pairs).values == pytest.approx(wanted, abs=1e-12)


def test_cxrmate_scores_as_the_mean_of_the_caption_tools(pairs: list[Pair]) -> None:
    def read(text: str) -> list[str]:
        return [" ".join(tokenize(re.sub(" +", " ", text)))]

    _, each = Bleu(4).compute_score(
        {pair.id: read(pair.reference) for pair in pairs},
        {pair.id: read(pair.prediction) for pair in pairs},
        verbose=0,
    )
    found = Cxrmate(meteor=False).score(pairs).values
    assert [found[f"BLEU-{n}"] for n in range(1, 5)] == pytest.approx(
        [np.mean(values) for values in each], abs=1e-12
    )


def test_r2gen_scores_as_the_caption_tool(
    pairs: list[Pair], findings: Mapping[str, list[str]]
) -> None:
    counts = Counter(w for text in findings["train"] for w in clean(text, "r2gen-iu").split())

    def read(text: str) -> str:
        # as ids: 0, the words, 0, cut to 60; decoded up to the next 0
        ids = [0, *clean(text, "r2gen-iu").split(), 0][:60]
        words = [word for word in ids[1:] if word != 0]
        return " ".join(str(w) if counts[str(w)] >= 3 else "<unk>" for w in words)

    metric = R2Gen(meteor=False)
    metric.fit(findings["train"])
    assert metric.score(pairs).values == pytest.approx(expected(read, pairs), abs=1e-12)


def test_r2gen_full_scores_as_the_caption_tool(pairs: list[Pair]) -> None:
    wanted = expected(lambda text: clean(text, "r2gen-iu"), pairs)
    assert R2GenFull(meteor=False).score(pairs).values == pytest.approx(wanted, abs=1e-12)


def test_raw_scores_as_the_caption_tool(pairs: list[Pair]) -> None:
    wanted = expected(lambda text: re.sub(" +", " ", text.replace(".", " .")), pairs)
    assert Raw(meteor=False).score(pairs).values == pytest.approx(wanted, abs=1e-12)


def stemmed_rouge(pairs: Sequence[Pair]) -> float:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    found = [scorer.score(pair.reference, pair.prediction)["rougeL"] for pair in pairs]
    return float(np.mean([score.fmeasure for score in found]))


def test_radeval_scores_as_the_caption_tool_and_rouge_score(pairs: list[Pair]) -> None:
    wanted = expected(str, pairs) | {"ROUGE-L": stemmed_rouge(pairs)}
    assert RadEval(meteor=False).score(pairs).values == pytest.approx(wanted, abs=1e-12)


def test_13a_scores_as_sacrebleu_and_rouge_score(pairs: list[Pair]) -> None:
    wanted = {"ROUGE-L": stemmed_rouge(pairs)}
    for n in range(1, 5):
        bleu = BLEU(tokenize="13a", lowercase=True, smooth_method="none", max_ngram_order=n)
        predictions, references = zip(*((p.prediction, p.reference) for p in pairs), strict=True)
        wanted[f"BLEU-{n}"] = bleu.corpus_score(list(predictions), [list(references)]).score / 100
    assert Lower13a().score(pairs).values == pytest.approx(wanted, abs=1e-12)


# ---- the constant sentence ----------------------------------------------------------------------

ON_VALIDATION = {
    "r2gen": (0.5173, 0.1771, 0.3469, 0.3392),
    "r2gen-full": (0.5234, 0.1801, 0.3475, 0.3336),
    "raw": (0.4733, 0.1579, 0.3208, 0.3143),
    "radeval": (0.3667, 0.1032, 0.3031, 0.2775),
    "coco": (0.4702, 0.1409, 0.2991, 0.3189),
    "cxrmate": (0.4019, 0.0928, 0.2991, 0.3189),
    "13a": (0.5128, 0.1705, 0.3031, None),
}
"""BLEU-1, BLEU-4, ROUGE-L and CIDEr, as docs/protocols.md has them."""


@pytest.mark.parametrize("text", [CONSTANT, ITS_REPORT], ids=["cleaned", "as written"])
def test_the_constant_sentence_scores_as_documented(
    text: str, findings: Mapping[str, list[str]]
) -> None:
    assert ITS_REPORT in findings["train"]
    metrics = {
        "r2gen": R2Gen(meteor=False),
        "r2gen-full": R2GenFull(meteor=False),
        "raw": Raw(meteor=False),
        "radeval": RadEval(meteor=False),
        "coco": Coco(meteor=False),
        "cxrmate": Cxrmate(meteor=False),
        "13a": Lower13a(),
    }
    constant = pairs_of([text] * 296, findings["val"])
    for name, metric in metrics.items():
        metric.fit(findings["train"])
        values = metric.score(constant).values
        found = [values.get(key) for key in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr")]
        rounded = tuple(None if value is None else round(value, 4) for value in found)
        assert rounded == ON_VALIDATION[name], name
