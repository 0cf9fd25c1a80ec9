"""Scoring under `coco`, all metrics, beside pycocoevalcap's scorers one after the other.

As many pairs as MIMIC-CXR's test split has. Both start their own Java processes each time, and must
agree.
"""

import contextlib
import io
from collections.abc import Mapping

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from stopwatch import medians

from rrg_metrics.coco import Coco
from rrg_phantom.dataset import PhantomDataset
from rrgcore.scoring import Pair

PAIRS = 3858


def make_pairs(count: int = PAIRS) -> list[Pair]:
    """Reports of phantoms, each beside another's; of a fifth, beside itself."""
    dataset = PhantomDataset(image_size=80, train=2 * count, seed=0)
    reports = [study.report or "" for study in dataset.studies("train")]
    rng = np.random.default_rng(0)
    return [
        Pair(str(i), reports[i if rng.random() < 0.2 else count + i], reports[i])
        for i in range(count)
    ]


def one_after_the_other(pairs: list[Pair]) -> dict[str, float]:
    """What pycocoevalcap makes of them."""
    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        references = tokenizer.tokenize({p.id: [{"caption": p.reference}] for p in pairs})
        predictions = tokenizer.tokenize({p.id: [{"caption": p.prediction}] for p in pairs})
        bleu, _ = Bleu(4).compute_score(references, predictions)
        return {
            **{f"BLEU-{n}": float(value) for n, value in enumerate(bleu, 1)},
            "METEOR": Meteor().compute_score(references, predictions)[0],
            "ROUGE-L": float(Rouge().compute_score(references, predictions)[0]),
            "CIDEr": float(Cider().compute_score(references, predictions)[0]),
        }


def main() -> None:
    pairs = make_pairs()
    found: dict[str, Mapping[str, float]] = {}

    def tool() -> None:
        found["tool"] = one_after_the_other(pairs)

    def ours() -> None:
        scores = Coco().score(pairs)
        assert not scores.missing, scores.missing
        found["ours"] = scores.values

    seconds = medians({"tool": tool, "ours": ours}, rounds=5, uncounted=0)
    assert found["tool"].keys() == found["ours"].keys(), "they compute different scores"
    apart = max(abs(value - found["ours"][name]) for name, value in found["tool"].items())
    assert apart < 1e-9, f"they differ by {apart}"
    print(
        f"scoring: {PAIRS:,} pairs under coco in {seconds['ours']:.1f} s, "
        f"{seconds['tool'] / seconds['ours']:.1f} × as fast as pycocoevalcap's scorers one after "
        f"the other; scores at most {apart:.0e} apart"
    )


if __name__ == "__main__":
    main()
