"""Reports of phantoms: what they say, how it is annotated, and that it can be read back."""

import itertools
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from rrg_phantom.case import CATALOGUE, Finding
from rrg_phantom.finding_f1 import finding_f1
from rrg_phantom.grammar import Report, write_report
from rrg_phantom.markup import read_markup
from rrg_phantom.parse import parse_findings
from rrg_phantom.phrases_devices import UNSIDED
from rrg_phantom.sample import sample_findings
from rrg_phantom.statement import Statement
from rrgcore.annotations import RadGraph
from rrgcore.cleaning import clean

EFFUSION = Finding("Pleural Effusion", side="right", severity="small")
NODULE = Finding("Lung Lesion", side="left", zone="upper", kind="nodule")
POSSIBLE_HEART = Finding("Cardiomegaly", severity="moderate", certain=False)
PACEMAKER = Finding("Support Devices", side="left", kind="pacemaker")


def every_finding() -> list[Finding]:
    """Every finding that the catalogue allows."""
    found = []
    for observation, options in CATALOGUE.items():
        fields = (options.sides, options.zones, options.severities, options.kinds)
        for side, zone, severity, kind in itertools.product(
            *(values or (None,) for values in fields)
        ):
            side_or_none = None if kind in UNSIDED else side
            for certain in (True, False) if options.may_be_uncertain else (True,):
                found.append(Finding(observation, side_or_none, zone, severity, kind, certain))
    return list(dict.fromkeys(found))


def draw_case(seed: int) -> tuple[tuple[Finding, ...], Report]:
    findings = sample_findings(np.random.default_rng([1, seed]))
    return findings, write_report(findings, np.random.default_rng([2, seed]))


@pytest.fixture(scope="module")
def corpus() -> list[tuple[tuple[Finding, ...], Report]]:
    return [draw_case(seed) for seed in range(3000)]


# What a report says ------------------------------------------------------------------------------


def test_every_finding_is_read_back_from_any_wording_of_it():
    for finding in every_finding():
        for seed in range(12):
            report = write_report([finding], np.random.default_rng(seed))
            said = {s for s in parse_findings(report.text) if s.positive}
            status = "present" if finding.certain else "uncertain"
            fields = (finding.side, finding.zone, finding.severity, finding.kind)
            assert said == {Statement(finding.observation, status, *fields)}, report.text


def test_whole_reports_are_read_back_with_their_denials(corpus):
    for _, report in corpus:
        assert parse_findings(report.text) == report.statements, report.text


def test_several_findings_of_one_observation_are_all_read_back():
    findings = [NODULE, Finding("Lung Lesion", side="right", zone="lower", kind="mass")]
    for seed in range(50):
        report = write_report(findings, np.random.default_rng(seed))
        assert parse_findings(report.text) == report.statements


def test_no_report_denies_what_it_states(corpus):
    for findings, report in corpus:
        denied = {s.observation for s in report.statements if not s.positive}
        assert not denied & {finding.observation for finding in findings}


def test_lungs_with_a_finding_are_not_called_clear():
    for seed in range(200):
        report = write_report([NODULE], np.random.default_rng(seed))
        assert not re.search(r"(the|both) lungs are clear", report.text)


def test_reports_are_in_clean_form(corpus):
    sentence = r"[a-z]+(-[a-z]+)*( [a-z]+(-[a-z]+)*)*"
    for _, report in corpus:
        assert re.fullmatch(rf"{sentence} \.( {sentence} \.)*", report.text), report.text


def test_cleaning_changes_no_word_of_a_report(corpus):
    for _, report in corpus[:200]:
        assert clean(report.text, "lossless") == report.text
        assert clean(report.text, "r2gen-iu").split() == report.text.split()


def test_an_article_fits_the_word_that_a_slot_put_after_it(corpus):
    for _, report in corpus:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", report.text), report.text


def test_a_report_follows_from_its_generator_alone():
    first, again, other = (
        write_report([EFFUSION, NODULE], np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first == again
    assert first.text != other.text


def test_without_a_generator_the_report_is_the_habitual_one():
    report = write_report([EFFUSION], None)
    assert report.text == (
        "the cardiomediastinal silhouette is normal . the lungs are clear . "
        "there is a small right pleural effusion . no pneumothorax ."
    )


def test_a_side_on_a_device_in_the_midline_is_refused():
    with pytest.raises(AssertionError, match="no side can be said"):
        write_report([Finding("Support Devices", side="left", kind="enteric tube")], None)


# Labels ------------------------------------------------------------------------------------------


def test_labels_tell_present_uncertain_denied_and_not_mentioned():
    labels = write_report([EFFUSION, POSSIBLE_HEART], None).labels
    assert labels["Pleural Effusion"] == 1.0
    assert labels["Cardiomegaly"] == -1.0
    assert labels["Pneumothorax"] == 0.0
    assert labels["Fracture"] is None
    assert labels["No Finding"] is None


@pytest.mark.parametrize(
    ("findings", "label"),
    [([], 1.0), ([PACEMAKER], 1.0), ([PACEMAKER, EFFUSION], None), ([POSSIBLE_HEART], None)],
)
def test_no_finding_is_one_or_blank_and_devices_do_not_count(findings, label):
    assert write_report(findings, None).labels["No Finding"] == label


def test_a_sure_finding_outweighs_a_possible_one_of_the_same_observation():
    left = Finding("Consolidation", side="left", zone="lower", certain=False)
    right = Finding("Consolidation", side="right", zone="upper")
    assert write_report([left, right], None).labels["Consolidation"] == 1.0


# RadGraph ----------------------------------------------------------------------------------------


def test_entities_and_relations_of_a_phrase():
    sentence = read_markup("a small/>o right/>a pleural/a effusion/o@a", "present")
    assert sentence.words == ("a", "small", "right", "pleural", "effusion")
    assert [(e.tokens, e.label, e.relations) for e in sentence.entities] == [
        ("small", "OBS-DP", (("modify", "4"),)),
        ("right", "ANAT-DP", (("modify", "3"),)),
        ("pleural", "ANAT-DP", ()),
        ("effusion", "OBS-DP", (("located_at", "3"),)),
    ]


def test_a_modifier_has_the_status_of_what_it_modifies():
    phrase = "patchy/>o2 changes/o2+~o may represent pneumonia/o"
    labels = [entity.label for entity in read_markup(phrase, "uncertain").entities]
    assert labels == ["OBS-DP", "OBS-DP", "OBS-U"]


def test_a_marked_stretch_of_words_has_inclusive_ends():
    (entity,) = read_markup("heart size is within_normal_limits/o", "present").entities
    assert (entity.tokens, entity.start_ix, entity.end_ix) == ("within normal limits", 3, 5)


def test_every_entity_is_the_words_at_its_place(corpus):
    for _, report in corpus:
        words = report.text.split(" ")
        for entity in report.entities:
            assert entity.tokens == " ".join(words[entity.start_ix : entity.end_ix + 1])
            assert "." not in entity.tokens


def test_every_relation_joins_the_sorts_that_radgraph_joins_within_a_sentence(corpus):
    sorts = {"located_at": {"OBS ANAT"}, "suggestive_of": {"OBS OBS"}}
    sorts["modify"] = {"OBS OBS", "ANAT ANAT"}
    for _, report in corpus:
        words = report.text.split(" ")
        by_key = {entity.key: entity for entity in report.entities}
        assert len(by_key) == len(report.entities)
        for entity in report.entities:
            for kind, target in entity.relations:
                other = by_key[target]
                pair = f"{entity.label.split('-')[0]} {other.label.split('-')[0]}"
                assert pair in sorts[kind], (report.text, entity)
                first, last = sorted((entity.start_ix, other.start_ix))
                assert "." not in words[first:last]


def test_where_a_sentence_names_an_anatomy_an_observation_is_located_at_it(corpus):
    for _, report in corpus:
        ends = [i for i, word in enumerate(report.text.split(" ")) if word == "."]
        sentence_of = {e.key: sum(end < e.start_ix for end in ends) for e in report.entities}
        anatomy, observed, located = (
            {sentence_of[e.key] for e in report.entities if chosen(e)}
            for chosen in (
                lambda e: e.label == "ANAT-DP",
                lambda e: e.label.startswith("OBS"),
                lambda e: any(kind == "located_at" for kind, _ in e.relations),
            )
        )
        assert observed == set(range(len(ends))), report.text
        assert anatomy <= located, report.text


def test_entities_of_denied_and_possible_observations_say_so():
    labels = {e.tokens: e.label for e in write_report([POSSIBLE_HEART], None).entities}
    assert labels["enlarged"] == "OBS-U"
    assert labels["moderately"] == "OBS-U"
    assert labels["pneumothorax"] == "OBS-DA"
    assert labels["clear"] == "OBS-DP"


def test_the_document_is_read_by_core_without_loss(corpus):
    _, report = corpus[0]
    graph = RadGraph.from_json(json.loads(json.dumps(report.radgraph)))
    assert graph.words == tuple(report.text.split(" "))
    assert len(graph.entities) == len(report.entities)
    assert [e.relations for e in graph.entities.values()] == [e.relations for e in report.entities]


# Reading generated text --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", ".", "the the of is . . in", "the trachea is midline ."])
def test_text_without_an_observation_yields_nothing(text):
    assert parse_findings(text) == frozenset()


def test_what_can_be_read_of_a_broken_sentence_is_kept():
    assert parse_findings("small right effusion effusion in is . lungs mass left the") == {
        Statement("Pleural Effusion", "present", side="right", severity="small"),
        Statement("Lung Lesion", "present", side="left", kind="mass"),
    }


def test_a_field_that_makes_no_sense_is_left_out():
    assert parse_findings("moderate left upper lobe nodule with cardiomegaly .") == {
        Statement("Lung Lesion", "present", side="left", zone="upper", kind="nodule"),
        Statement("Cardiomegaly", "present", severity="moderate"),
    }


def test_a_denial_reaches_from_its_word_to_the_end_of_the_sentence():
    assert parse_findings("left pleural plaque without effusion or pneumothorax .") == {
        Statement("Pleural Other", "present", side="left", kind="plaque"),
        Statement("Pleural Effusion", "absent"),
        Statement("Pneumothorax", "absent"),
    }


def test_finding_f1_counts_sides_and_leaves_denials_out():
    reference = "small right pleural effusion . mild cardiomegaly . no pneumothorax ."
    predicted = "small left pleural effusion . mild cardiomegaly . no focal consolidation ."
    scores = finding_f1([predicted], [reference])
    assert scores["finding_f1"] == 0.5
    assert scores["finding_f1_observation"] == 1.0
    assert scores["finding_f1_exact"] == 0.5
    assert scores["finding_f1_macro"] == 0.5


def test_finding_f1_weighs_precision_and_recall():
    scores = finding_f1(
        ["possible mild cardiomegaly .", "left pneumonia ."],
        ["severe cardiomegaly .", "moderate edema . left pleural plaque ."],
    )
    assert scores["finding_precision"] == 0.5
    assert scores["finding_recall"] == pytest.approx(1 / 3)
    assert scores["finding_f1"] == pytest.approx(0.4)
    assert scores["finding_f1_exact"] == 0.0


def test_finding_f1_of_normal_studies_is_one_when_nothing_is_invented():
    assert finding_f1(["the lungs are clear ."], ["no pneumothorax ."])["finding_f1"] == 1.0
    assert finding_f1(["right rib fracture ."], ["no pneumothorax ."])["finding_f1"] == 0.0


# Realism, measured -------------------------------------------------------------------------------


def test_three_thousand_reports_use_at_least_300_words(corpus):
    words = Counter(word for _, report in corpus for word in report.text.split())
    print(f"{len(words)} words, {sum(n >= 3 for n in words.values())} of them at least 3 times")
    assert len(words) >= 300


def test_abnormal_reports_are_distinct_and_normal_studies_few(corpus):
    abnormal = [report.text for findings, report in corpus if findings]
    distinct = len(set(abnormal)) / len(abnormal)
    normal = 1 - len(abnormal) / len(corpus)
    print(f"{distinct:.3f} of the abnormal reports distinct, {normal:.3f} of the studies normal")
    assert distinct >= 0.9
    assert normal <= 0.15


def test_the_same_findings_usually_read_differently(corpus):
    again = [
        write_report(findings, np.random.default_rng([3, i])).text
        for i, (findings, _) in enumerate(corpus[:500])
    ]
    same = np.mean([text == report.text for text, (_, report) in zip(again, corpus, strict=False)])
    assert same <= 0.05


def test_lengths_are_spread_like_those_of_iu_x_ray(corpus, shared: Path):
    archive = shared / "data" / "iu_xray" / "NLMCXR_reports_trainval.tgz"
    if not archive.is_file():
        pytest.skip(f"the reports of IU X-Ray are absent: {archive}")
    real = []
    with tarfile.open(archive) as reports:
        for member in reports:
            if member.name.endswith(".xml"):
                root = ElementTree.fromstring(reports.extractfile(member).read())
                findings = root.findtext(".//AbstractText[@Label='FINDINGS']")
                if findings:
                    real.append(len(clean(findings, "r2gen-iu").split()))
    ours = [len(report.text.split()) for _, report in corpus]
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    for name, lengths in (("IU X-Ray", real), ("phantom", ours)):
        quantiles = np.quantile(lengths, shares).round()
        print(f"{name}: mean {np.mean(lengths):.1f} sd {np.std(lengths):.1f} quantiles {quantiles}")
    assert np.mean(ours) == pytest.approx(np.mean(real), abs=3)
    assert np.std(ours) == pytest.approx(np.std(real), abs=4)
    assert np.abs(np.quantile(ours, shares) - np.quantile(real, shares)).max() <= 8


@pytest.mark.slow
def test_a_perfect_reader_of_the_findings_scores_far_above_the_baselines():
    """CIDEr that habit reaches when it sees everything, against reports that ignore the image."""
    cases = [draw_case(seed) for seed in range(2700)]
    train = [report.text for _, report in cases[:1500]]
    frequent = [text for text, _ in Counter(train).most_common(6)]
    totals: Counter[str] = Counter()
    for start in range(1500, 2700, 200):
        findings, reports = zip(*cases[start : start + 200], strict=True)
        truth = [report.text for report in reports]
        draws = np.random.default_rng(start).integers(len(train), size=(20, 200))
        scores = {
            "most frequent": _cider([frequent[0]] * 200, truth),
            "the six most frequent": np.mean([_cider([text] * 200, truth) for text in frequent]),
            "random": np.mean([_cider([train[i] for i in draw], truth) for draw in draws]),
            "habitual": _cider([write_report(f, None).text for f in findings], truth),
            "another wording": _cider(
                [
                    write_report(f, np.random.default_rng([4, i])).text
                    for i, f in enumerate(findings)
                ],
                truth,
            ),
        }
        for keep in (0.75, 0.6):
            blurred = [
                write_report(_misread(f, keep, np.random.default_rng([5, i])), None).text
                for i, f in enumerate(findings)
            ]
            scores[f"reader of {keep:.0%}"] = _cider(blurred, truth)
            totals[f"finding F1 of the reader of {keep:.0%}"] += finding_f1(blurred, truth)[
                "finding_f1"
            ]
        best = max(scores["most frequent"], scores["random"])
        print(", ".join(f"{n} {s:.3f} ({s / best:.1f} x)" for n, s in scores.items()))
        totals.update(scores)
    mean = {name: total / 6 for name, total in totals.items()}
    f1s = {name: mean.pop(name) for name in list(mean) if name.startswith("finding F1")}
    best = max(mean["most frequent"], mean["the six most frequent"], mean["random"])
    print("mean:", ", ".join(f"{n} {s:.3f} ({s / best:.1f} x)" for n, s in mean.items()), f1s)
    assert mean["habitual"] >= 8 * best
    assert f1s["finding F1 of the reader of 60%"] <= 0.7
    assert mean["reader of 60%"] >= 4 * best


def _misread(
    findings: tuple[Finding, ...], keep: float, rng: np.random.Generator
) -> tuple[Finding, ...]:
    """A reader who sees a share of the findings, and misplaces, misses or invents others."""
    seen = []
    for finding in findings:
        luck = rng.random()
        if luck < keep:
            seen.append(finding)
        elif luck < (1 + keep) / 2:
            options = CATALOGUE[finding.observation]
            sides = [s for s in options.sides if finding.side not in (None, s)]
            zones = options.zones or (None,)
            side = sides[rng.integers(len(sides))] if sides else finding.side
            zone = zones[rng.integers(len(zones))]
            moved = (finding.severity, finding.kind, finding.certain)
            if side != finding.side:
                seen.append(Finding(finding.observation, side, zone, *moved))
        else:
            seen += sample_findings(rng)[:1]
    return tuple({finding.observation: finding for finding in seen}.values())


def _cider(predictions: list[str], references: list[str]) -> float:
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    true, said = (
        {i: [text.replace(" .", "")] for i, text in enumerate(texts)}
        for texts in (references, predictions)
    )
    return float(cider.Cider().compute_score(true, said)[0])
