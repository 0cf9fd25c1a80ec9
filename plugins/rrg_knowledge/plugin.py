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
        Component(
            "annotator",
            "classifier",
            "rrg_knowledge.classifier:ObservationClassifier",
            "probabilities by a timm classifier that is fitted in the run",
        ),
        Component(
            "annotator",
            "probability_table",
            "rrg_knowledge.probability_table:ProbabilityTable",
            "probabilities that a classifier gave elsewhere, from a CSV, by name of column",
        ),
        Component(
            "annotator",
            "nearest_by_probabilities",
            "rrg_knowledge.nearest_by_probabilities:NearestByProbabilities",
            "the training report whose study has the most similar probabilities",
        ),
        Component(
            "annotator",
            "nearest_by_run",
            "rrg_knowledge.nearest_by_run:NearestByRun",
            "the training report nearest in the joint space of another run (KIA's IRC, then IRM)",
        ),
        Component(
            "annotator",
            "nearest_by_matrix",
            "rrg_knowledge.nearest_by_matrix:NearestByMatrix",
            "the training report nearest by embeddings made elsewhere (CXR-RePaiR's CLIP)",
        ),
        Component(
            "annotator",
            "observe",
            "rrg_knowledge.observe:ObserveByRule",
            "labels by what a report mentions, else by probability; no network",
        ),
        Component(
            "annotator",
            "observe_endpoint",
            "rrg_knowledge.observe_endpoint:ObserveByEndpoint",
            "labels by a language model at a URL, to which reports are sent",
        ),
        Component(
            "annotator",
            "observe_local",
            "rrg_knowledge.observe_local:ObserveByLocalModel",
            "labels by a language model on this machine",
        ),
        Component(
            "annotator",
            "scene_graphs",
            "rrg_knowledge.scene_graphs:SceneGraphs",
            "boxes of anatomy from Chest ImaGenome's silver scene graphs, a folder or a zip file",
        ),
        Component(
            "annotator",
            "box_table",
            "rrg_knowledge.box_table:BoxTable",
            "boxes that somebody else drew, from a CSV, in pixels or fractions",
        ),
        Component(
            "annotator",
            "radgraph_file",
            "rrg_knowledge.radgraph_file:RadGraphFile",
            "RadGraph's own files: PhysioNet's JSON, and the package's output (v1 and xl)",
        ),
        Component(
            "annotator",
            "radgraph_package",
            "rrg_knowledge.radgraph_package:RadGraphPackage",
            "RadGraph by the package `radgraph`, in an interpreter that you name",
        ),
        Component(
            "annotator",
            "radgraph_rules",
            "rrg_knowledge.radgraph_rules:RadGraphRules",
            "RadGraph's entities and relations by rules: no weights",
        ),
        Component(
            "annotator",
            "organ",
            "rrg_knowledge.ngrams:OrganNGrams",
            "n-grams that go with a study's observations, as ORGan mines them (CmEAA)",
        ),
        Component(
            "annotator",
            "literal",
            "rrg_knowledge.ngrams:LiteralNGrams",
            "observation n-grams by CmEAA's eq. 6 as it is printed: PMI of shares of reports",
        ),
    ]
