"""Our Penn Treebank tokenizer says what Stanford's says, without Java."""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pycocoevalcap.tokenizer import ptbtokenizer

from rrg_metrics.ptb import PUNCTUATION, lex, tokenize

EXAMPLES = {
    "The patient's lungs are clear.": "the patient 's lungs are clear",
    "Cannot exclude; doesn't, can't, I'd": "can not exclude does n't ca n't i 'd",
    "Dr. Smith, 3 a.m., U.S. The": "dr. smith 3 a.m. u.s. the",
    "A 2.5 cm. nodule, 1,000 mm": "a 2.5 cm nodule 1,000 mm",
    "2.5cm 2.5-cm 5mm 3x4 2.5x3": "2.5 cm 2.5-cm 5mm 3x4 2.5 x3",
    "1/2 3-1/2 12/31/1999 10:30am 5'10\"": "1/2 3-1/2 12/31/1999 10:30 am 5 10",
    "3 1/2 cm": "3\u00a01/2 cm",
    "left-sided AP/PA T1-T2 C3/4 A&P": "left-sided ap/pa t1-t2 c3/4 a&p",
    "clear.No effusion": "clear.no effusion",
    "apex., x": "apex. x",
    "Type B. The lobe. Type C. Lobe": "type b the lobe type c. lobe",
    "No. 5, no. x": "no. 5 no x",
    "(see [below])": "-lrb- see -lsb- below -rsb- -rrb-",
    "XXXX-year-old XXXX. xxxx": "xxxx-year-old xxxx xxxx",
    "5% #3 $5 +/-3 37\u00b0C": "5 % # 3 $ 5 + / -3 37 \u00b0 c",
    "\u201cquoted\u201d \u2018x\u2019 T5\u2013T6 patient\u2019s": "quoted x t5 t6 patient 's",
    "... ..... . . . \u2026 -- --- -----": "-----",
    "www.nih.gov http://a.org/b?c=1. x@y.com": "www.nih.gov http://a.org/b?c=1 x@y.com",
    "<unk> <b> x < 5 &amp; y": "<unk> <b> x < 5 & y",
    "findings:( x": "findings :-lrb- x",
    "": "",
}


@pytest.mark.parametrize(("report", "tokens"), EXAMPLES.items())
def test_a_report_becomes_these_tokens(report: str, tokens: str) -> None:
    assert " ".join(tokenize(report)) == tokens


def test_punctuation_is_lexed_and_then_dropped() -> None:
    assert lex("Clear, no effusion.") == ["clear", ",", "no", "effusion", "."]
    assert tokenize("Clear, no effusion.") == ["clear", "no", "effusion"]


def test_the_dropped_tokens_are_those_of_the_coco_tool() -> None:
    assert frozenset(ptbtokenizer.PUNCTUATIONS) == PUNCTUATION


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x0b", "\u2028"])
def test_a_line_break_within_a_report_is_a_space(line_break: str) -> None:
    assert tokenize(f"No effusion.{line_break}Heart normal") == [
        "no",
        "effusion",
        "heart",
        "normal",
    ]


@pytest.mark.parametrize("text", ["a-", "a.", "&eacute;", ":(", "9 ", "<a ", "a@", "x'", "..", "~"])
def test_degenerate_text_of_thousands_of_repeats_is_no_trap(text: str) -> None:
    assert "".join(lex(text * 3000))


def test_golden_texts_are_tokenized_as_recorded(golden: Callable[[str], Any]) -> None:
    recorded = golden("caption_metrics")
    for name, texts in recorded["raw"].items():
        for side, text in texts.items():
            assert " ".join(tokenize(text)) == recorded["ptb"]["tokenized"][name][side]


# ---- against the Java program -------------------------------------------------------------------


PROGRAM = ("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase")


def java_tokens(texts: Sequence[str], folder: Path) -> list[list[str]]:
    """What pycocoevalcap's jar makes of each text, in one start of Java."""
    # a neutral line between texts: after an abbreviation the program looks at the next line
    path = folder / "texts.txt"
    path.write_text("".join(f"{text}\nq\n" for text in texts), encoding="utf-8", newline="")
    done = subprocess.run(
        ["java", "-cp", ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR, *PROGRAM, str(path)],
        cwd=Path(ptbtokenizer.__file__).parent,
        capture_output=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.decode("utf-8").split("\n")[: 2 * len(texts) : 2]
    assert len(lines) == len(texts)
    return [[t for t in line.rstrip().split(" ") if t and t not in PUNCTUATION] for line in lines]


WORDS = """
the heart size is normal no pleural effusion left-sided lobe XXXX patient's Dr. a.m. i.e. e.g. etc.
vs. al. cm cm. mm. No no. No. fig. T11 T12. L1-L2 C3/4 AP/PA PICC Swan-Ganz 2.5 3.1cm 1/2 3-1/2
1,000 12/31/1999 10:30am 5'10" 98% #2 +/- > < = ± 5° 2.5x3.5 5mm. s/p w/o A&P COPD. CHF,
MD. Ph.D. U.S. J. A. cannot can't don't it's 'the "quoted" (see [sic] {a} above) -- - ... . , ; : ?
! / & * @ _ ^ $5 % # www.x.com http://a.org/b x@y.com Oct. 2005 Inc. St. Rt. Pa. pa. mass. Mass. sq.
ext. approx. sec. 1. 3) (1) a) ii. findings: 120 130 1400 .5 5. -5 +5 … — – “ ” ‘ ’ ½ µm é T5–T6
patient’s don’t • → ≥ cm² &amp; <b> <unk> :) lobe.Heart 1.Normal
"""
GLUE = [" "] * 6 + ["", ".", ". ", ",", ", ", "-", "/", "'s ", " (", ") ", "  ", ": ", "; ", ".)"]
SIGNS = list("abcdefgnstXTNDRS0123459 .,-'/:;()\"&@_#<>=%+*!?  ")


def generated_texts(rng: np.random.Generator) -> list[str]:
    """Radiology-like words glued by anything, and plain noise."""
    texts = []
    for _ in range(2000):
        count = rng.integers(1, 14)
        words, glue = rng.choice(WORDS.split(), count), rng.choice(GLUE, count)
        texts.append("".join(w + g for w, g in zip(words, glue, strict=True)))
        texts.append("".join(rng.choice(SIGNS, rng.integers(2, 12))))
    return texts


def real_texts(shared: Path) -> list[str]:
    """Findings, impression and both of every IU X-Ray report there is, and the COVID case notes."""
    texts = []
    with tarfile.open(shared / "data/iu_xray/NLMCXR_reports_trainval.tgz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".xml") else None
            if file is not None:
                root = ElementTree.parse(file).getroot()
                found = {a.get("Label"): a.text or "" for a in root.iter("AbstractText")}
                parts = [found.get("FINDINGS", ""), found.get("IMPRESSION", "")]
                texts += [*parts, " ".join(parts)]
    splits = json.loads((shared / "data/covid_cxr/annotation.json").read_text(encoding="utf-8"))
    texts += [study["report"] for split in splits.values() for study in split]
    return [" ".join(text.splitlines()) for text in texts]


def differences(texts: Sequence[str], folder: Path) -> list[tuple[str, list[str], list[str]]]:
    """The texts that Java and we tokenize differently."""
    if shutil.which("java") is None:
        pytest.skip("no `java` on the PATH to compare with")
    both = zip(texts, java_tokens(texts, folder), map(tokenize, texts), strict=True)
    return [(text, java, ours) for text, java, ours in both if java != ours]


def test_generated_texts_are_tokenized_as_java_does(tmp_path: Path) -> None:
    texts = [*EXAMPLES, *generated_texts(np.random.default_rng(0))]
    assert differences(texts, tmp_path) == []


def test_all_real_reports_are_tokenized_as_java_does(tmp_path: Path, shared: Path) -> None:
    texts = real_texts(shared)
    assert len(texts) == 3 * 2365 + 112
    assert differences(texts, tmp_path) == []
