"""What MIMIC-CXR's size costs: every study read, and the whole data set built with links.

The archive is made up, in the real one's layout and size (227,835 reports of 65,379 patients,
377,110 images): reports of a real one's length, tables of the real columns, and images that are a
few files under many names, since none is opened. Peaks of memory are those of the processes that
read and build. Another number of studies may be given: `python tests/benchmarks/mimic.py 20000`.
"""

import csv
import gzip
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rrg_data.mimic_words import FINDINGS_WORDS
from rrgcore.chest import ORDERS

STUDIES, PATIENTS, IMAGES = 227_835, 65_379, 377_110
LINKS = 30_000
"""Names of one file: file systems have a limit."""

SENTENCES = (
    "The cardiomediastinal and hilar contours are within normal limits.",
    "There is no focal consolidation, pleural effusion or pneumothorax.",
    "Right-sided central venous catheter terminates in the mid SVC.",
    "Low lung volumes accentuate the bronchovascular markings.",
    "Moderate cardiomegaly is unchanged since ___.",
    "Bibasilar opacities, left greater than right, likely reflect atelectasis.",
    "No acute osseous abnormality is identified.",
)

READ = """
import resource, sys, time
from rrg_data.mimic_cxr import MimicCxrSource
from rrgcore.sources import Ledger
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
ledger = Ledger()
studies = sum(1 for _ in MimicCxrSource(root=sys.argv[1]).read(ledger))
seconds = time.perf_counter() - start
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert not ledger.missing and not ledger.bad
assert studies + sum(map(len, ledger.left_out.values())) == ledger.found["reports"]
print(ledger.found["reports"], ledger.found["images"], studies, seconds, before, after)
"""


def make_archive(root: Path, studies: int, rng: random.Random) -> None:
    """Write reports, tables and names of images."""
    scale = studies / STUDIES
    patients = max(1, round(PATIENTS * scale))
    counts = [1] * studies
    for _ in range(round(IMAGES * scale) - studies):
        counts[rng.randrange(studies)] += 1
    owners = sorted(rng.randrange(patients) for _ in range(studies))
    pictures = _pictures(root)
    header = ["dicom_id", "study_id", "subject_id", "split"]
    with (
        _table(root, "split", header) as split,
        _table(root, "metadata", ["dicom_id", "Rows", "ViewPosition"]) as metadata,
        _table(root, "chexpert", ["subject_id", "study_id", *ORDERS["alphabetical"]]) as labels,
    ):
        for number, (owner, count) in enumerate(zip(owners, counts, strict=True)):
            subject, study = 10_000_000 + owner * 152, 50_000_000 + number * 43
            folder = root / f"files/p{str(subject)[:2]}/p{subject}/s{study}"
            folder.mkdir(parents=True)
            folder.with_suffix(".txt").write_text(_report(rng), encoding="ascii")
            labels([subject, study, *rng.choices(("", "1.0", "0.0", "-1.0"), k=14)])
            for _ in range(count):
                name = "-".join(f"{rng.getrandbits(32):08x}" for _ in range(5))
                os.link(next(pictures), folder / f"{name}.jpg")
                place = "test" if owner % 45 == 0 else "validate" if owner % 100 == 1 else "train"
                split([name, study, subject, place])
                metadata([name, 3056, rng.choice(("PA", "AP", "LATERAL", "LL"))])


def measure(root: Path) -> str:
    """Read the archive and build a data set of it, each in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", READ, root], capture_output=True, text=True, check=True
    )
    reports, images, kept, seconds, before, after = map(float, done.stdout.split())
    out = root / "built"
    start = time.perf_counter()
    command = ["-m", "rrgcore", "data", "build", "mimic_cxr", root, out, "--link"]
    with (
        (root / "said").open("w+") as said,
        subprocess.Popen([sys.executable, *command], stdout=said, stderr=said) as building,
    ):
        _, status, used = os.wait4(building.pid, 0)
        building.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert building.returncode == 0, said.read()
    building_seconds = time.perf_counter() - start
    assert (out / "annotation.json").stat().st_size > 100 * kept
    return (
        f"{reports:,.0f} reports and {images:,.0f} images read in {seconds:.0f} s with "
        f"{after / 1024:.0f} MB ({before / 1024:.0f} MB before), built with --link in "
        f"{building_seconds:.0f} s with {used.ru_maxrss / 1024:.0f} MB"
    )


def _report(rng: random.Random) -> str:
    text = " " * 33 + "FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n"
    text += " INDICATION:  ___ year old woman with cough and fever // pneumonia?\n \n"
    text += " TECHNIQUE:  Chest PA and lateral\n \n COMPARISON:  ___\n \n"
    heading = "FINDINGS" if rng.random() < 0.7 else rng.choice(FINDINGS_WORDS).upper()
    if rng.random() < 0.8:
        text += f" {heading}: \n \n {_sentences(rng, 7)}\n \n"
    return f"{text} IMPRESSION: \n \n {_sentences(rng, 2)}\n"


def _sentences(rng: random.Random, count: int) -> str:
    return "\n ".join(rng.choices(SENTENCES, k=count))


def _pictures(root: Path) -> Iterator[Path]:
    number = 0
    while True:
        path = root / f"{number}.jpg"
        path.write_bytes(b"")
        yield from [path] * LINKS
        number += 1


@contextmanager
def _table(root: Path, kind: str, header: Sequence[str]) -> Iterator[Callable[..., object]]:
    path = root / f"mimic-cxr-2.0.0-{kind}.csv.gz"
    with gzip.open(path, "wt", compresslevel=1, newline="") as file:
        write = csv.writer(file).writerow
        write(header)
        yield write


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    figures = []
    for count in (studies // 10, studies):
        with tempfile.TemporaryDirectory() as folder:
            make_archive(Path(folder), count, random.Random(0))
            figures.append(measure(Path(folder)))
    print(f"MIMIC-CXR's size: {'; '.join(figures)}; files are in the cache, no image is opened")


if __name__ == "__main__":
    main()
