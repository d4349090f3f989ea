"""Whole commands of the docker CLI, by wherryd beside dockerd: a run of hello, and what is asked of an engine that has
a thousand containers, one of them with a log of a million lines."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from benchmarks import proc
from benchmarks.engine_api import EngineApi
from benchmarks.engines import both, rootfs
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.programs import Programs
from wherry.errors import FailedPrecondition, Internal

_PART: Final = "docker"
_QUIET: Final = 0.05
_CONTAINERS: Final = 1000
_LINES: Final = 1_000_000
_LOGS_EVERY: Final = 5
_CREATORS: Final = 8
_EQUAL: Final = Bound(1.0)
_ASKED: Final[Mapping[str, tuple[str, Bound]]] = {
    "run": ("docker run --rm --network none hello (native by dockerd, WASM by wherryd)", Bound(0.2)),
    "ps": (f"docker ps -a with {_CONTAINERS:,} containers", _EQUAL),
    "inspect": ("docker inspect of one of them", _EQUAL),
    "events": ("docker events --since, until the first line", _EQUAL),
    "logs": (f"docker logs of {_LINES:,} lines", _EQUAL),
}


class CommandsPart:
    """Per round one of each command with each engine, in alternating order; of `logs` every fifth round."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        if shutil.which("docker", path=environ.get("PATH")) is None:
            raise FailedPrecondition("no docker CLI here: apt-get install docker.io")
        place = os.path.join(folder, _PART)
        os.makedirs(place)
        self._environ = environ
        engine, self._engines, self._no_docker = stack.enter_context(both(place, environ, programs))
        engine.build("hello", programs.hello)
        for api in self._engines.values():
            api.import_image("pour", rootfs(programs.pour), "/hello")
            _fill(api)
        self._samples = {(name, what): Samples() for name in self._engines for what in _ASKED}
        self._log = hashlib.sha256(b"".join(b"line %07d\n" % number for number in range(_LINES))).digest()

    def warm_up(self) -> None:
        """One of each that is not counted."""
        for name in self._engines:
            for what in _ASKED:
                self._asked(name, what)

    def round(self, number: int) -> None:
        """Contenders in alternating order."""
        for name in turns(list(self._engines), number):
            for what in _ASKED:
                if what != "logs" or number % _LOGS_EVERY == 0:
                    time.sleep(_QUIET)
                    self._samples[name, what].add(self._asked(name, what))

    def rows(self) -> list[Row]:
        """Each command with both, and the share that wherry's is of the other."""
        found: list[Row] = []
        for key, (what, bound) in _ASKED.items():
            ours = self._samples["wherryd", key].row(_PART, f"wherryd: {what}", "ms")
            theirs = self._samples.get(("dockerd", key), Samples())
            other = theirs.row(_PART, f"dockerd: {what}", "ms", note=self._no_docker)
            share = ours.value / other.value if ours.value and other.value else None
            found += [ours, other, Row(_PART, "wherryd / dockerd", "x", share, bound=bound, note=self._no_docker)]
        return found

    def _asked(self, name: str, what: str) -> int:
        if what == "run":
            return self._timed(name, ["run", "--rm", "--network", "none", "hello"], b"hello\n")
        if what == "ps":
            return self._timed(name, ["ps", "-a"], lines=_CONTAINERS + 2)
        if what == "inspect":
            return self._timed(name, ["inspect", "idle-500"])
        if what == "events":
            return self._first_event(name)
        return self._logs(name)

    def _timed(self, name: str, words: Sequence[str], wanted: bytes | None = None, lines: int = 0) -> int:
        before = time.perf_counter_ns()
        done = subprocess.run(["docker", *words], env=self._where(name), stdin=subprocess.DEVNULL, capture_output=True)
        taken = time.perf_counter_ns() - before
        right = wanted in (None, done.stdout) and lines in (0, done.stdout.count(b"\n"))
        if done.returncode or not right:
            said = os.fsdecode(done.stderr or done.stdout).strip()
            raise Internal(f"docker {words[0]} with {name} ended with {done.returncode} and said: {said[-200:]}")
        return taken

    def _first_event(self, name: str) -> int:
        before = time.perf_counter_ns()
        listening = subprocess.Popen(
            ["docker", "events", "--since", "24h"], env=self._where(name), stdout=subprocess.PIPE
        )
        try:
            said = listening.stdout.readline() if listening.stdout else b""
            taken = time.perf_counter_ns() - before
        finally:
            listening.kill()
            listening.communicate()
        if not said:
            raise Internal(f"docker events with {name} said nothing")
        return taken

    def _logs(self, name: str) -> int:
        """To a pipe that is read as it comes. Internal: it is not what was written."""
        before = time.perf_counter_ns()
        reading = subprocess.Popen(["docker", "logs", "talker"], env=self._where(name), stdout=subprocess.PIPE)
        found = hashlib.sha256()
        while reading.stdout and (data := reading.stdout.read(1 << 20)):
            found.update(data)
        reading.communicate()
        taken = time.perf_counter_ns() - before
        if reading.returncode or found.digest() != self._log:
            raise Internal(f"docker logs with {name} are not what was written")
        return taken

    def _where(self, name: str) -> dict[str, str]:
        return {**self._environ, "DOCKER_HOST": f"unix://{self._engines[name].socket_path}"}


def _fill(api: EngineApi) -> None:
    """A thousand containers that never run, and one that has written its lines."""
    host = {"NetworkMode": "none"}

    def create(number: int) -> None:
        api.call("POST", f"/containers/create?name=idle-{number}", {"Image": "hello", "HostConfig": host})

    with ThreadPoolExecutor(_CREATORS) as creators:
        list(creators.map(create, range(_CONTAINERS)))
    body = {"Image": "pour", "Cmd": ["lines", str(_LINES)], "HostConfig": host}
    talker = api.call("POST", "/containers/create?name=talker", body)["Id"]
    api.call("POST", f"/containers/{talker}/start")
    if api.call("POST", f"/containers/{talker}/wait")["StatusCode"]:
        raise Internal("the container that fills a log failed")
    proc.wait_until(
        lambda: api.read(f"/containers/{talker}/logs?stdout=1&tail=1").endswith(b"%07d\n" % (_LINES - 1)),
        60,
        "the log is not whole",
    )
