"""A run as one HTML file: what is in it, and that it works in a browser."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rrgcore import load_run
from rrgcore.errors import DataError, RunError
from rrgcore.interfaces import Lacks
from rrgcore.page import maps
from rrgcore.plugins import Discovered
from rrgcore.run import Run

ATTACK = (
    "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='b'\">"
)


@pytest.fixture
def run(finished: Run, plugins: Discovered, tmp_path: Path) -> Run:
    """A copy of the finished run, to be written into."""
    shutil.copytree(finished.path, tmp_path / "run", symlinks=True)
    return load_run(tmp_path / "run", plugins=plugins)


def rewrite(run: Run, name: str, change: Callable[[Any], Any]) -> None:
    path = run.path / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def predict(run: Run, *written: str) -> None:
    """Let the run have written other reports; an empty text leaves one as it was."""
    path = run.path / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, text in zip(lines, written, strict=False):
        line["prediction"] = text or line["prediction"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def with_frequent(report: str) -> Callable[[Any], Any]:
    """Say in scores.json that this is what the model writes most often."""
    return lambda card: {**card, "leakage": {**card["leakage"], "most_frequent": report}}


def text_of(run: Run, **options: Any) -> str:
    return run.page(**options).path.read_text(encoding="utf-8")


# ---- what is in it --------------------------------------------------------------------------


def test_a_page_holds_the_whole_run_and_nothing_from_outside(run: Run) -> None:
    written = run.page()
    text = written.path.read_text(encoding="utf-8")
    assert written.path == run.path / "page.html"
    assert (written.shown, written.total, written.with_images) == (4, 4, 4)
    assert written.with_attention == sum(bool(pair.prediction) for pair in run.predictions)
    assert written.bytes == len(text.encode())
    sections = ("first", "scores", "training", "studies", "recipe", "run")
    assert [name for name in sections if f'<section id="{name}"' not in text] == []
    for name in ("mim", "mlm", "irc", "irm", "report"):
        assert f"<b>{name}</b>" in text
    assert "These are phantoms" in text
    assert "Leakage: " in text
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "default-src &#39;none&#39;" in text


def test_the_same_run_makes_the_same_page(run: Run, tmp_path: Path) -> None:
    one, two = (run.page(tmp_path / name).path.read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_report_is_text_whatever_it_holds(run: Run) -> None:
    predict(run, ATTACK, "lungs \ud800 clear \u202e\x00 .")
    rewrite(run, "run.json", lambda record: {**record, "overrides": [ATTACK]})
    text = text_of(run, attention=False)
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "lungs \\ud800 clear \\u202e\\x00 ." in re.sub(r"<[^>]+>", "", text)


def test_an_unfinished_run_has_a_page_that_says_so(run: Run) -> None:
    for name in ("scores.json", "predictions.jsonl"):
        (run.path / name).unlink()
    rewrite(run, "run.json", lambda record: {**record, "state": "stopped"})
    text = text_of(run)
    assert "This run is not finished: it is stopped. There are no scores yet." in text
    assert "<b>irc</b>" in text
    assert "These are phantoms" in text


def test_without_studies_no_report_is_in_the_page(run: Run) -> None:
    rewrite(run, "scores.json", with_frequent("the lungs are quite clear ."))
    written = run.page(studies=0)
    text = written.path.read_text()
    assert (written.shown, written.with_images) == (0, 0)
    assert "the file holds no report and no image of any" in text
    for pair in run.predictions:
        assert pair.reference not in text
    assert "the lungs are quite clear" not in text
    assert run.scores["about baselines"]["best constant report"].partition(": ")[2] not in text


def test_a_page_of_a_split_of_which_nothing_was_written_says_what_to_do(run: Run) -> None:
    text = text_of(run, split="val")
    assert "has written no report of its val split: rrg evaluate" in text
    assert "--split val" in text


def test_paths_of_this_machine_are_not_in_the_page(run: Run) -> None:
    told = ["data.root=/home/me/films", "seed=3"]
    rewrite(run, "run.json", lambda record: {**record, "overrides": told})
    recipe = run.path / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "# of /home/me/films/readme.txt\n")
    text = text_of(run)
    assert "/home/me" not in text
    assert "data.root=./films" in text
    assert "# of ./readme.txt" in text


def test_an_image_that_is_gone_is_told_of_without_its_path(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise DataError("image /mnt/ward 7/Smith/p1.png: there is no such file")

    monkeypatch.setattr("rrgcore.data.ImageCache.__getitem__", gone)
    text = text_of(run, attention=False)
    assert "p1.png: there is no such file" in text
    assert "/mnt/" not in text


def test_without_images_the_reports_are_still_compared(run: Run) -> None:
    written = run.page(images=False)
    assert (written.shown, written.with_images, written.with_attention) == (4, 0, 0)
    assert "data:image" not in written.path.read_text()


def test_a_study_whose_report_is_another_now_is_shown_without_its_image(run: Run) -> None:
    path = run.path / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["reference"] = "something else ."
    lines[1]["id"] = "phantom-test-99999"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = run.page(attention=False)
    text = written.path.read_text()
    assert written.with_images == 2
    assert "the data has another report for it than the run saw" in text
    assert "the data has no such study any more" in text


def test_a_decoder_that_cannot_tell_where_it_looked_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(model: object) -> None:
        raise Lacks("is not AttendsWriting")

    monkeypatch.setattr(maps, "check_attends_writing", lacks)
    written = run.page()
    assert (written.with_images, written.with_attention) == (4, 0)
    assert written.notes == [
        "No attention is shown: this run's decoder (bert) is not AttendsWriting"
    ]
    assert "this run&#39;s decoder (bert) is not AttendsWriting" in written.path.read_text()


def test_a_page_of_few_studies_says_how_they_were_chosen(run: Run) -> None:
    written = run.page(studies=3, images=False)
    assert (written.shown, written.total) == (3, 4)
    assert "3 of 4 studies are shown: the 1 of the lowest ROUGE-L" in written.path.read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.json", '{"studies": 1}'),
        ("scores.json", "[]"),
        ("run.json", '{"state": "finished", "recipe": "x", "variants": 5}'),
        ("predictions.jsonl", '{"id": 1, "reference": "", "prediction": ""}\n'),
        ("metrics.jsonl", "nonsense\n"),
        ("timing.jsonl", "[]\n"),
    ],
)
def test_a_damaged_file_is_named(run: Run, name: str, text: str) -> None:
    (run.path / name).write_text(text)
    with pytest.raises(RunError, match=re.escape(str(run.path / name))):
        run.page(attention=False, images=False)
    assert not (run.path / "page.html").exists()


def test_the_command_says_what_the_file_holds(run: Run, rrg: Callable[..., Any]) -> None:
    answer = rrg("page", run.path, "--studies", 2, "--no-attention", "--out", "small.html")
    assert answer.code == 0, answer.err
    assert re.search(r"^small.html: 0.\d MB, 2 of 4 studies$", answer.out, re.M)
    assert "If they are of patients, it is patient data" in answer.out
    assert Path("small.html").is_file()

    refused = rrg("page", run.path, "--out", "nowhere/small.html")
    assert refused.code == 2
    assert "name a file" in refused.err


# ---- in a browser ---------------------------------------------------------------------------


def test_a_page_works_in_a_browser(run: Run, chromium: Any) -> None:
    """One test, since a browser takes seconds to start."""
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.support.wait import WebDriverWait

    normal = "the heart is normal . the lungs are clear . no pleural effusion or pneumothorax ."
    predict(run, ATTACK, "cardiomegaly . left pleural effusion .", normal, normal)
    address = run.page().path.resolve().as_uri()
    wait = WebDriverWait(chromium, 60)

    def one(selector: str) -> Any:
        return chromium.find_element("css selector", selector)

    def shown() -> list[str]:
        found = chromium.find_elements("css selector", ".study:not([hidden]) h3")
        return [each.text[-1] for each in found]

    def count(expected: str) -> None:
        wait.until(lambda _: one("#count").text == expected, f"expected {expected}")

    def choose(name: str, text: str) -> None:
        one(f'[name="{name}"]').find_element("xpath", f"option[text()='{text}']").click()

    chromium.get(address)
    count("4 studies")
    assert shown() == ["0", "1", "2", "3"]

    # text, with what is in the address after it
    one('[name="q"]').send_keys("Cardiomegaly")
    wait.until(lambda driver: "q=Cardiomegaly" in driver.current_url)
    assert "1" in shown()
    one('[name="q"]').clear()
    one('[name="q"]').send_keys("test-00001")
    count("1 of 4 studies")
    assert shown() == ["1"]
    chromium.refresh()
    count("1 of 4 studies")
    assert one('[name="q"]').get_attribute("value") == "test-00001"
    one('button[type="reset"]').click()
    count("4 studies")

    # findings, scores and order
    choose("is", "found")
    wait.until(lambda _: shown() == names_with(chromium, "found"))
    choose("is", "in either report")
    choose("sort", "highest score first")
    scores = [scored(each)["ROUGE-L"] for each in studies(chromium)]
    assert scores == sorted(scores, reverse=True)
    one('[name="min"]').send_keys(str(scores[1]))
    wait.until(lambda _: all(scored(each)["ROUGE-L"] >= scores[1] for each in studies(chromium)))
    one('button[type="reset"]').click()
    count("4 studies")

    # where the model looked
    study = studies(chromium)[2]
    word = study.find_elements("css selector", ".attends .w")[1]
    drawn = "const c = arguments[0].querySelector('canvas'); return [...c.getContext('2d')"
    drawn += ".getImageData(0, 0, c.width, c.height).data].some((value) => value > 0)"
    ActionChains(chromium).move_to_element(word).perform()
    said = study.find_element("css selector", ".looked")
    wait.until(lambda _: said.text.startswith("“heart”: looked most at the "))
    assert chromium.execute_script(drawn, study)
    ActionChains(chromium).move_to_element(study.find_element("css selector", "h3")).perform()
    wait.until(lambda _: said.text.startswith("Point at a word"))
    study.find_element("css selector", ".attends").send_keys(Keys.END, Keys.ARROW_LEFT)
    wait.until(lambda _: said.text.startswith("“pneumothorax”: "))

    # curves by keyboard
    chart = one(".chart")
    chart.send_keys(Keys.HOME)
    wait.until(
        lambda _: chart.find_element("css selector", "output").text.endswith("align, step 1")
    )

    # dark, and on a telephone
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = chromium.execute_script(paper)
    one("#theme").click()
    assert chromium.execute_script(paper) != before
    for width in (390, 1280):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width

    assert chromium.title == "tiny · test"
    assert not chromium.find_elements("css selector", 'img[src="x"]')
    assert [entry["message"] for entry in chromium.get_log("browser")] == []


def studies(chromium: Any) -> list[Any]:
    return chromium.find_elements("css selector", ".study:not([hidden])")


def scored(study: Any) -> dict[str, float]:
    return json.loads(study.get_attribute("data-scores"))


def names_with(chromium: Any, outcome: str) -> list[str]:
    """The studies with such a finding, by the last figure of their ids."""
    return [
        each.get_attribute("textContent").strip()[-1]
        for each in chromium.find_elements("css selector", f".study:has(.findings .{outcome}) h3")
    ]
