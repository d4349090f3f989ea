"""Real components: a preview 1 module with jco's adapter around it. Fetched by npm once, into the user's cache."""

import functools
import os
import subprocess
from pathlib import Path

from benchmarks import fetched


@functools.cache
def _jco() -> Path:
    return Path(fetched.npm(fetched.JCO, os.environ), "dist/jco.js")


def componentize(module: Path, target: Path) -> Path:
    """The ``wasi:cli/command`` component of a preview 1 module. AssertionError with what jco said."""
    command = ["node", _jco(), "new", module, "--wasi-command", "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"jco cannot make a component of {module}: {done.stderr}"
    return target
