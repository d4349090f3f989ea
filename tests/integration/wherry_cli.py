"""The wherry CLI as a user runs it: a process of its own, against one engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_DEADLINE = 60.0


def clean_environ() -> dict[str, str]:
    """This process's, without what would name an engine."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("WHERRY_", "DOCKER_"))}


class Wherry:
    """``home`` is the user's, where that matters: programs there are found too."""

    def __init__(self, host: str, home: Path | None = None) -> None:
        self.environ = {**clean_environ(), "WHERRY_HOST": host}
        if home is not None:
            self.environ |= {"HOME": str(home), "PATH": f"{home}:{self.environ['PATH']}"}
        self.home = Path(self.environ["HOME"])

    @property
    def config(self) -> dict[str, Any]:
        """What it keeps for the user."""
        return json.loads((self.home / ".docker/config.json").read_text())

    @staticmethod
    def command(*words: object) -> list[str]:
        return [sys.executable, "-m", "wherry.cli", *map(str, words)]

    def run(self, *words: object, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run it to its end, whatever that is."""
        return subprocess.run(
            self.command(*words), env=self.environ, input=stdin, capture_output=True, timeout=_DEADLINE, check=False
        )

    def __call__(self, *words: object, stdin: bytes = b"") -> str:
        """Its stdout; it must succeed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"wherry {words}: {done.stderr.decode()}"
        return done.stdout.decode()

    def fails(self, code: int, *words: object) -> str:
        """Its one line on stderr, behind that of a transfer's progress at most; it must end with ``code``."""
        done = self.run(*words)
        error = done.stderr.decode()
        assert done.returncode == code, f"exit code {done.returncode}: {error}"
        *progress, line = error.splitlines()
        assert line.startswith("wherry: "), error
        assert not progress or (words[0] in ("pull", "push") and "wherry: " not in "".join(progress)), error
        return line
