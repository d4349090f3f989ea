"""The sandbox against a guest that has arbitrary system calls: hostile Python where the guest would be.

tests/hostile says how: a shim built for this test runs a table of attempts in containers, of root's and of another
user's. Each is made twice: as shipped ("whole"), and with seccomp left out ("bare"), where the layers below it answer.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.other_user import as_user

HOSTILE = Path(__file__).parent.parent / "hostile"
USER = 64322
TIMEOUT = 300

Answers = Mapping[str, Any]

sys.path.append(str(HOSTILE))
import table  # noqa: E402 - it lies beside what runs in the container, which has no packages

WHERE = [f"{variant} {whose}" for variant in ("whole", "bare") for whose in ("root", "user")]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    return {}


@pytest.fixture(params=WHERE)
def found(request: pytest.FixtureRequest, answers: dict[str, Answers]) -> tuple[str, Answers]:
    variant, whose = request.param.split()
    if request.param not in answers:
        answers[request.param] = {}  # of one that fails, the other tests shall not try it again
        answers[request.param] = drive(variant, as_root=whose == "root")
    assert answers[request.param], "the attempts were not made: see the first failure"
    return variant, answers[request.param]


def drive(variant: str, *, as_root: bool) -> Answers:
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/hostile-XXXXXX"], text=True).strip())
    command = [
        "env",
        f"PYTHONPATH={HOSTILE.parents[1]}",
        sys.executable,
        str(HOSTILE / "drive.py"),
        variant,
        str(folder),
    ]
    if not as_root:
        subprocess.run(["chown", str(USER), folder], check=True)
        command = as_user(USER, command)
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd="/")
    assert done.returncode == 0, done.stderr
    subprocess.run(["rm", "-rf", folder], check=True)
    answers: Answers = json.loads(done.stdout)
    return answers


def places(found: Answers) -> dict[str, Answers]:
    """The first container, one of a spare child, an exec's module, one of another user than root, one whose module has
    sockets, and one whose module has threads."""
    return {name: found[name] for name in ("first", "spare", "exec", "user", "online", "threads") if found[name]}


@pytest.mark.parametrize("number", range(1, len(table.ATTEMPTS)), ids=lambda number: table.ATTEMPTS[number][0])
def test_an_attempt_meets_its_errno(found: tuple[str, Answers], number: int) -> None:
    variant, answered = found
    name, _, whole, bare = table.ATTEMPTS[number]
    usual = (whole, bare)
    if not answered["user"] and name in ("a device of the image", "a device in a volume"):
        usual = ("ENOENT", "ENOENT")  # only root can lay one there
    for place, answers in places(answered).items():
        pair = table.ONLINE.get(name, usual) if place == "online" else usual
        assert answers[name] in pair[variant != "whole"].split("|"), place


def test_the_attempts_ran_to_their_end(found: tuple[str, Answers]) -> None:
    for place, answers in places(found[1]).items():
        assert answers[""]["code"] == 0, (place, answers[""]["stderr"])
        assert len(answers) == len(table.ATTEMPTS) + 1


def test_these_descriptors_are_open_and_no_others(found: tuple[str, Answers]) -> None:
    """Stdio, the folders that are preopened, the pipe for the report, and compiled modules, for reading."""
    compiled = {f"file:r:{inode}" for inode in found[1]["compiled"]}
    folders = ["folder:r:/", "folder:r:/ro", "folder:r:/scratch"]
    for place, answers in places(found[1]).items():
        stdin, *rest = answers[table.ATTEMPTS[0][0]].split()
        assert stdin in ("0:fifo:r:", "0:device:r:"), place
        assert rest[:2] == ["1:fifo:w:", "2:fifo:w:"], place
        others = [word.partition(":")[2] for word in rest[2:]]
        assert sorted(word for word in others if word not in compiled) == ["fifo:w:", *folders], place


def test_code_of_another_architecture_ends_the_process(found: tuple[str, Answers]) -> None:
    variant, answered = found
    assert answered["native"][""]["code"] == (128 + 31 if variant == "whole" else 128)


def test_a_fork_bomb_without_seccomp_meets_the_limit_of_processes(found: tuple[str, Answers]) -> None:
    variant, answered = found
    if "bomb" in answered:  # another user has no cgroup here
        made = answered["bomb"]["bomb"]
        assert made == "EPERM" if variant == "whole" else int(made.split()[0]) < 20


def test_what_the_kernel_says_of_a_container(found: tuple[str, Answers]) -> None:
    variant, answered = found
    status = dict(line.partition(":\t")[::2] for line in answered["status"].splitlines())
    kept = (1 << 1) | (1 << 3)  # CAP_DAC_OVERRIDE, CAP_FOWNER
    bound = kept | (1 << 10)  # CAP_NET_BIND_SERVICE: held only by guests with sockets, and not to be had any more
    for name, most in (("CapEff", kept), ("CapPrm", kept), ("CapBnd", bound)):
        assert int(status[name], 16) & ~most == 0, name
    assert (status["CapInh"].strip("0"), status["CapAmb"].strip("0")) == ("", "")
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == ("2" if variant == "whole" else "0")
    core = next(line for line in answered["limits"].splitlines() if line.startswith("Max core file size"))
    assert core.split()[4] == "1"
