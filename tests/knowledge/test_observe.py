"""Labels from probabilities and a report, by rule: which of the two decides."""

import subprocess
import sys
from pathlib import Path

import pytest

from rrg_knowledge.label_table import LabelTable
from rrg_knowledge.observe import ObserveByRule
from rrg_knowledge.rules import RulesLabeler
from rrgcore.annotations import Labels, NearestReport, Probabilities
from rrgcore.chest import OBSERVATIONS
from rrgcore.plugins import Discovered
from rrgcore.study import Study
from rrgcore.testing import check_component

from .tables import write_rows

REPORT = "no pneumothorax . small pleural effusion . possible pneumonia ."


def asked(probabilities: dict[str, float], *, text: str = REPORT, whose: str = "other") -> Study:
    found = {
        Probabilities: Probabilities(probabilities),
        NearestReport: NearestReport(text, whose, 0.5),
    }
    return Study("this", (), (), None, found)


def observe(study: Study, **options: object) -> Labels:
    (labels,) = ObserveByRule(**options).annotate([study])  # type: ignore[arg-type]
    return labels


def test_what_the_report_says_outweighs_the_probability():
    likely = {"Pneumothorax": 0.99, "Pleural Effusion": 0.01, "Pneumonia": 0.0}
    assert observe(asked(likely)).values == {
        "Pneumothorax": 0,
        "Pleural Effusion": 1,
        "Pneumonia": 1,
    }


def test_what_it_does_not_mention_is_positive_from_the_threshold_on_or_unlabelled():
    likely = {"Edema": 0.5, "Fracture": 0.499, "Lung Lesion": 0.93}
    labels = observe(asked(likely))
    assert {"Edema", "Lung Lesion"} <= labels.values.keys()
    assert "Fracture" not in labels.values
    assert "Atelectasis" not in labels.values
    assert "Edema" not in observe(asked(likely), threshold=0.8).values


def test_every_label_says_where_it_is_from():
    labels = observe(asked({"Edema": 0.934}))
    assert labels.sources == {
        "Pneumothorax": "report of other",
        "Pleural Effusion": "report of other",
        "Pneumonia": "report of other",
        "Edema": "probability 0.93",
    }
    own = observe(asked({"Edema": 0.934}, whose="this"))
    assert own.sources == {
        **dict.fromkeys(("Pneumothorax", "Pleural Effusion", "Pneumonia"), "report"),
        "Edema": "probability 0.93",
    }


def test_labels_stand_in_the_order_of_the_observations():
    labels = observe(asked(dict.fromkeys(reversed(OBSERVATIONS), 0.9)))
    assert list(labels.values) == list(OBSERVATIONS)


def test_a_table_of_labels_reads_the_report_of_the_study_that_it_is_of(tmp_path: Path):
    blank = dict.fromkeys(OBSERVATIONS, "")
    rows = [
        ["this", *(blank | {"Fracture": "1"}).values()],
        ["other", *(blank | {"Edema": "0"}).values()],
    ]
    path = write_rows(tmp_path / "labels.csv", ["id", *OBSERVATIONS], *rows)
    labels = observe(asked({"Edema": 0.9}), labeler=LabelTable(path=path))
    assert labels.values == {"Edema": 0}


def test_a_labeler_that_does_not_read_reports_is_refused(tmp_path: Path):
    path = write_rows(tmp_path / "labels.csv", ["id", *OBSERVATIONS], ["a", *[""] * 14])
    with pytest.raises(ValueError, match="LabelTable does not label reports"):
        ObserveByRule(labeler=LabelTable(path=path, made_from="images"))
    with pytest.raises(ValueError, match="`labeler`: ObserveByRule does not label reports"):
        ObserveByRule(labeler=ObserveByRule())
    with pytest.raises(ValueError, match="`threshold` is 0"):
        ObserveByRule(threshold=0.0)


def test_it_says_who_reads_the_report():
    assert RulesLabeler().fingerprint() in ObserveByRule(threshold=0.4).fingerprint()
    assert ObserveByRule(threshold=0.4).fingerprint() != ObserveByRule().fingerprint()


def test_importing_annotators_imports_no_torch(plugins: Discovered):
    # `rrg score` and `rrg data` look at them, and are to start in a blink
    ours = [e.component for e in plugins.registry.entries("annotator") if e.plugin == "knowledge"]
    light = [c.target.partition(":")[0] for c in ours if c.name != "chexbert"]
    program = f"import sys, {', '.join(light)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_keeps_the_contract_of_annotators():
    check_component("annotator", "observe", labeler="rules", threshold=0.3)
