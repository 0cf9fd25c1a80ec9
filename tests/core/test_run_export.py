"""An export: one folder from which another machine predicts, and nothing of this one goes along."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from rrgcore import load_run
from rrgcore.card import CARD
from rrgcore.check import check_recipe
from rrgcore.checkpoint import left_out_of
from rrgcore.errors import RunError
from rrgcore.folder import RunFolder
from rrgcore.manifest import Manifest
from rrgcore.plugins import Discovered
from rrgcore.portable import Portable, hidden_ids, is_absolute
from rrgcore.provenance import Provenance
from rrgcore.recipe import dump_recipe, load_recipe
from rrgcore.run import Run
from rrgcore.run_export import EXPORT, needs
from rrgcore.study import Study
from rrgcore.withheld import refuse_training_data

Rrg = Callable[..., Any]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "chest.png")
    return tmp_path / "chest.png"


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Path:
    """A copy of a finished run, to do with as one likes."""
    return shutil.copytree(finished.path, tmp_path / "copy")


def resealed(run: Path) -> None:
    Manifest.of(RunFolder(run), []).write(run / "checkpoints" / "best")


# ---- what it is for -------------------------------------------------------------------------


def test_an_export_predicts_what_the_run_predicts(
    finished: Run, tmp_path: Path, image: Path
) -> None:
    exported = finished.export(tmp_path / "elsewhere" / "model")
    there = shutil.move(exported.path, tmp_path / "moved")
    assert load_run(there).predict([image]) == finished.predict([image])


def test_the_command_exports_and_predicts(finished: Run, image: Path, rrg: Rrg) -> None:
    answer = rrg("export", finished.path, "model", "--json")
    assert answer.code == 0
    said = json.loads(answer.out)
    assert said["path"] == "model"
    assert said["files"].keys() == json.loads(Path("model", EXPORT).read_text())["files"].keys()
    assert rrg("predict", "model", image).code == 0


def test_a_zip_holds_the_same_folder(finished: Run, tmp_path: Path, rrg: Rrg) -> None:
    assert rrg("export", finished.path, "model", "--zip").code == 0
    assert [path.name for path in Path().iterdir()] == ["model.zip"]
    with zipfile.ZipFile("model.zip") as archive:
        archive.extractall("here")
    folder = finished.export(tmp_path / "folder").path
    unpacked = {path.relative_to("here/model") for path in Path("here/model").rglob("*")}
    assert unpacked == {path.relative_to(folder) for path in folder.rglob("*")}
    assert load_run("here/model").model() is not None


def test_what_an_export_cannot_say_is_told(finished: Run, tmp_path: Path, rrg: Rrg) -> None:
    folder = finished.export(tmp_path / "model").path
    page = rrg("page", folder)
    assert page.code == 0
    assert "This is an export, which holds no report" in page.out
    evaluated = rrg("evaluate", folder)
    assert evaluated.code == 0
    assert "not probed: an export has not the stage's checkpoint" in evaluated.out
    listed = json.loads(rrg("explain", folder, "--list", "--json").out)
    (why,) = [each["why not"] for each in listed if each["name"] == "retrieval"]
    assert why.startswith("an export has the best checkpoint alone")
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    assert "Unpack the archive first" in rrg("evaluate", tmp_path / "packed.zip").err


# ---- what is in it --------------------------------------------------------------------------


def test_every_file_is_listed_with_its_hash(finished: Run, tmp_path: Path) -> None:
    folder = finished.export(tmp_path / "model").path
    files = json.loads((folder / EXPORT).read_text())["files"]
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*files, EXPORT}
    for name, digest in files.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == digest


def test_no_report_and_no_study_of_the_data_is_in_it(finished: Run, tmp_path: Path) -> None:
    folder = finished.export(tmp_path / "model").path
    whole = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    texts = [*(pair.reference for pair in finished.predictions), *finished.folder.training.ids]
    assert [text for text in texts if text.encode() in whole] == []
    assert not any((folder / name).exists() for name in ("predictions.jsonl", "metrics.jsonl"))


def test_a_run_that_starts_from_it_still_knows_its_studies(finished: Run, tmp_path: Path) -> None:
    folder = finished.export(tmp_path / "model").path
    learned = RunFolder(folder).training
    assert learned is not None
    seen = finished.folder.training.ids[0]
    assert learned.seen([Study(seen, (), ()), Study("another", (), ())]) == [seen]
    assert learned.hash == finished.folder.training.hash


def test_hidden_ids_are_hidden_once() -> None:
    assert hidden_ids(["b", "a"]) == hidden_ids(hidden_ids(["a", "b"]))
    assert Provenance.hidden("a") != "a"


def test_no_path_of_this_machine_is_in_it(copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "home" / "alice"
    record = json.loads((copy / "run.json").read_text())
    spaced = tmp_path / "PACS Export of alice" / "data"
    record["overrides"] = [f"data.root={spaced}", f"model.decoder={{weights: {secret}/w}}"]
    record["plugins"]["mine"] = f"{secret}/mine.py file"
    (copy / "run.json").write_text(json.dumps(record))
    values = load_recipe(copy / "recipe.yaml").values
    values["init"] = {"encoder": f"run:{secret}/other"}
    (copy / "recipe.yaml").write_text(dump_recipe(values))
    resealed(copy)
    exported = load_run(copy).export(tmp_path / "model")
    for path in exported.path.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert b"alice" not in text, path
            assert str(tmp_path).encode() not in text, path
    assert load_recipe(exported.path / "recipe.yaml").values["init"] == {"encoder": "run:./other"}
    assert list(needs(exported)) == ["It needs the plugin 'mine', which is not in it"]


def test_a_path_that_is_left_somewhere_is_refused(copy: Path, tmp_path: Path) -> None:
    words = copy / "tokenizers" / "words" / "extra.txt"
    words.write_text(f"made in {copy.resolve()}")
    resealed(copy)
    with pytest.raises(RunError, match=r"extra.txt names .*, a path of this machine"):
        load_run(copy).export(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_frozen_weights_are_said_to_be_needed(copy: Path, tmp_path: Path) -> None:
    # as of a language model that stood still: named beside the tensors, by a path of this machine
    path = copy / "checkpoints" / "best" / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        words = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    llama = {
        "module": "parts.decoder",
        "weights": str(tmp_path / "llama-2-7b"),
        "names": ["llm.weight"],
        "fingerprint": "0123456789abcdef",
    }
    save_file(tensors, path, metadata={**words, "left out": json.dumps([llama])})
    resealed(copy)
    exported = load_run(copy).export(tmp_path / "model")
    (held,) = left_out_of(exported.path / "checkpoints" / "best")
    assert held.weights == "${RRG_WEIGHTS}/llama-2-7b"
    assert asdict(held) == {**llama, "names": ("llm.weight",), "weights": held.weights}
    (said,) = needs(exported)
    assert "llama-2-7b" in said
    assert "fingerprint 0123456789abcdef" in said
    assert json.loads((exported.path / EXPORT).read_text())["needs"]["weights"] == [
        {"of": held.module, "weights": held.weights, "fingerprint": held.fingerprint}
    ]
    with safe_open(exported.path / "checkpoints/best/model.safetensors", framework="pt") as file:
        assert all(torch.equal(file.get_tensor(name), value) for name, value in tensors.items())


def test_training_studies_that_the_model_reads_go_along_only_when_that_is_said(
    copy: Path, tmp_path: Path
) -> None:
    ids = RunFolder(copy).training.ids
    (copy / "artefacts" / "nearest_report").mkdir()
    rows = [{"id": id, "text": "no pleural effusion ."} for id in ids]
    (copy / "artefacts" / "nearest_report" / "index.json").write_text(json.dumps(rows))
    resealed(copy)
    with pytest.raises(RunError, match="training studies are held one by one") as error:
        load_run(copy).export(tmp_path / "model")
    assert "index.json" in str(error.value)
    exported = load_run(copy).export(tmp_path / "model", training_data=True)
    assert "artefacts/nearest_report/index.json" in exported.files


FILES: dict[str, Callable[[list[str]], str]] = {
    "index.json": lambda ids: json.dumps([{"id": id, "text": "clear ."} for id in ids]),
    "rows.jsonl": lambda ids: "\n".join(json.dumps({"id": id}) for id in ids),
    "given.csv": lambda ids: "id,label\n" + "\n".join(f'"{id}",1' for id in ids),
    "given.csv.gz": lambda ids: "\n".join(f'"{id}",1' for id in ids),
}
IDS = ("s{}", "Smith, John {}", "hospital A/{}.dcm", "acc:{}")


@pytest.mark.parametrize(
    ("name", "write", "id"),
    [
        *((name, write, id) for name, write in FILES.items() for id in IDS),
        # as in MIMIC-CXR's tables
        ("words.txt", lambda ids: "\n".join(id.removeprefix("s") for id in ids), "s{}"),
    ],
)
def test_studies_are_found_in_files_of_whatever_kind(
    finished: Run, tmp_path: Path, name: str, write: Callable[[list[str]], str], id: str
) -> None:
    ids = [id.format(50_000_000 + number) for number in range(1_000)]
    run = RunFolder(tmp_path)
    run.write_training(Provenance(tuple(sorted(ids)), "0" * 32))
    (tmp_path / "export" / "artefacts").mkdir(parents=True)
    data = write(ids[:100]).encode()  # a tenth of them
    (tmp_path / "export" / "artefacts" / name).write_bytes(
        gzip.compress(data) if name.endswith(".gz") else data
    )
    with pytest.raises(RunError, match=f"held one by one .* by artefacts/{name}"):
        refuse_training_data(run, finished.plan, tmp_path / "export")


def test_a_component_that_keeps_studies_says_so_itself(
    finished: Run, tmp_path: Path, plugins: Discovered
) -> None:
    values = load_recipe(finished.path / "recipe.yaml").values
    values["data"]["annotations"] = {"labels": {"name": "label_table", "path": "labels.csv"}}
    (tmp_path / "recipe.yaml").write_text(dump_recipe(values))
    plan = check_recipe(load_recipe(tmp_path / "recipe.yaml"), plugins.registry)
    with pytest.raises(RunError, match=r"data.annotations.labels \(label_table\)"):
        refuse_training_data(finished.folder, plan, tmp_path)


def test_what_annotators_said_of_studies_stays_behind(copy: Path, tmp_path: Path) -> None:
    (copy / "artefacts" / "labels").mkdir()
    (copy / "artefacts" / "labels" / "train.jsonl").write_text('{"id": "secret"}\n')
    exported = load_run(copy).export(tmp_path / "model")
    assert not any("labels" in name for name in exported.files)


# ---- what is refused ------------------------------------------------------------------------


def test_a_run_that_is_not_finished_is_refused_unless_that_is_said(
    copy: Path, tmp_path: Path, image: Path
) -> None:
    RunFolder(copy).update(state="stopped")
    shutil.rmtree(copy / "checkpoints" / "best")
    (copy / "scores.json").unlink()
    with pytest.raises(RunError, match="not finished") as error:
        load_run(copy).export(tmp_path / "model")
    assert "--unfinished" in str(error.value)
    exported = load_run(copy).export(tmp_path / "model", unfinished=True)
    assert "**This run is not finished**" in (exported.path / CARD).read_text()
    assert load_run(exported.path).predict([image])[0].report is not None


def test_a_folder_that_is_not_empty_is_left_as_it_is(
    finished: Run, tmp_path: Path, rrg: Rrg
) -> None:
    Path("model").mkdir()
    Path("model", "mine").touch()
    answer = rrg("export", finished.path, "model")
    assert answer.code == 2
    assert "is there already" in answer.err
    assert [path.name for path in Path("model").iterdir()] == ["mine"]
    assert rrg("export", finished.path, finished.path / "model").code == 2


def test_a_checkpoint_that_is_not_as_it_was_is_not_exported(copy: Path, tmp_path: Path) -> None:
    with (copy / "tokenizers" / "words" / "words.json").open("a") as file:
        file.write(" ")
    with pytest.raises(RunError, match="is not what the checkpoint was saved with"):
        load_run(copy).export(tmp_path / "model")


def test_an_export_that_was_changed_is_refused(finished: Run, tmp_path: Path) -> None:
    folder = finished.export(tmp_path / "model").path
    (folder / "recipe.yaml").write_text((folder / "recipe.yaml").read_text() + "\n")
    with pytest.raises(RunError, match=r"recipe.yaml is not what"):
        load_run(folder).model()


# ---- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/data/llama", "~/llama", r"C:\data\llama", r"\\host\llama"])
def test_absolute_paths_become_their_last_name(path: str) -> None:
    assert is_absolute(path)
    assert Portable().path(path) == "./llama"


@pytest.mark.parametrize(
    "name", ["meta-llama/Llama-2-7b-hf", "words", "my_data/iu_xray", "http://host/v1", "/", "a\n/b"]
)
def test_what_is_no_absolute_path_stays_as_it_is(name: str) -> None:
    assert Portable().path(name) == name


def test_a_path_with_a_space_in_it_is_found_whole() -> None:
    portable = Portable()
    assert portable.text("data.root=/mnt/PACS Export/Smith John") == "data.root=./Smith John"
    assert portable.text("image /mnt/PACS Export/Smith John/p 1.png: there is no such file") == (
        "image ./p 1.png: there is no such file"
    )
    assert portable.text('{"root": "/mnt/PACS Export/Smith John"}') == '{"root": "./Smith John"}'
    assert portable.text("in /mnt/PACS Export/Smith Johnson") == "in ./PACS Export/Smith Johnson"


def test_two_paths_of_one_name_stay_two() -> None:
    portable = Portable()
    assert [portable.path(p) for p in ("/a/llama", "/b/llama", "/a/llama")] == [
        "./llama",
        "./llama-2",
        "./llama",
    ]


def test_a_prompt_is_no_path_and_a_url_stays_whole() -> None:
    portable = Portable()
    assert portable.recipe({"prompt": "either/or, at 14/5", "about": "/home"}) == {
        "prompt": "either/or, at 14/5",
        "about": "/home",
    }
    assert portable.text("by http://host:8000/v1 from /data/alice/x") == (
        "by http://host:8000/v1 from ./x"
    )


def test_exports_are_equal_whoever_makes_them(finished: Run, tmp_path: Path) -> None:
    first = finished.export(tmp_path / "one")
    second = finished.export(tmp_path / "two")
    assert replace(first, path=second.path) == second
