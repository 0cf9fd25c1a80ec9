"""The Python face: the same work as the commands, and run folders that are complete."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import rrgcore
from rrgcore import load_recipe, load_run
from rrgcore.errors import RecipeError, RunError, UserError
from rrgcore.folder import RunFolder
from rrgcore.manifest import Manifest
from rrgcore.plugins import Discovered
from rrgcore.recipe import dump_recipe
from rrgcore.resolve import resolved
from rrgcore.resume import changed_versions
from rrgcore.run import Run
from rrgcore.same_recipe import is_run_of, recipe_changes
from rrgcore.watch import Watcher

TINY = Path(__file__).parent.parent / "tiny.yaml"


def test_everything_that_is_offered_is_there() -> None:
    assert all(hasattr(rrgcore, name) for name in rrgcore.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rrgcore.nothing  # noqa: B018


def test_a_finished_run_folder_is_complete(finished: Run) -> None:
    files = {path.relative_to(finished.path).as_posix() for path in finished.path.rglob("*.*")}

    checkpoints = {
        f"checkpoints/{stage}/{which}/{name}"
        for stage in ("align", "generate")
        for which in ("best", "last")
        for name in ("manifest.json", "model.safetensors", "state.json")
    }
    assert files == checkpoints | {
        "checkpoints/align/last/optimizer.safetensors",
        "checkpoints/generate/last/optimizer.safetensors",
        "checkpoints/best/manifest.json",
        "checkpoints/best/model.safetensors",
        "checkpoints/best/state.json",
        "tokenizers/words/words.json",
        "artefacts/training.json",
        "artefacts/prediction/judge.json",
        "artefacts/prediction/learned.json",
        "recipe.yaml",
        "run.json",
        "metrics.jsonl",
        "timing.jsonl",
        "scores.json",
        "predictions.jsonl",
        "card.md",
    }


def test_run_json_says_what_the_run_was(finished: Run) -> None:
    record = finished.folder.record

    assert record["recipe"] == "tiny"
    assert record["state"] == "finished"
    assert record["seed"] == 3
    assert record["studies"] == {"train": 10, "val": 3, "test": 4}
    assert record["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert record["parameters"]["shared.joint"]["trainable"] == 2 * (16 * 8 + 8)
    assert record["best"]["stage"] in ("align", "generate")
    assert record["pixels"] == {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    assert record["plugins"].keys() >= {"kia", "phantom"}


def test_metrics_have_a_line_for_each_step_and_validation(finished: Run) -> None:
    lines = finished.folder.metrics()
    steps = [line for line in lines if "split" not in line]

    assert [(line["stage"], line["epoch"], line["step"]) for line in steps] == [
        *(("align", (step - 1) // 3, step) for step in range(1, 7)),
        *(("generate", (step - 1) // 3, step) for step in range(1, 7)),
    ]
    assert {"loss", "lr", "gradient_norm", "mim", "mlm", "irc", "irm", "report"} <= steps[0].keys()
    assert "mim" not in steps[-1]
    assert [line["epoch"] for line in lines if line.get("split") == "val"] == [0, 1, 0, 1]


def test_the_best_checkpoint_is_the_one_that_scored_best(finished: Run) -> None:
    validations = [line for line in finished.folder.metrics() if "split" in line]
    best = max(line["coco.BLEU-1"] for line in validations)
    state = json.loads((finished.folder.best / "state.json").read_text())

    assert finished.folder.record["best"]["score"] == best
    assert (state["select"], state["score"]) == ("BLEU-1", best)


def test_scores_stand_beside_baselines_and_exchanged_images(finished: Run) -> None:
    scores = finished.scores

    assert scores["split"] == "test"
    assert scores["studies"] == 4
    assert set(scores["protocols"]["coco"]) >= {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"}
    assert list(scores["baselines"]) == [
        "nearest report (IRC)",
        "most frequent report",
        "best constant report",
        "random report",
    ]
    assert scores["leakage"].keys() == {
        "verbatim",
        "distinct",
        "most_frequent",
        "most_frequent_share",
        "empty",
    }
    assert scores["intervals"]["coco"].keys() == scores["protocols"]["coco"].keys()
    assert scores["shuffled images"]["coco"].keys() == scores["protocols"]["coco"].keys()
    assert scores["probes"].keys() == {"mim", "mlm", "irc"}
    assert scores["probes"]["irc"]["stage"] == "align"


def test_a_run_is_loaded_with_its_recipe_predictions_and_weights(
    finished: Run, plugins: Discovered
) -> None:
    run = load_run(finished.path, plugins=plugins)

    assert run.scores == finished.scores
    assert [pair.id for pair in run.predictions] == [f"phantom-test-0000{i}" for i in range(4)]
    assert run.plan.stages == load_recipe(TINY, plugins=plugins).plan.stages
    one, other = run.model(), run.model("align/last")
    assert not one.training
    assert not torch.equal(
        next(one.part("decoder").parameters()), next(other.part("decoder").parameters())
    )


def test_pixels_are_normalised_as_in_training_wherever_the_run_is_loaded(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    """The published weights that said how need not be on the machine that uses the run."""
    copy = shutil.copytree(finished.path, tmp_path / "copy")
    pixels = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]}
    folder = RunFolder(copy)
    folder.update(pixels=pixels)
    Manifest.of(folder, rules=()).write(folder.best)

    encoder = load_run(copy, plugins=plugins).model().parts.encoder

    assert (encoder.mean, encoder.std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


def test_evaluating_in_python_gives_the_scores_of_the_run(finished: Run) -> None:
    found = finished.evaluate().to_json()

    assert json.loads(json.dumps(found)) == finished.scores


def test_a_checkpoint_that_there_is_not_is_named(finished: Run) -> None:
    with pytest.raises(RunError, match=r"algin/last is not there"):
        finished.model("algin/last")


def test_scores_of_an_unfinished_run_are_told_to_be_missing(
    tmp_path: Path, plugins: Discovered
) -> None:
    (tmp_path / "run.json").write_text("{}")

    with pytest.raises(RunError, match=r"has no scores.json yet; go on with it: rrg run"):
        load_run(tmp_path, plugins=plugins).scores  # noqa: B018


def test_check_returns_the_plan_and_allocates_nothing(plugins: Discovered) -> None:
    before = torch.get_rng_state()
    plan = load_recipe(TINY, plugins=plugins).check()

    assert plan.seed == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_show_returns_values_and_counts(plugins: Discovered) -> None:
    shown = load_recipe(TINY, plugins=plugins).show()

    assert shown.absent == []
    assert shown.values["objectives"]["irc"]["temperature"] == 0.07
    assert {weight.part for weight in shown.weights} >= {"shared.joint", "encoder", "decoder"}


def test_two_precisions_can_follow_each_other_in_one_process(
    tmp_path: Path, plugins: Discovered
) -> None:
    for precision in ("bf16", "fp32"):
        run = load_recipe(
            TINY,
            variants=["short"],
            overrides=[f"stages.align.precision={precision}"],
            plugins=plugins,
        ).run(tmp_path / precision)
        assert run.folder.state == "finished"


def test_a_run_in_a_folder_that_another_process_writes_is_refused(
    tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(TINY, variants=["short"], plugins=plugins)

    class Starts(Watcher):
        def stage(self, *_: Any) -> None:
            session.run(tmp_path / "run")

    with pytest.raises(RunError, match=r"is in use: another rrg is running in it"):
        session.run(tmp_path / "run", watcher=Starts())


def test_a_run_in_use_is_not_gone_on_with(tmp_path: Path, plugins: Discovered) -> None:
    session = load_recipe(TINY, variants=["short"], plugins=plugins)
    paths = []

    class Starts(Watcher):
        def stage(self, *_: Any) -> None:
            paths.append(session.run(root=tmp_path).path)

    paths.append(session.run(root=tmp_path, watcher=Starts()).path)
    assert len(set(paths)) == 2


def test_a_run_that_stopped_after_its_training_is_only_tested(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    session = load_recipe(TINY, variants=["short"], plugins=plugins)
    run = session.run(tmp_path / "run")
    run.folder.update(state="stopped")
    metrics = (run.path / "metrics.jsonl").read_text()
    (run.path / "scores.json").unlink()

    again = session.run(tmp_path / "run")
    assert again.scores["studies"] == 4
    assert (run.path / "metrics.jsonl").read_text() == metrics


class Listens(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def begun(finished: Run, tmp_path: Path) -> RunFolder:
    """A run of tests/tiny.yaml that is trained and was killed before its test."""
    folder = RunFolder(shutil.copytree(finished.path, tmp_path / "begun"))
    folder.update(state="running")
    (folder.path / "scores.json").unlink()
    return folder


def test_a_run_does_not_go_on_with_other_data(begun: RunFolder, plugins: Discovered) -> None:
    record = begun.record
    begun.update(
        data={**record["data"], "studies": {**record["data"]["studies"], "train": 11}},
        studies={**record["studies"], "train": 11},
    )

    with pytest.raises(RunError) as refused:
        load_recipe(TINY, plugins=plugins).run(begun.path)
    assert str(refused.value) == (
        f"{begun.path} was begun with other data: data.studies.train was 11 and is 10; "
        "studies.train was 11 and is 10. Put them back as they were to go on with it, or start "
        "afresh: --new without --out, or --out with another folder"
    )
    assert begun.record["state"] == "running"


def test_a_report_that_was_edited_makes_other_data(
    r2gen: Path, tmp_path: Path, plugins: Discovered
) -> None:
    data = f"data={{name: r2gen, root: {r2gen}, image_size: 32, batch_size: 2}}"
    session = load_recipe(
        TINY, variants=["short"], overrides=[data, "objectives.mim=off"], plugins=plugins
    )
    session.run(tmp_path / "run").folder.update(state="stopped")
    rows = json.loads((r2gen / "annotation.json").read_text())
    rows["test"][0]["report"] += " no edema ."
    (r2gen / "annotation.json").write_text(json.dumps(rows))

    with pytest.raises(RunError, match=r"other data: data.annotation_sha256 was \w+ and is \w+\."):
        session.run(tmp_path / "run")


def test_a_run_that_goes_on_with_other_versions_says_so(
    begun: RunFolder, plugins: Discovered
) -> None:
    record = begun.record
    begun.update(
        packages={**record["packages"], "torch": "1.0"},
        plugins={**record["plugins"], "mine": "mine 0.1"},
    )
    now = record["packages"]["torch"]
    watcher = Listens()

    load_recipe(TINY, plugins=plugins).run(begun.path, watcher=watcher)

    (note,) = (note for note in watcher.notes if "other versions" in note)
    assert f"packages.torch was 1.0 and is {now}; plugins.mine was mine 0.1 and is absent" in note
    assert begun.state == "finished"


def test_of_versions_that_are_the_same_nothing_is_said(finished: Run) -> None:
    assert changed_versions(finished.folder, finished.folder.record) is None


def test_a_run_that_was_killed_before_it_saved_its_tokenizers_saves_them_when_it_goes_on(
    begun: RunFolder, plugins: Discovered
) -> None:
    for name in ("tokenizers", "checkpoints"):
        shutil.rmtree(begun.path / name)
    record = begun.record
    del record["tokenizers"]
    (begun.path / "run.json").write_text(json.dumps(record))

    run = load_recipe(TINY, plugins=plugins).run(begun.path)

    assert run.folder.record["tokenizers"] == {"words": "tokenizers/words"}
    assert (begun.path / "tokenizers" / "words" / "words.json").is_file()
    assert not load_run(begun.path, plugins=plugins).model().training  # without the data


def test_notes_tell_of_reports_that_are_cut(tmp_path: Path, plugins: Discovered) -> None:
    watcher = Listens()

    load_recipe(
        TINY, variants=["short"], overrides=["data.max_report_tokens=8"], plugins=plugins
    ).run(tmp_path / "run", watcher=watcher)

    assert any(
        "training reports are longer than data.max_report_tokens=8 and are cut" in note
        for note in watcher.notes
    )


def test_a_run_is_recognised_by_its_whole_resolved_recipe(
    finished: Run, plugins: Discovered
) -> None:
    def of(*overrides: str) -> Any:
        return resolved(load_recipe(TINY, overrides=overrides, plugins=plugins).plan)

    folder = RunFolder(finished.path)
    assert folder.is_of(of())
    assert folder.is_of(of("objectives.irc.temperature=0.07"))  # the default, said
    assert not folder.is_of(of("objectives.irc.temperature=0.1"))
    assert folder.is_of(of("data.workers=3", "data.cache=false"))  # of the machine, not of results
    assert not folder.is_of(of("data.workers=3", "data.batch_size=1"))


def test_a_run_of_an_earlier_version_goes_on_with_the_options_that_came_since(
    finished: Run, plugins: Discovered, tmp_path: Path
) -> None:
    """Its recipe does not name them: they have their defaults, or it is another recipe."""
    values = resolved(finished.plan)
    earlier = copy.deepcopy(values)
    del earlier["stages"]["generate"]["compile"]
    del earlier["objectives"]["irc"]["temperature"]
    (tmp_path / "recipe.yaml").write_text(dump_recipe(earlier))
    folder = RunFolder(tmp_path)

    assert not folder.is_of(values)
    assert is_run_of(folder, values, plugins.registry)
    values["objectives"]["irc"]["temperature"] = 0.1
    assert not is_run_of(folder, values, plugins.registry)
    said = recipe_changes(tmp_path, values, plugins.registry)
    assert said == "objectives.irc.temperature is 0.07, now 0.1"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda root: (root / "annotation.json").unlink(), "annotation.json"),
        (lambda root: (root / "annotation.json").write_text("{"), "annotation.json"),
        (lambda root: (root / "annotations/labels.jsonl").write_text("{}\n"), "labels.jsonl"),
    ],
)
def test_check_tells_of_broken_data(
    change: Callable[[Path], Any], text: str, r2gen: Path, plugins: Discovered
) -> None:
    change(r2gen)
    overrides = [
        f"data={{name: r2gen, root: {r2gen}, image_size: 32, batch_size: 2}}",
        "objectives.mim=off",
        "objectives.mlm.masking=label",
    ]
    with pytest.raises(UserError, match=text) as refused:
        load_recipe(TINY, overrides=overrides, plugins=plugins).check()
    assert isinstance(refused.value, RecipeError)


def test_a_run_whose_plugin_is_not_here_names_it(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    recipe, record = tmp_path / "run" / "recipe.yaml", tmp_path / "run" / "run.json"
    recipe.write_text(recipe.read_text().replace("name: irm", "name: acme.irm"))
    said = json.loads(record.read_text())
    said["plugins"]["acme"] = "acme-rrg 0.2.0"
    record.write_text(json.dumps(said))

    with pytest.raises(RecipeError) as caught:
        _ = load_run(tmp_path / "run", plugins=plugins).plan
    assert "plugins that are not here: acme (acme-rrg 0.2.0). Install them" in str(caught.value)
    assert "acme.irm" in str(caught.value)
