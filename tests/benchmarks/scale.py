"""What MIMIC-CXR's size costs once it is built: listed, its annotations read, and annotated.

The data set is made up: 227,835 studies and 377,110 images in R2Gen's layout, reports of invented
sentences, and no image, since none is opened. What grows is shown at a quarter, a half and the
whole of it, each step in a process of its own; annotating, which takes longest, at three sizes of a
sample. Other numbers may be given: `python tests/benchmarks/scale.py STUDIES SAMPLE`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from labelling import write_reports

STUDIES, IMAGES, SAMPLE = 227_835, 377_110, 8_000
SHARES = (0.25, 0.5, 1.0)
LINKS = 15_000
"""Studies whose images are names of one file: file systems have a limit."""

BEGIN = """
import sys, time
from rrgcore import load_recipe
from rrgcore.annotations import Labels, NGrams, RadGraph
from rrgcore.studies import Studies
root, count = sys.argv[1:]
def megabytes(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith(what))
plan = load_recipe("kia_graph", variants=["r2gen"], overrides=[f"data.root={root}"]).plan
before, start = megabytes("VmRSS"), time.process_time()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # from here on the peak is this step's
"""
END = """
seconds = time.process_time() - start
print(seconds, megabytes("VmRSS") - before, megabytes("VmHWM") - before)
"""
LIST = """
studies = Studies(plan)
studies.check_whole()
assert len(studies["train"]) == int(count)
"""
READ = """
studies = Studies(plan)
found = studies.knowledge.open("train", studies["train"], [KIND])
assert all(study[KIND] is not None for study in found[:100])
"""

ANNOTATE = """
from rrgcore.annotating import AnnotationOrder, annotate_dataset
from rrgcore.plugins import discover
annotator = discover().registry.get("annotator", "NAME")()
made = annotate_dataset(Studies(plan).dataset, annotator, AnnotationOrder(annotator="NAME"))
assert sum(made.studies.values()) == int(count) + 2
"""


def make_data(root: Path, studies: int) -> None:
    """Write a data set that is listed as a real one is; all but two studies are of `train`."""
    (root / "annotations").mkdir(parents=True)
    texts = [text for seed in range(8) for text in write_reports(seed)]
    two = round((IMAGES / STUDIES - 1) * studies)
    rows = []
    first = ""
    for number in range(studies + 2):
        folder = f"p{number // 1000:04d}"
        (root / "images" / folder).mkdir(parents=True, exist_ok=True)
        # names as long as the archive's own
        names = [f"{folder}/{number:036d}-{view}.jpg" for view in range(1 + (number < two))]
        for name in names:
            if number % LINKS == 0:
                (root / "images" / name).write_bytes(b"")
            else:
                os.link(root / "images" / first, root / "images" / name)
        first = names[0] if number % LINKS == 0 else first
        text = f"{texts[number % len(texts)]} Study {number} ."
        id = f"s{50_000_000 + 43 * number}"
        rows.append({"id": id, "report": text, "image_path": names, "subject_id": number // 3})
    splits = {"train": rows[:-2], "val": rows[-2:-1], "test": rows[-1:]}
    (root / "annotation.json").write_text(json.dumps(splits))


def write_sidecar(root: Path, slug: str, values: Mapping[str, object]) -> None:
    """Write a line a study: the value of its report, less the number that it ends with."""
    splits = json.loads((root / "annotation.json").read_text())
    with (root / "annotations" / f"{slug}.jsonl").open("w") as file:
        for row in (row for rows in splits.values() for row in rows):
            value = values[row["report"].rpartition(" Study ")[0]]
            file.write(json.dumps({"id": row["id"], "value": value}) + "\n")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a step took at a size: seconds of a processor, and megabytes held after and at most."""

    studies: int
    seconds: float
    held: float
    peak: float

    def __str__(self) -> str:
        return (
            f"{self.studies:,} in {self.seconds:.1f} s with {self.held:,.0f} MB, "
            f"{self.peak:,.0f} at most"
        )


def timed(code: str, root: Path, studies: int) -> Figures:
    """Run code over a data set in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code + END, root, str(studies)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Figures(studies, *map(float, done.stdout.split()))


def told(name: str, found: Sequence[Figures]) -> str:
    """Say what a step took at each size, and with which power of the size its time grew."""
    first, last = found[0], found[-1]
    power = log(last.seconds / first.seconds) / log(last.studies / first.studies)
    return f"{name}: {', '.join(map(str, found))}, time as n^{power:.2f}"


def main() -> None:
    studies, sample = (int(word) for word in (*sys.argv[1:], STUDIES, SAMPLE)[:2])
    from rrg_knowledge.radgraph_rules import RadGraphRules
    from rrg_knowledge.rules import RulesLabeler

    texts = [text for seed in range(8) for text in write_reports(seed)]
    labeler, graphs = RulesLabeler(), RadGraphRules()
    labels = {text: labeler.label(text).to_json() for text in texts}
    radgraph = {text: graphs.read(text).to_json() for text in texts}
    reading = {
        "listing": LIST,
        "reading labels": READ.replace("KIND", "Labels"),
        "reading RadGraph": READ.replace("KIND", "RadGraph"),
    }
    making = {
        f"annotating by `{name}`": ANNOTATE.replace("NAME", name)
        for name in ("rules", "radgraph_rules", "organ")
    }
    figures: dict[str, list[Figures]] = {name: [] for name in (*reading, *making)}
    for most, steps in ((studies, reading), (sample, making)):
        for share in SHARES:
            size = round(share * most)
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                make_data(root, size)
                if steps is reading:
                    write_sidecar(root, "labels", labels)
                    write_sidecar(root, "radgraph", radgraph)
                for name, code in steps.items():
                    figures[name].append(timed(code, root, size))
    lines = [told(name, found) for name, found in figures.items()]
    print(f"a built data set of MIMIC-CXR's size: {'; '.join(lines)}")


if __name__ == "__main__":
    main()
