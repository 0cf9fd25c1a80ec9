"""Clinical efficacy: do the predicted reports name the observations that the references name."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from jaxtyping import Int8

from rrgcore.annotations import Labels
from rrgcore.chest import NO_FINDING, OBSERVATIONS
from rrgcore.cleaning import is_empty
from rrgcore.errors import DataError, did_you_mean
from rrgcore.scoring import Metric, Pair, ReadsFindings, Scores
from rrgcore.study import Study
from rrgcore.supply import Annotator

from .clinical_f1 import Average, Count, Outcomes, Policy, Uncertain, encode, policies

HEADLINE = (
    Policy("P", 14, "micro", "negative"),
    Policy("R", 14, "micro", "negative"),
    Policy("F1", 14, "micro", "negative"),
    Policy("F1", 14, "macro", "negative"),
    Policy("F1", 14, "example", "negative"),
    Policy("F1", 14, "micro", "positive"),
    Policy("F1", 5, "micro", "positive"),
)
"""Those most in use: what is shown, and what a quick score is; all are stored."""


@final
class ClinicalMetric(Metric, ReadsFindings):
    """Precision, recall and F1 of the observations in reports, the policy in each name.

    P = TP / (TP + FP), R = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN), 0 where undefined; a
    report and an observation are one cell. "F1 (14, micro, uncertain positive)" is over CheXpert's
    14 observations (5: its competition tasks); micro counts all cells together, macro and weighted
    are means over observations (weighted: by their positive references), example is the mean over
    reports. What is not mentioned is negative. A cell where either label is uncertain counts as
    positive, as negative, or is left out. The definitions are scikit-learn's, zero_division=0; the
    lineages that use each are in docs/clinical.md.

    References are labelled by `reference_labeler` where they have labels of their own, else by
    `labeler`. Raises DataError where a label cannot be made. A labeler that goes by study (a table)
    knows one system's reports: others scored with it are `missing`.
    """

    def __init__(
        self,
        *,
        labeler: Annotator,
        reference_labeler: Annotator | None = None,
        observations: tuple[Count, ...] = (14, 5),
        averages: tuple[Average, ...] = ("micro", "macro", "example", "weighted"),
        uncertain: tuple[Uncertain, ...] = ("positive", "negative", "ignored"),
    ) -> None:
        chosen = {"observations": observations, "averages": averages, "uncertain": uncertain}
        if empty := [name for name, values in chosen.items() if not values]:
            raise ValueError(f"`{empty[0]}` is empty; name at least one, or leave the option away")
        self.labeler = labeler
        self.reference_labeler = reference_labeler
        self.chosen: dict[str, Any] = chosen
        self._predictions = _Reader(labeler)
        self._references = _Reader(reference_labeler) if reference_labeler else self._predictions
        by_study = not _reads_text(labeler)
        if by_study and reference_labeler is None:
            raise ValueError(
                f"{labeler.fingerprint()} labels by study and not by text, so it would give a "
                "prediction the labels of its own reference. Name a `reference_labeler`, or a "
                "`labeler` that reads the report (one that says `from_report = True`)"
            )
        if by_study and labeler.fingerprint() == self._references.fingerprint:
            raise ValueError(
                f"predictions and references would both take their labels from "
                f"{labeler.fingerprint()}, study by study, and agree always"
            )

    def fit(self, training: Sequence[str]) -> None:
        """Let labelers learn that do."""
        studies = [Study(f"training {i}", (), (), text) for i, text in enumerate(training, 1)]
        for reader in {id(r): r for r in (self._predictions, self._references)}.values():
            reader.fit(studies)

    def score(self, pairs: Sequence[Pair], *, quick: bool = False) -> Scores:
        """Score a corpus; quick gives the headline alone, without terms and details."""
        scores = self._score({"": pairs}, quick=quick)[""]
        if scores.missing:
            raise DataError("\n".join(dict.fromkeys(scores.missing.values())))
        return scores

    def score_all(self, systems: Mapping[str, Sequence[Pair]]) -> Mapping[str, Scores]:
        """Score several systems, each distinct text labelled once."""
        return self._score(systems, quick=False)

    def findings(self, pairs: Sequence[Pair]) -> list[tuple[frozenset[str], frozenset[str]]] | None:
        """Return the observations but No Finding; a labeler that goes by study knows none of
        reports that it was not asked for.
        """
        if not _reads_text(self.labeler):
            return None
        sides = (
            (self._predictions, [Study(pair.id, (), (), pair.prediction) for pair in pairs]),
            (self._references, [Study(pair.id, (), (), pair.reference) for pair in pairs]),
        )
        named = []
        for reader, studies in sides:
            reader.read(studies)
            named.append([_named(row) for row in reader.codes(studies)] if studies else [])
        return list(zip(*named, strict=True))

    def _score(self, systems: Mapping[str, Sequence[Pair]], *, quick: bool) -> dict[str, Scores]:
        if not all(systems.values()):
            raise DataError("nothing to score: there is no pair of reports")
        predictions = {
            name: [Study(pair.id, (), (), pair.prediction) for pair in pairs]
            for name, pairs in systems.items()
        }
        references = {
            name: [Study(pair.id, (), (), pair.reference) for pair in pairs]
            for name, pairs in systems.items()
        }
        known = {name: self._predictions.knows(each) for name, each in predictions.items()}
        predicted = [s for name, each in predictions.items() if known[name] for s in each]
        true = [s for each in references.values() for s in each]
        if self._references is self._predictions:
            self._predictions.read([*true, *predicted])
        else:
            self._predictions.read(predicted)
            self._references.read(true)
        scores: dict[str, Scores] = {}
        for name, pairs in systems.items():
            if not known[name]:
                scores[name] = self._missing(len(pairs))
                continue
            codes = (
                self._predictions.codes(predictions[name]),
                self._references.codes(references[name]),
            )
            details = {} if quick else {"reports": _about(pairs)}
            scores[name] = self._scores(*codes, details=details, quick=quick)
        return scores

    def _scores(
        self,
        prediction: Int8[np.ndarray, "pairs observations"],
        reference: Int8[np.ndarray, "pairs observations"],
        *,
        details: dict[str, Any],
        quick: bool,
    ) -> Scores:
        outcomes = {
            each: Outcomes(prediction, reference, each) for each in self.chosen["uncertain"]
        }
        wanted = self._headline() if quick else policies(**self.chosen)
        terms = {policy: outcomes[policy.uncertain].terms(policy) for policy in wanted}
        values = {
            str(policy): float(each.value(outcomes[policy.uncertain].sums))
            for policy, each in terms.items()
        }
        fingerprint = self._fingerprint(len(prediction))
        if quick:
            return Scores(values, fingerprint)
        own = {f"uncertain {name}": each.observations() for name, each in outcomes.items()}
        return Scores(
            values,
            fingerprint,
            terms={str(policy): each for policy, each in terms.items()},
            details={**details, "observations": own},
            headline=tuple(map(str, self._headline())),
        )

    def _headline(self) -> list[Policy]:
        """Return the headline's that were chosen; where none was, P, R and F1 of the first."""
        chosen = list(policies(**self.chosen))
        return [policy for policy in HEADLINE if policy in chosen] or chosen[:3]

    def _missing(self, count: int) -> Scores:
        why = (
            f"{self._predictions.fingerprint} labels by study, and knows the reports that it was "
            "first asked for: these are others. A labeler that reads the report can label any"
        )
        wanted = policies(**self.chosen)
        return Scores({}, self._fingerprint(count), missing={str(policy): why for policy in wanted})

    def _fingerprint(self, count: int) -> str:
        parts = [
            "clinical efficacy, policy in each name",
            "not mentioned is negative",
            "undefined ratios are 0",
        ]
        if self._references is self._predictions:
            parts.append(f"labels by {self._predictions.fingerprint}")
        else:
            parts.append(f"labels of predictions by {self._predictions.fingerprint}")
            parts.append(f"labels of references by {self._references.fingerprint}")
        return "; ".join([*parts, f"{count} pairs"])


@final
class _Reader:
    """The labels that a labeler gives, by text or by study; each distinct one is asked for once."""

    def __init__(self, labeler: Annotator) -> None:
        if labeler.writes is not Labels:
            raise ValueError(
                f"{labeler.fingerprint()} writes {labeler.writes.__name__}; expected an annotator "
                "of Labels"
            )
        if labeler.reads:
            raise ValueError(
                f"{labeler.fingerprint()} reads {labeler.reads[0].__name__}, which reports that "
                "are scored do not carry; expected a labeler that reads the report or the id"
            )
        self.labeler = labeler
        self._rows: dict[str, Int8[np.ndarray, " observations"]] = {}
        self._texts: dict[str, str | None] = {}
        """What each study said when a labeler that goes by study was first asked for it."""

    @property
    def fingerprint(self) -> str:
        return self.labeler.fingerprint()

    def fit(self, studies: Sequence[Study]) -> None:
        self._rows = {}
        self.labeler.fit(studies)

    def knows(self, studies: Sequence[Study]) -> bool:
        """Whether it can label these: any, if by text; by study, one text for each."""
        if _reads_text(self.labeler):
            return True
        texts = dict(self._texts)
        if any(texts.setdefault(study.id, study.report) != study.report for study in studies):
            return False
        self._texts = texts
        return True

    def read(self, studies: Sequence[Study]) -> None:
        """Label what is new, and forget what is not among these: references stay, outputs go."""
        wanted: dict[str, Study] = {}
        for study in studies:
            wanted.setdefault(self._key(study), study)
        new = {key: study for key, study in wanted.items() if key not in self._rows}
        labels = list(self.labeler.annotate(list(new.values())))
        assert len(labels) == len(new), "an annotator yields one annotation a study"
        for each, study in zip(labels, new.values(), strict=True):
            self._check(each, study)
        rows = self._rows | dict(zip(new, encode(labels), strict=True))
        self._rows = {key: rows[key] for key in wanted}

    def codes(self, studies: Sequence[Study]) -> Int8[np.ndarray, "pairs observations"]:
        return np.stack([self._rows[self._key(study)] for study in studies])

    def _key(self, study: Study) -> str:
        return (study.report or "") if _reads_text(self.labeler) else study.id

    def _check(self, labels: Labels, study: Study) -> None:
        for name, value in labels.values.items():
            if name not in OBSERVATIONS:
                raise DataError(
                    f"{self.fingerprint} labels study '{study.id}' with '{name}', which is none of "
                    f"the 14 observations.{did_you_mean(name, OBSERVATIONS)}"
                )
            if value not in (1, 0, -1):
                raise DataError(
                    f"{self.fingerprint} labels study '{study.id}' with {value} for '{name}'; "
                    "expected 1 positive, 0 negative or -1 uncertain, and nothing where it is not "
                    "mentioned"
                )


def _named(codes: Int8[np.ndarray, " observations"]) -> frozenset[str]:
    """Return the observations that are positive or uncertain."""
    named = zip(OBSERVATIONS, codes.tolist(), strict=True)
    return frozenset(name for name, code in named if code and name != NO_FINDING)


def _reads_text(labeler: Annotator) -> bool:
    """Whether a labeler can label any text, and not only the studies that it has heard of."""
    return labeler.from_report and not labeler.by_id


def _about(pairs: Sequence[Pair]) -> dict[str, int]:
    """Count what makes labels look better or worse than the reports are."""
    return {
        "distinct predictions": len({pair.prediction for pair in pairs}),
        "empty predictions": sum(is_empty(pair.prediction) for pair in pairs),
        "empty references": sum(is_empty(pair.reference) for pair in pairs),
    }
