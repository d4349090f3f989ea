"""Every command of the installed docker CLI that asks the engine, with every flag that it has, for both kinds of
container: it works, is refused with a reason, or changes nothing, as with docker. The tables are cli_flags.py's and
cli_commands.py's."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration import cli_commands, cli_flags
from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.cli_flags import Flag
from tests.integration.conftest import Docker
from tests.linux_images import busybox_context

KINDS = ["linux", "wasm"]
OTHER = {"linux": "wasi/wasm", "wasm": "linux/amd64"}
_FLAG = re.compile(r"^ +(?:-\w, )?--([a-z0-9-]+)", re.MULTILINE)
_COMMAND = re.compile(r"^  ([a-z-]+)\*? ", re.MULTILINE)


def _help(*words: str) -> str:
    return subprocess.run(["docker", *words, "--help"], capture_output=True, text=True, check=True).stdout


def _subcommands(text: str) -> list[str]:
    found = []
    for block in text.split("\n\n"):
        head, _, rest = block.partition("\n")
        if head.endswith("Commands:"):
            found += _COMMAND.findall(rest)
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The flags of each of the installed CLI's commands that ask an engine, by its shortest name."""
    found: dict[str, set[str]] = {}
    for word in _subcommands(_help()):
        if word in cli_commands.NOT_THE_ENGINE:
            continue
        text = _help(word)
        below = _subcommands(text)
        for words in [(word, sub) for sub in below] if below else [(word,)]:
            full = _help(*words) if below else text
            found[_shortest(words)] = {f"--{name}" for name in _FLAG.findall(full)} - {"--help"}
    return found


def _shortest(words: tuple[str, ...]) -> str:
    name = " ".join(words)
    if name in cli_commands.ALIASES:
        return cli_commands.ALIASES[name]
    top = {"container", "image"} & {words[0]} and words[-1] not in ("prune", "inspect")
    return words[-1] if top else name


def _named(line: str) -> tuple[str, set[str]]:
    words = shlex.split(line)
    flags = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z0-9-]+(=.*)?", word)}
    nouns = ("container", "image", "volume", "network", "system", "builder")
    return _shortest(tuple(words[:2] if words[0] in nouns else words[:1])), flags


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sweep")
    (made / "env").write_text("FROM_FILE=yes\n")
    (made / "labels").write_text("from=file\n")
    (made / "shared").mkdir()
    (made / "shared/here").touch()
    (made / "context").mkdir()
    (made / "context/Dockerfile").write_text("FROM sweep/none\n")
    (made / "context/Other").write_text("FROM scratch AS one\nARG A\nCOPY Other /x\nFROM one AS two\n")
    return made


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = build_both(docker, tmp_path_factory.mktemp("both"), "sweep")
    shell = tmp_path_factory.mktemp("shell")
    docker("build", "-q", "--platform", "linux/amd64", "-t", "shell", busybox_context(shell))
    return made


@pytest.fixture(scope="module")
def surroundings(docker: Docker, images: Mapping[str, str]) -> Iterator[None]:
    """What the tables name: a container ``peer`` that lends a volume, the network ``sweepnet``."""
    docker("create", "--name", "peer", "--network", "none", "-v", "/lent", "shell", "true")
    docker("network", "create", "--subnet", "10.213.7.0/24", "sweepnet")
    yield
    docker("rm", "-fv", "peer")
    docker("network", "rm", "sweepnet")


def _holds(found: Any, wanted: Any) -> bool:
    """Equal; of lists and objects it may have more than is wanted."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(_holds(item, each) for item in found) for each in wanted)
    return type(found) is type(wanted) and found == wanted


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = (document or {}).get(part)
    return document


def _filled(value: Any, folder: Path) -> Any:
    return json.loads(json.dumps(value).replace("{folder}", str(folder)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["OWN", "SHARED", "MADE"])
def test_every_flag_is_kept_and_does_what_it_says(docker, images, surroundings, known, folder, table, kind):
    flags: list[Flag] = [flag for flag in getattr(cli_flags, table) if _named(f"run {flag.words}")[1] <= known["run"]]
    words = [word for flag in flags for word in shlex.split(flag.words.replace("{folder}", str(folder)))]
    (folder / "cid").unlink(missing_ok=True)
    image = ["shell", "sleep", "600"] if kind == "linux" else ["sweep-wasm", "sleep", "600"]
    if table == "MADE":
        image = image[:1]
    made = docker.run("create", *words, "--platform", PLATFORMS[kind], *image)
    assert made.returncode == 0, made.stderr
    container = made.stdout.strip()
    try:
        document = json.loads(docker("inspect", container))[0]
        wrong = [
            f"{flag.words}: {flag.field} is {_at(document, flag.field)!r}"
            for flag in flags
            if flag.field and not _holds(_at(document, flag.field), _filled(flag.value, folder))
        ]
        if kind == "wasm":
            wrong += [f"{flag.words}: no warning" for flag in flags if flag.warns not in made.stderr]
        else:
            assert "has no effect" not in made.stderr
        if table == "MADE":
            assert (folder / "cid").read_text() == container
        else:
            docker("start", container)
            wrong += _seen(docker, container, flags) if kind == "linux" else []
            assert docker("inspect", "-f", "{{.State.Running}}", container) == "true"
        assert not wrong, "\n".join(wrong)
    finally:
        docker.run("rm", "-fv", container)


def _seen(docker: Docker, container: str, flags: list[Flag]) -> list[str]:
    """What a program in the container does not see, by one exec for all."""
    asked = [flag for flag in flags if flag.shell]
    script = "\n".join(f"{{ {flag.shell}\n}}; echo; echo ====" for flag in asked)
    answers = docker("exec", container, "sh", "-c", script).replace("\r\n", "\n").split("====")
    return [
        f"{flag.words}: {flag.shell} printed {answer.strip()!r}"
        for flag, answer in zip(asked, answers, strict=False)
        if not re.search(flag.out, answer.strip("\n"), re.MULTILINE)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_is_refused_in_dockers_words(docker, images, known, kind):
    wrong = []
    for words, said in cli_flags.REFUSED.items():
        if not _named(f"create {words}")[1] <= known["create"]:
            continue
        ended = docker.run("create", *shlex.split(words), images[kind])
        if ended.returncode == 0 or said not in ended.stderr:
            wrong.append(f"{words}: {ended.returncode} {ended.stdout}{ended.stderr}")
    assert not wrong, "\n".join(wrong)
    assert docker("ps", "-aq") in ("", docker("ps", "-aq", "--filter", "name=peer"))


def _fault(docker: Docker, line: str, wanted: str) -> str:
    """What is wrong with the answer to a command line, "" for nothing. ``!|x``: it may fail, or print ``x``."""
    ended = docker.run(*shlex.split(line.replace("{now}", f"{time.time():.9f}")))
    said = (ended.stdout + ended.stderr).strip()
    assert "Traceback" not in said
    may_fail = wanted.startswith("!|")
    fails, pattern = wanted.startswith("!"), wanted.removeprefix("!").removeprefix("|")
    if may_fail and ended.returncode:
        return ""
    if (ended.returncode != 0) != (fails and not may_fail) and not wanted.startswith("Conflict"):
        return f"docker {line}: {ended.returncode} {said}"
    return "" if re.search(pattern, said, re.MULTILINE) else f"docker {line}: {said!r}, not {pattern!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_of_containers(docker, images, known, folder, kind):
    image = images[kind]
    run = ("--network", "none", "--no-healthcheck")
    try:
        docker("run", "-d", "--name", "up", "--label", f"kind={kind}", *run, image, "sleep")
        docker("run", "--name", "done", *run, image, "both")
        docker("create", "--name", "made", "-p", "127.0.0.1:0:81", "--expose", "82", image)
        docker("run", "-d", "--name", "held", *run, image, "sleep")
        docker("pause", "held")
        values = {"image": image, "kind": kind, "platform": PLATFORMS[kind], "other": OTHER[kind], "folder": folder}
        wrong = []
        for line, wanted in cli_commands.EACH.items():
            filled, pattern = line, wanted
            for name, value in values.items():
                filled, pattern = filled.replace(f"{{{name}}}", str(value)), pattern.replace(f"{{{name}}}", str(value))
            if _named(filled)[1] <= known.get(_named(filled)[0], set()):
                wrong.append(_fault(docker, filled, pattern))
        assert not any(wrong), "\n".join(filter(None, wrong))
    finally:
        docker.run("rm", "-fv", "up", "done", "made", "held")


def test_every_command_of_the_rest(docker, images, known, folder):
    wrong = []
    for line, wanted in cli_commands.ONCE.items():
        name, flags = _named(line)
        if flags <= known.get(name, set()):
            wrong.append(_fault(docker, line.replace("{folder}", str(folder)), wanted))
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_no_flag_is_left_out(known):
    """Of those that the installed CLI has; one that comes with the next CLI is found here."""
    told: dict[str, set[str]] = {name: set() for name in known}
    for line in (*cli_commands.EACH, *cli_commands.ONCE):
        name, flags = _named(line)
        told.setdefault(name, set()).update(flags)
    rows = [flag.words for flag in (*cli_flags.OWN, *cli_flags.SHARED, *cli_flags.MADE)]
    of_run = set().union(cli_flags.ELSEWHERE, *(_named(f"run {words}")[1] for words in (*rows, *cli_flags.REFUSED)))
    for name in ("run", "create"):
        told[name] = {*of_run, "--platform"}
    told["info"] = known["info"]  # as `system info`
    left = {name: sorted(flags - told[name]) for name, flags in known.items() if flags - told[name]}
    assert not left, left


@pytest.mark.parametrize("kind", KINDS)
def test_detached_by_keys(docker, images, kind):
    """``--detach-keys`` of run and attach; the container goes on."""
    for words in (["run", "-it", "--name", "kept", "--network", "none"], ["attach"]):
        ours, theirs = pty.openpty()
        rest = [images[kind], "lines"] if words[0] == "run" else ["kept"]
        command = [*words, "--detach-keys", "ctrl-x,q", *rest]
        process = docker.popen(*command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        os.write(ours, b"word\r\n")
        seen = b""
        while b"got word" not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, b"\x18q")
        assert process.wait(30) in (0, 1), process.stderr.read()
        process.stderr.close()
        os.close(ours)
        assert docker("inspect", "-f", "{{.State.Running}}", "kept") == "true"
    docker("rm", "-f", "kept")


@pytest.mark.parametrize("kind", KINDS)
def test_signals_are_passed_on_or_not(docker, images, kind):
    """``--sig-proxy``; ``--cidfile`` of one that runs; ``--rm`` with ``--detach``."""
    process = docker.popen(
        "run", "--init", "--name", "told", "--network", "none", images[kind], "tick", stdout=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    process.stdout.close()
    docker("rm", "told")
    words = ("run", "--sig-proxy=false", "--name", "deaf", "--network", "none", "--init", images[kind], "tick")
    process = docker.popen(*words, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    # What comes of the CLI is its own affair; the container, which would have ended before this, goes on.
    assert docker("exec", "deaf", "/program", "hello") == "hello"
    process.kill()
    process.communicate()
    docker("rm", "-f", "deaf")
