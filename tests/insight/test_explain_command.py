"""`rrg explain` and `rrg compare --figure`, as typed."""

import json
import shutil

import pytest

STUDY, OTHER = "phantom-test-00002", "phantom-test-00001"


def test_a_list_says_what_can_be_drawn_and_why_the_rest_cannot(rrg, finished):
    rows = json.loads(rrg("explain", finished.path, "--list", "--json").out)
    why = {row["name"]: row["why not"] for row in rows}
    assert why["attention"] is None
    assert "ShowsKnowledge" in why["knowledge"]
    table = rrg("explain", finished.path, "--list").out
    assert "KIA" in table
    assert "ShowsKnowledge" in table


def test_a_named_figure_of_a_study_is_written(rrg, finished, tmp_path):
    answer = rrg("explain", finished.path, STUDY, "--figure", "reports", "--out", tmp_path)
    assert answer.code == 0
    assert "1 picture and explain.json" in answer.out
    assert (tmp_path / f"reports-{STUDY}.png").is_file()
    assert (tmp_path / "explain.json").is_file()


def test_another_split_and_json(rrg, finished, tmp_path):
    options = ("--split", "val", "--figure", "reports", "--out", tmp_path, "--json")
    found = json.loads(rrg("explain", finished.path, *options).out)
    assert all(picture["file"].startswith("reports-phantom-val") for picture in found["pictures"])
    assert "phrases" in found["chosen"]


def test_numbers_of_another_run_and_pictures_that_are_gone_do_not_stay(rrg, finished, tmp_path):
    def explain(run, study):
        assert (
            rrg("explain", run, study, "--figure", "reports", "--out", tmp_path / "out").code == 0
        )
        found = json.loads((tmp_path / "out" / "explain.json").read_text())
        return found, [picture["file"] for picture in found["pictures"]]

    _, first = explain(finished.path, STUDY)
    found, both = explain(finished.path, OTHER)
    assert sorted(both) == sorted([*first, f"reports-{OTHER}.png"])
    assert found["recipe"] == finished.folder.record["recipe"]
    (tmp_path / "out" / first[0]).unlink()
    assert explain(finished.path, OTHER)[1] == [f"reports-{OTHER}.png"]

    # a row of an ablation beside another one: a folder of the same name, other weights
    shutil.copytree(finished.path, tmp_path / finished.path.name)
    record = json.loads((tmp_path / finished.path.name / "run.json").read_text())
    record["variants"] = ["other"]
    (tmp_path / finished.path.name / "run.json").write_text(json.dumps(record))
    assert explain(tmp_path / finished.path.name, STUDY)[1] == first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--figure", "atention"), "did you mean 'attention'"),
        (("nobody", "--figure", "reports"), "has no study 'nobody'"),
        ((STUDY, "--figure", "knowledge"), "cannot be drawn"),
        (("--split", "tset"), "none of train, val, test"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(rrg, finished, tmp_path, arguments, sentence):
    answer = rrg("explain", finished.path, *arguments, "--out", tmp_path / "out")
    assert answer.code == 2
    assert sentence.lower() in answer.err.lower()
    assert not (tmp_path / "out").exists()


# ---- compare ------------------------------------------------------------------------------------

REFERENCES = ("small left pleural effusion .", "no pneumothorax .", "the heart is enlarged .")


def write(path, predictions):
    rows = [
        {"id": str(i), "prediction": said, "reference": true}
        for i, (said, true) in enumerate(zip(predictions, REFERENCES, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_f1_of_each_observation_is_drawn_side_by_side(rrg, tmp_path, kind):
    one, two = write(tmp_path / "one.jsonl", REFERENCES), write(tmp_path / "two.jsonl", ["-"] * 3)
    figure, out = tmp_path / f"f1.{kind}", tmp_path / "out.json"
    answer = rrg(
        "compare", one, two, "--protocol", "raw", "--set", "raw.meteor=false",
        "--figure", figure, "--out", out,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert figure.read_bytes()[:5] == (b"\x89PNG\r" if kind == "png" else b"<?xml")
    drawn = json.loads(out.read_text(encoding="utf-8"))["figure"]
    assert drawn["support"] == {"Cardiomegaly": 1, "Pleural Effusion": 1, "No Finding": 1}
    assert {next(iter(each.values()))[0] for each in drawn["F1"].values()} == {1.0}


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("f1.gif", (), "ends in .png or .svg"),
        ("gone/f1.png", (), "folder that does not exist"),
        ("f1.png", ("--labeler", "none"), "needs a labeler"),
    ],
)
def test_a_figure_that_cannot_be_is_refused_before_the_work(rrg, tmp_path, name, more, sentence):
    one = write(tmp_path / "one.jsonl", REFERENCES)
    answer = rrg("compare", one, "--figure", tmp_path / name, *more)
    assert answer.code == 2
    assert sentence in answer.err
