"""The package `radgraph` as far as its callers see it, and files such as it writes."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = """
import json, os, re, sys
from pathlib import Path

{start}

CALLS = Path(__file__).with_name("calls.jsonl")

class RadGraph:
    def __init__(self, batch_size=1, cuda=None, model_type=None, **kwargs):
        print("Using device: cpu")
        assert model_type in ["radgraph", "radgraph-xl", "echograph", "modern-radgraph-xl"]
        self.xl = model_type != "radgraph"

    def __call__(self, hyps):
        with CALLS.open("a") as file:
            file.write(json.dumps(hyps) + "\\n")
        found = {{}}
        for number, report in enumerate(hyps):
            {read}
            pattern = r"\\w+|[^\\w\\s]+" if self.xl else r"[^\\s/,:.!?()]+|[/,:.!?()]"
            words = re.findall(pattern, report)
            entities = {{}}
            for i, word in enumerate(words):
                if word.startswith("effusion"):
                    label = "Observation::definitely absent" if self.xl else "OBS-DA"
                    entities[str(len(entities) + 1)] = {{
                        "tokens": word, "label": label, "start_ix": i, "end_ix": i, "relations": []
                    }}
            found[str(number)] = {{
                "text": " ".join(words), "entities": entities,
                "data_source": None, "data_split": "inference",
            }}
        return found
"""


def write_radgraph(folder: Path, *, start: str = "", read: str = "pass") -> Path:
    """Write the package; `start` runs when it is imported, `read` for each report."""
    package = folder / "radgraph"
    package.mkdir(parents=True, exist_ok=True)
    text = PACKAGE.format(start=start, read=read)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    return folder


def write_interpreter(folder: Path, **what: str) -> str:
    """Write an interpreter that has the package: this one, told where it is."""
    path = folder / "python"
    write_radgraph(folder, **what)
    path.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n', "utf-8")
    path.chmod(0o755)
    return str(path)


def write_graphs(path: Path, reports: Mapping[str, str]) -> str:
    """Write a file of RadGraph's in which the first word of each report is an observation."""
    entity = {"label": "OBS-DP", "start_ix": 0, "end_ix": 0, "relations": []}
    documents = {
        name: {"text": report, "entities": {"1": {"tokens": report.split()[0], **entity}}}
        for name, report in reports.items()
    }
    path.write_text(json.dumps(documents), encoding="utf-8")
    return str(path)
