"""On IU X-Ray's 2,069 training reports ORGan's vocabulary, and lists that it has published.

ORGan's labels are CheXbert's, and not at hand. For two observations, so rare that few reports carry
them, a set of reports that gives the published list (`iu_xray_filter_pmi.json`) was found by
searching for it: those are named here.
"""

import json
import tarfile
from pathlib import Path

import pytest

from rrg_data.iu_xray import listed, study_id
from rrg_data.openi_xml import parse_report
from rrg_knowledge.ngrams_lists import count_by_length
from rrg_knowledge.ngrams_mining import mine_ngrams
from rrg_knowledge.ngrams_vocabulary import mine_vocabulary
from rrg_knowledge.ngrams_words import STOP_WORDS
from rrg_knowledge.rules import RulesLabeler
from rrgcore.cleaning import cleaner

CARRIERS = {
    "CXR1909_IM-0590": {"Atelectasis": 0},
    "CXR3103_IM-1454": {"Atelectasis": 0},
    "CXR1462_IM-0299": {"Atelectasis": 0},
    "CXR267_IM-1147": {"Support Devices": 0},
}
PUBLISHED = {
    "Atelectasis_False": "seen, chest, aorta, xxxx, stable, cardiomediastinal silhouette, intact, "
    "cardiomediastinal, left, without, large, right, mild, consolidation, unremarkable, pulmonary, "
    "limits, within, normal, heart, pneumothorax, pleural",
    "Support Devices_False": "degenerative changes, airspace disease, degenerative, mild, "
    "mediastinum, changes, spine, disease, stable, heart, size, pneumothorax, pleural, normal",
}


@pytest.fixture(scope="module")
def training(shared: Path) -> dict[str, str]:
    """Return the findings of R2Gen's training studies, in R2Gen's order."""
    archive = shared / "data" / "iu_xray" / "NLMCXR_reports_trainval.tgz"
    if not archive.is_file():
        pytest.skip(f"no reports: {archive} is absent")
    found: dict[str, str] = {}
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and (file := files.extractfile(member)) is not None:
                report = parse_report(file.read())
                found[study_id(report)] = report.sections.get("FINDINGS", "")
    return {id: found[id] for id, split in listed().items() if split == "train"}


def test_the_vocabulary_is_organ_s(training: dict[str, str]) -> None:
    clean = cleaner("organ-iu")
    reports = [clean(report) for report in training.values()]
    assert (len(reports), sum(report.count(" .") for report in reports)) == (2069, 9690)
    for frequency in (148, 150, 152):
        vocabulary = mine_vocabulary(reports, frequency=frequency)
        lengths = [len(ngram.split()) for ngram in vocabulary]
        assert [lengths.count(size) for size in (1, 2, 3, 4)] == [48, 10, 3, 0]


@pytest.mark.parametrize("observation", PUBLISHED)
def test_published_lists_are_reproduced_order_included(
    training: dict[str, str], observation: str
) -> None:
    lists = mine_ngrams(training.values(), [CARRIERS.get(id, {}) for id in training])
    assert ", ".join(lists[observation]) == PUBLISHED[observation]


@pytest.mark.slow
def test_mined_with_our_labels_the_lists_are_nearly_as_many(training: dict[str, str]) -> None:
    rules = RulesLabeler()
    labels = [rules.label(report).values for report in training.values()]
    lists = mine_ngrams(training.values(), labels)
    pairs = [row["pairs"] for row in count_by_length(lists).values()]
    # with CheXbert's labels, whose No Finding may be denied, 1183, 238 and 64 (CmEAA, Table 5)
    assert pairs == [1145, 227, 61]
    literal = mine_ngrams(training.values(), labels, method="literal")
    assert [row["pairs"] for row in count_by_length(literal).values()] == [613, 119, 25]
    assert lists["Pneumothorax_False"][0] == "pneumothorax"
    assert "lung volumes" in lists["Atelectasis_True"][:5]


def test_the_stop_words_are_those_of_the_shared_list(shared: Path) -> None:
    path = shared / "papers" / "golden" / "vocabularies.json"
    if not path.is_file():
        pytest.skip(f"no word lists: {path} is absent")
    assert set(json.loads(path.read_text())["nltk_english_stop_words_179"]) == STOP_WORDS
