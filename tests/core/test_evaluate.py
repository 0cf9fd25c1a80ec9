"""Generating over a split."""

import pytest

from rrgcore.evaluate import Prediction, generate_reports
from rrgcore.job import make_accelerator
from rrgcore.nearest import nearest_reports
from rrgcore.probes import exchange_images
from rrgcore.run import Run
from rrgcore.studies import Studies
from rrgcore.watch import Watcher


def test_every_study_gets_another_ones_images(finished: Run) -> None:
    studies = Studies(finished.plan)["test"]
    changed = exchange_images(studies, seed=0)

    assert [study.id for study in changed] == [study.id for study in studies]
    assert [study.report for study in changed] == [study.report for study in studies]
    assert all(a.images != b.images for a, b in zip(studies, changed, strict=True))
    assert {s.images for s in changed} == {s.images for s in studies}


def generated(run: Run, batch_size: int) -> list[Prediction]:
    plan, studies = run.plan, Studies(run.plan)
    model = run.model()
    loader = studies.loader(model, "test", training=False, batch_size=batch_size)
    return generate_reports(
        model,
        loader,
        studies.references("test"),
        plan.generation,
        make_accelerator(plan),
        Watcher(),
        "",
    )


def test_reports_are_written_in_the_order_of_the_studies_and_scored_whole(finished: Run) -> None:
    studies = Studies(finished.plan)["test"]
    found = generated(finished, 3)

    assert [p.id for p in found] == [study.id for study in studies]
    assert [p.reference for p in found] == [study.report for study in studies]
    assert all(p.logprob < 0 for p in found)


def test_what_is_written_does_not_depend_on_the_batch(finished: Run) -> None:
    one, four = generated(finished, 1), generated(finished, 4)

    assert [p.prediction for p in one] == [p.prediction for p in four]
    assert [p.logprob for p in one] == pytest.approx([p.logprob for p in four], abs=1e-5)


def test_a_model_is_left_in_the_mode_it_was_in(finished: Run) -> None:
    plan, model, studies = finished.plan, finished.model(), Studies(finished.plan)
    loader, references = studies.loader(model, "val", training=False), studies.references("val")
    for training in (True, False):
        model.train(training)
        accelerator = make_accelerator(plan)
        generate_reports(model, loader, references, plan.generation, accelerator, Watcher(), "")
        assert model.training is training


def test_the_nearest_report_is_found_as_the_model_reads_it_and_given_as_it_stands_in_the_data(
    finished: Run,
) -> None:
    studies, model = Studies(finished.plan), finished.model("align/best")
    training = studies.reports("train")

    def nearest(raw: list[str]) -> list[str]:
        return nearest_reports(
            model,
            studies.loader(model, "test", training=False, objectives=["irc"]),
            training,
            raw,
            embeds="irc",
            max_tokens=finished.plan.data.max_report_tokens,
            device="cpu",
            watcher=Watcher(),
        )

    assert nearest([report.upper() for report in training]) == [
        report.upper() for report in nearest(training)
    ]
