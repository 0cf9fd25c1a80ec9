"""An environment of its own, into which things are installed as a stranger installs them."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OFFLINE = ("--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check")
"""Options of pip: nothing is fetched."""


@dataclass(frozen=True)
class Environment:
    """An environment in which rrg and rrg-hello are installed; `more` is on the path too."""

    folder: Path
    more: Sequence[Path] = field(default=())

    def run(
        self, *command: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [str(self.folder / "env" / "bin" / program), *arguments],
            cwd=cwd or self.folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RRG_"))},
                "PYTHONPATH": os.pathsep.join(map(str, self.more)),
                "COLUMNS": "200",
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def output(self, *command: str, cwd: Path | None = None, **variables: str) -> str:
        """What a command prints that must succeed."""
        done = self.run(*command, cwd=cwd, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refusal(self, *command: str) -> str:
        """What a command says that must be refused as a user's mistake, without a traceback."""
        done = self.run(*command)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def adapters(self, *options: str, **variables: str) -> dict[str, str]:
        """Each adapter, and the plugin that offers it."""
        listed = json.loads(self.output("rrg", "list", "adapters", "--json", *options, **variables))
        return {row["name"]: row["plugin"] for row in listed}
