"""Commands on odd files: exit status 0 or 2, a sentence, and nothing that is half-written."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrgcore.run import Run

from .commands import call, standing_in
from .harness import TIMES, examples
from .mutations import TEXT_TOKENS, Drawn, as_json, damaged, edited, text_files
from .test_fuzz_images import pictures, scans
from .test_fuzz_predictions import ROWS, SPLITS, WORDS, lines_of, report_files
from .test_fuzz_recipes import OFF, TEXTS, TINY, TREES, YAML_TOKENS, as_yaml
from .test_fuzz_recipes import WORDS as RECIPE_WORDS
from .test_fuzz_rows import KEYS, data_set, sidecars
from .test_fuzz_rows import ROWS as STUDIES


@contextmanager
def here() -> Iterator[Path]:
    """Stand in an empty folder."""
    with tempfile.TemporaryDirectory() as name, standing_in(Path(name)) as folder:
        yield folder


@st.composite
def recipes(draw: Any) -> bytes:
    """The text of a recipe: edited as a tree, or damaged."""
    tree = {key: value for key, value in TREES[TINY].items() if key != "variants"}
    how = draw(st.sampled_from(["as it is", "edited", "edited", "edited", "damaged", "damaged"]))
    if how != "damaged":
        found = draw(edited(tree, words=RECIPE_WORDS, most=1)) if how == "edited" else tree
        return as_yaml(found, off=OFF).encode()
    return draw(damaged(TEXTS[TINY].encode(), tokens=YAML_TOKENS))


# ---- recipes ----------------------------------------------------------------------------------


@examples(4)
@given(recipes(), st.sampled_from([["check", "--no-images"], ["show"], ["show", "--json"]]))
def test_a_recipe_is_checked_and_shown_or_refused(text: bytes, command: list[str]) -> None:
    with here() as folder:
        (folder / "recipe.yaml").write_bytes(text)
        said = call(f"commands: {command[0]}", command[0], "recipe.yaml", *command[1:])
        if said.code == 0 and "--json" in command:
            json.loads(said.out)


# odd recipes may ask for much, which is no mistake
LITTLE = ("stages={a: {steps: 1}}", "data.train=6", "data.limit=6", "data.image_size=32")
LITTLE += ("evaluation.probes=false", "evaluation.baselines=false", "generation.max_new_tokens=3")


@examples(2)
@given(recipes())
def test_a_recipe_is_run_or_leaves_nothing(text: bytes) -> None:
    with here() as folder:
        (folder / "recipe.yaml").write_bytes(text)
        checked = call("commands: check", "check", "recipe.yaml", *LITTLE)
        if checked.code == 0 and not TIMES:
            return  # a run takes seconds
        said = call("commands: run", "run", "recipe.yaml", *LITTLE, "--out", "run")
        assert (said.code == 0) == (checked.code == 0), checked.err + said.err
        if said.code == 0:
            assert json.loads((folder / "run" / "run.json").read_text())["state"] == "finished"
            json.loads((folder / "run" / "scores.json").read_text())


# ---- reports ----------------------------------------------------------------------------------

SCORED = ["-p", "coco", "--set", "coco.meteor=false", "--labeler", "none"]


@examples(5)
@given(report_files(), st.sampled_from([[], ["--json"]]))
def test_a_file_is_scored_whole_or_not_at_all(file: tuple[str, Drawn], more: list[str]) -> None:
    name, text = file
    with here() as folder:
        (folder / name).write_bytes(text)
        (folder / "references.json").write_text(as_json(SPLITS))
        said = call(
            "commands: score", "score", name, "references.json", *SCORED, "--out", "out.json", *more
        )
        if said.code == 0:
            json.loads((folder / "out.json").read_text())


@examples(4)
@given(text_files(ROWS, lines_of, words=WORDS))
def test_two_files_are_compared_or_refused(text: Drawn) -> None:
    with here() as folder:
        (folder / "mine.jsonl").write_bytes(text)
        (folder / "theirs.jsonl").write_text(lines_of(ROWS))
        said = call(
            *("commands: compare", "compare", "mine.jsonl", "theirs.jsonl", *SCORED),
            *("--out", "out.json"),
        )
        assert said.code == 0 or not text.whole, said.err
        if said.code == 0:
            json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    "path", ["nothing", ".", "empty.csv", "empty.jsonl", "empty.json", "empty.txt", "link.json"]
)
def test_what_is_no_file_of_reports_is_refused(path: str) -> None:
    with here() as folder:
        for kind in ("csv", "jsonl", "json", "txt"):
            (folder / f"empty.{kind}").touch()
        (folder / "link.json").symlink_to("nowhere")
        assert call("commands: score", "score", path, *SCORED).code == 2
        assert call("commands: compare", "compare", path, "empty.csv", *SCORED).code == 2


# ---- data -------------------------------------------------------------------------------------


@examples(4)
@given(text_files(STUDIES, words=KEYS))
def test_data_is_checked_and_exported_or_refused(text: Drawn) -> None:
    with data_set(text) as root, here() as folder:
        given = ["r2gen", f"root={root}"]
        call("commands: data check", "data", "check", *given, codes=(0, 1, 2))
        said = call("commands: data export", "data", "export", "r2gen", "out", *given[1:])
        if said.code == 0:
            rows = json.loads((folder / "out" / "annotation.json").read_text())
            assert {*rows} == {"train", "val", "test"}


@examples(4)
@given(sidecars())
def test_data_with_odd_annotations_is_exported_or_refused(sidecar: tuple[str, Drawn]) -> None:
    slug, text = sidecar
    with data_set() as root, here():
        (root / "annotations" / f"{slug}.jsonl").write_bytes(text)
        call("commands: data check", "data", "check", "r2gen", f"root={root}", codes=(0, 1, 2))
        call("commands: data export", "data", "export", "r2gen", "out", f"root={root}")


@examples(3)
@given(text_files(STUDIES, words=KEYS))
def test_data_is_annotated_or_refused(text: Drawn) -> None:
    with data_set(text) as root, here():
        call(
            *("commands: annotate", "annotate", "rules", "r2gen", f"root={root}"),
            *("--out", "labels.jsonl"),
        )


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.slow
@examples(10)
@given(st.data())
def test_an_image_is_reported_or_refused(finished: Run, data: st.DataObject) -> None:
    known = {**pictures(), **scans()}
    name = data.draw(st.sampled_from(sorted(known)), label="image")
    image = data.draw(
        st.just(known[name]) | damaged(known[name], tokens=TEXT_TOKENS), label="bytes"
    )
    with here() as folder:
        (folder / name).write_bytes(image)
        said = call("commands: predict", "predict", finished.path, name, "--out", "out.jsonl")
        if said.code == 0:
            assert json.loads((folder / "out.jsonl").read_text())["id"] == name
