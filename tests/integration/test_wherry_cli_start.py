"""The CLI starts the engine when nobody did: once, however many try, and with a clear word when it cannot."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.wherry_cli import Wherry, clean_environ

DEADLINE = 60.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for an engine that is not running yet; whatever runs for it at the end is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp"))
    yield folder
    for pid in engines(folder):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + DEADLINE
    while engines(folder):
        assert time.monotonic() < end, "wherryd did not stop"
        time.sleep(0.01)
    shutil.rmtree(folder)


def engines(folder: Path) -> list[int]:
    """The wherryd processes of this root."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"wherry.daemon" in words and os.fsencode(folder / "root") in words:
                found.append(int(entry.name))
    return found


def environ(folder: Path) -> dict[str, str]:
    return {**clean_environ(), "WHERRY_ROOT": str(folder / "root"), "WHERRY_HOST": f"unix://{folder}/w.sock"}


def test_two_at_once_start_one_engine(home: Path) -> None:
    started = [
        subprocess.Popen(Wherry.command("ps"), env=environ(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in started:
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, err
        assert out.startswith(b"CONTAINER ID")
        assert err == b""
    assert len(engines(home)) == 1
    assert (home / "root" / "log" / "wherryd.log").stat().st_mode & 0o077 == 0


def test_it_is_found_again_and_survives_its_starter(home: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            Wherry.command("info"), env=environ(home), capture_output=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
    [engine] = engines(home)
    # A session of its own: the terminal's Ctrl-C and hang-up do not reach it.
    assert os.getsid(engine) == engine


def test_a_dead_socket_is_no_hindrance(home: Path) -> None:
    subprocess.run(Wherry.command("ps"), env=environ(home), capture_output=True, timeout=DEADLINE, check=True)
    [first] = engines(home)
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + DEADLINE
    while engines(home):
        assert time.monotonic() < end
        time.sleep(0.01)
    done = subprocess.run(Wherry.command("ps"), env=environ(home), capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def test_an_engine_that_cannot_start_says_why(home: Path) -> None:
    (home / "root").mkdir()
    (home / "w.sock").mkdir()
    done = subprocess.run(Wherry.command("ps"), env=environ(home), capture_output=True, timeout=DEADLINE, check=False)
    error = done.stderr.decode()
    assert done.returncode == 1
    assert error.startswith("wherry: ")
    assert error.count("\n") == 1
    assert "w.sock" in error


def test_a_named_engine_is_not_started(home: Path) -> None:
    words = Wherry.command("-H", f"unix://{home}/w.sock", "ps")
    done = subprocess.run(words, env=environ(home), capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert b"is wherryd running?" in done.stderr
    assert not engines(home)
