"""What is not written again, and what is: by what the images are, not by their names."""

from pathlib import Path

import pytest

from rrgcore.digest import digest_of_file
from rrgcore.errors import RunError
from rrgcore.prediction.inputs import Request
from rrgcore.prediction.output import Row, opened
from rrgcore.prediction.resuming import still_to_write
from rrgcore.prediction.written import Origin, Written

OUT = Path("reports.jsonl")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "1.png"
    path.write_bytes(b"a film")
    return path


def asked(*images: Path) -> Request:
    return Request("1.png", images, ("unknown",) * len(images))


def row(*digests: str, error: str | None = None) -> dict[str, Row]:
    return {"1.png": Row("1.png", "r", "c", digests, error)}


def test_the_same_image_is_not_reported_twice_wherever_it_lies(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(image.read_bytes())
    assert still_to_write([asked(copy)], row(digest_of_file(image)), OUT) == []


def test_another_image_of_that_name_is_not_taken_for_it(image: Path) -> None:
    known = row(digest_of_file(image))
    image.write_bytes(b"somebody else's film")
    with pytest.raises(RunError, match=r"of other images under these names: '1\.png'\."):
        still_to_write([asked(image)], known, OUT)


def test_a_study_that_has_more_images_now_is_not_taken_for_what_it_was(image: Path) -> None:
    with pytest.raises(RunError, match="has reports of other images"):
        still_to_write([asked(image, image)], row(digest_of_file(image)), OUT)


def test_what_could_not_be_read_is_tried_again(image: Path) -> None:
    request = asked(image)
    assert still_to_write([request], row(error="image 1.png: is damaged"), OUT) == [request]


def test_an_image_that_is_gone_since_is_not_asked_for_again(image: Path) -> None:
    known = row(digest_of_file(image))
    image.unlink()
    assert still_to_write([asked(image)], known, OUT) == []


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_an_error_stands_once_and_a_report_after_it_counts(name: str, tmp_path: Path) -> None:
    origin = Origin("runs/a", "r" * 64, "c" * 64, "0.1.0", "2.6", {})
    path = tmp_path / name
    failed, read = Written.failed("a", "is damaged"), Written("a", "clear .", -0.1)
    for rows in ([failed], [failed], [read]):
        with opened(path, origin) as output:
            output.append(rows)
    with opened(path, origin) as output:
        assert output.rows["a"].error is None
    assert len(path.read_text().splitlines()) == 2 + (name == "out.csv")
