"""Damaged components are refused in words, or are no damaged ones."""

import subprocess
import sys
from pathlib import Path


def test_nothing_but_a_refusal() -> None:
    command = [sys.executable, "-m", "tests.fuzz.component_child", "0", "4000"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
