"""What rrg_knowledge offers."""

from collections.abc import Iterable

from rrgcore import Component, hookimpl


@hookimpl
def rrg_components() -> Iterable[Component]:
    """Declare the components."""
    return [
        Component(
            "annotator",
            "rules",
            "rrg_knowledge.rules:RulesLabeler",
            "labels of reports by phrases, negation and doubt: no weights, no Java (CheXpert)",
        ),
        Component(
            "annotator",
            "chexbert",
            "rrg_knowledge.chexbert:CheXbertLabeler",
            "labels of reports by CheXbert, from its published weights",
        ),
        Component(
            "annotator",
            "label_table",
            "rrg_knowledge.label_table:LabelTable",
            "labels that somebody else made, from a CSV, by name of column",
        ),
    ]
