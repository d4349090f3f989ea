"""Every command that the documents show is typed here, in a folder like a fresh clone and with an engine of its own.

In a block of kind ``console`` a line that begins with ``$ `` is a command and one with ``> `` continues it; what
follows is output that must come, in that order, with ``...`` for anything. A document's blocks are one session of one
shell. A command must succeed, unless the next one is ``echo $?``.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.conftest import empty_hub
from wherry.daemon import config

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "docs/guide.md")
SESSION_SECONDS = 180
_ASKS_FOR_STATUS = "echo $?"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a document: ``output`` is what is shown below it."""

    document: str
    line: int
    command: str
    output: tuple[str, ...]
    may_fail: bool = False

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.command.splitlines()[0][:60]}"


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    output: str


def steps_of(document: str, text: str) -> list[Step]:
    """The commands of all console blocks, in order."""
    found: list[tuple[int, list[str], list[str]]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif inside and found and line.startswith("> ") and not found[-1][2]:
            found[-1][1].append(line[2:])
        elif inside and found and line == ">" and not found[-1][2]:
            found[-1][1].append("")
        elif inside and found:
            found[-1][2].append(line)
    commands = ["\n".join(words) for _, words, _ in found]
    following = [*commands[1:], ""]
    return [
        Step(document, number, command, tuple(output), may_fail=after == _ASKS_FOR_STATUS)
        for (number, _, output), command, after in zip(found, commands, following, strict=True)
    ]


def missing(expected: tuple[str, ...], said: str) -> str | None:
    """The first expected line that does not come, None if all do in their order. Runs of blanks count as one."""
    lines = iter(squeezed(line) for line in said.splitlines())
    for wanted in expected:
        if wanted.strip() in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in squeezed(wanted).split("...")))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def squeezed(line: str) -> str:
    return re.sub(r"\s+", " ", line).rstrip()


STEPS = [
    step
    for document in DOCUMENTS
    if (REPOSITORY / document).exists()
    for step in steps_of(document, (REPOSITORY / document).read_text(encoding="utf-8"))
]


def session(steps: list[Step], folder: Path, environ: dict[str, str]) -> list[Result]:
    """Type all commands into one shell; each one's output goes to a file of its own."""
    script = ["trap 'kill $(jobs -p) 2> /dev/null' EXIT", "status() { return $1; }", "last=0"]
    for number, step in enumerate(steps):
        command = folder / f"{number}.sh"
        command.write_text(step.command + "\n", encoding="utf-8")
        script += [
            f"status $last; . {command} > {folder}/{number}.out 2>&1 < /dev/null; last=$?",
            f"echo $last > {folder}/{number}.status",
        ]
    main = folder / "session.sh"
    main.write_text("\n".join(script) + "\n", encoding="utf-8")
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(["bash", str(main)], cwd=folder / "clone", env=environ, timeout=SESSION_SECONDS, check=False)
    return [read_result(folder, number) for number in range(len(steps))]


def read_result(folder: Path, number: int) -> Result:
    status, output = folder / f"{number}.status", folder / f"{number}.out"
    if not status.exists():
        return Result(-1, "it did not end in time\n" + (output.read_text(errors="replace") if output.exists() else ""))
    return Result(int(status.read_text()), output.read_text(errors="replace"))


def environment(folder: Path) -> dict[str, str]:
    """A new user's, but that zig's C library need not be built again, nor what npm has be fetched."""
    home = folder / "home"
    home.mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/"), ".cache")
    return {
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"] + ":/usr/sbin:/sbin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "WHERRY_ROOT": str(folder / "root"),
        "WHERRY_HOST": f"unix://{folder}/w.sock",
        "WHERRY_REGISTRIES": f"docker.io={empty_hub()}",
        "NPM_CONFIG_CACHE": os.environ.get("NPM_CONFIG_CACHE", os.path.join(os.environ.get("HOME", "/"), ".npm")),
        "ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR", os.path.join(cache, "zig")),
    }


@contextlib.contextmanager
def engine_ended(folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """Whatever the session started, ends: its containers, then the engine, told by who answers at the socket."""
    try:
        yield
    finally:
        path = folder / "w.sock"
        if path.exists():
            listed = subprocess.run(["wherry", "ps", "-aq"], env=environ, capture_output=True, text=True, check=False)
            if names := listed.stdout.split():
                subprocess.run(["wherry", "rm", "-f", *names], env=environ, capture_output=True, check=False)
            stop(peer_of(path))
        told = ["--root", environ["WHERRY_ROOT"], "--host", environ["WHERRY_HOST"]]
        shutil.rmtree(config.parse(told, {}, os.geteuid()).state, ignore_errors=True)


def peer_of(path: Path) -> int:
    """The process that listens at a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("iII", credentials)[0])


def stop(pid: int) -> None:
    """SIGTERM, and wait for the end of a process that is not our child."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        assert select.select([handle], [], [], 30)[0], f"wherryd ({pid}) did not stop within 30 s"
    finally:
        os.close(handle)


@pytest.fixture(scope="module")
def results() -> dict[Step, Result]:
    """One session per document, each with an engine of its own."""
    found: dict[Step, Result] = {}
    for document in DOCUMENTS:
        steps = [step for step in STEPS if step.document == document]
        folder = Path(tempfile.mkdtemp(prefix="wd-"))
        try:
            environ = environment(folder)
            ignored = shutil.ignore_patterns("*.wasm", "__pycache__")
            shutil.copytree(REPOSITORY / "examples", folder / "clone" / "examples", ignore=ignored)
            with engine_ended(folder, environ):
                found.update(zip(steps, session(steps, folder, environ), strict=True))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_command_of_the_documents_does_what_they_show(step: Step, results: dict[Step, Result]) -> None:
    result = results[step]
    assert step.may_fail or result.status == 0, f"{step.command!r} ended with {result.status}:\n{result.output}"
    lacking = missing(step.output, result.output)
    assert lacking is None, f"{step.command!r} did not print {lacking!r}, but:\n{result.output}"


def test_the_documents_show_commands() -> None:
    assert {step.document for step in STEPS} == set(DOCUMENTS)
    assert sum("docker run" in step.command for step in STEPS) >= 2


def test_links_between_the_documents_lead_somewhere() -> None:
    broken = []
    for document in sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")) and not (document.parent / target).exists():
                broken.append(f"{document.relative_to(REPOSITORY)}: {target}")
    assert broken == []


def test_blocks_are_read_as_they_are_meant() -> None:
    text = "```console\n$ false\n$ echo $?\n1\n$ cat <<E\n> a\n>\n> E\na\n\n...\n```\n```\n$ not this\n```\n"
    steps = steps_of("x.md", text)
    assert [step.command for step in steps] == ["false", "echo $?", "cat <<E\na\n\nE"]
    assert [step.may_fail for step in steps] == [True, False, False]
    assert steps[2].output == ("a", "", "...")


def test_expected_lines_are_looked_for_in_order() -> None:
    said = "NAME    STATUS\nw       Up 3 seconds\n"
    assert missing(("NAME STATUS", "w  Up ..."), said) is None
    assert missing(("w Up ...", "NAME STATUS"), said) == "NAME STATUS"
    assert missing(("w Up",), said) == "w Up"
