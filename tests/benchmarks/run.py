"""All rows of the table of benchmarks, as Markdown: `python tests/benchmarks/run.py`.

Each benchmark runs in a process of its own, one after the other, and computes on one thread unless
RRG_BENCHMARK_THREADS says otherwise. Names choose some of them (`run.py decoding startup`);
`--plot docs/images/growth.png` draws how things grow. The table goes to stdout, the rest to stderr.
"""

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("decoding", "kia_step", "steps", "cmeaa_step", "images", "startup", "growth", "gpu")
HEADINGS = ("row", "against", "asked", "measured", "")


def machine() -> str:
    """Say what was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "timm"))
    threads = os.environ.get("RRG_BENCHMARK_THREADS", "1")
    busy = f"load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{processor()}, {cores} cores, {threads} thread{'' if threads == '1' else 's'} used, "
        f"Python {platform.python_version()}, {packages}; {time.strftime('%Y-%m-%d')}, {busy}"
    )


def processor() -> str:
    """Return what the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def rows_of(name: str, options: list[str]) -> list[dict[str, object]]:
    """Run a benchmark; raises SystemExit where it fails."""
    start = time.monotonic()
    command = [sys.executable, HERE / f"{name}.py", "--rows", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if done.returncode:
        raise SystemExit(f"{name} failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    options, names = [], sys.argv[1:]
    if "--plot" in names:
        at = names.index("--plot")
        options, names = names[at : at + 2], names[:at] + names[at + 2 :]
    said = machine()
    rows = [
        row
        for name in names or BENCHMARKS
        for row in rows_of(name, options if name == "growth" else [])
    ]
    print(f"{said}.\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for row in rows:
        cells = (row["what"], row["against"], row["asked"], row["measured"])
        print(f"| {' | '.join(map(str, cells))} | {'yes' if row['reached'] else '**no**'} |")


if __name__ == "__main__":
    main()
