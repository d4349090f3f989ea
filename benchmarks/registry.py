"""Images from and to a registry: pulled beside skopeo and umoci, and beside dockerd; unpacked beside GNU tar; a
module pulled and run; the memory.

The registries are Debian's docker-registry, on loopback; dockerd has the same files served in its own network. What is
pushed goes to a registry of its own, which is emptied before, so that nothing can be mounted from elsewhere.
"""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping

from benchmarks import proc
from benchmarks.engine_api import EngineApi
from benchmarks.engines import Wherryd, dockerd
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.layouts import LAYERS, SMALL_FILES, big_layout, padded, small_files
from benchmarks.programs import Programs, wherry
from wherry.core.diff.apply import apply
from wherry.core.diff.target import Target
from wherry.errors import FailedPrecondition

_PART = "registry"
_NO_SLOWER = Bound(1.0)
_MODULE = 100_000
_TURNS = 2
"""Times that what is short is done in a round."""
_RUN = {"Image": "", "AttachStdout": True, "AttachStderr": True, "HostConfig": {"NetworkMode": "none"}}
_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {0}}}}}
http: {{addr: "{1}"}}
"""


class RegistryPart:
    """Per round: pull and push by wherry and by dockerd; pull by skopeo and umoci; small files by our applier and by
    tar; a module pulled and run."""

    name = _PART

    def __init__(
        self,
        folder: str,
        programs: Programs,
        environ: Mapping[str, str],
        engine: Wherryd,
        stack: contextlib.ExitStack,
    ) -> None:
        self._folder = os.path.join(folder, _PART)
        os.makedirs(self._folder)
        self._engine = engine
        self._environs = {"wherry": engine.environ}
        self._times: dict[str, Samples] = {}
        self._peak = 0.0
        self._made: list[str] = []
        self._missing = [tool for tool in ("docker-registry", "skopeo", "umoci") if shutil.which(tool) is None]
        if not self._missing:
            self._start(programs, environ, stack)

    def _start(self, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack) -> None:
        places = [os.path.join(self._folder, name) for name in ("from", "to")]
        self._source, self._sink = (stack.enter_context(registry(place, environ)) for place in places)
        self._emptied = os.path.join(self._folder, "to", "data")
        self._name = f"{self._source}/big"
        self._size = big_layout(os.path.join(self._folder, "layout"))
        self._small = small_files(os.path.join(self._folder, "small.tar"))
        there = f"docker://{self._name}"
        self._run("wherry", "skopeo", "copy", "-q", "--dest-tls-verify=false", self._there("layout"), there)
        self._offer_module(programs)
        self._no_docker = ""
        try:
            configs = [os.path.join(place, "registry.yml") for place in places]
            api = stack.enter_context(dockerd(self._folder, environ, programs, serving=configs))
            self._environs["dockerd"] = {**environ, "DOCKER_HOST": f"unix://{api.socket_path}"}
        except FailedPrecondition as error:
            self._no_docker = str(error)

    def _offer_module(self, programs: Programs) -> None:
        """The image ``kept`` has the same module, so that it is compiled already when it is pulled."""
        path = os.path.join(self._folder, "kept.wasm")
        with open(programs.hello, "rb") as file:
            module = padded(file.read(), _MODULE)
        with open(path, "wb") as file:
            file.write(module)
        self._module = f"{self._source}/module"
        self._engine.build("kept", path)
        self._run("wherry", *wherry(), "push", "-q", "--as", "artifact", path, self._module)
        self._run("wherry", *wherry(), "rmi", self._module)

    def _there(self, folder: str) -> str:
        return f"oci:{self._folder}/{folder}:big"

    def warm_up(self) -> None:
        """Nothing: the first pull is as much a pull as the others."""

    def round(self, number: int) -> None:
        """Each once."""
        if self._missing:
            return
        for turn in range(_TURNS):  # before anything is removed
            self._unpack(_TURNS * number + turn)
        for name in turns([*self._environs, "skopeo"], number):
            if name == "skopeo":
                self._copy()
            else:
                self._trade(name, number)
        for _ in range(_TURNS):
            self._pull_and_run()

    def _trade(self, name: str, number: int) -> None:
        """Pull, push and forget, by one engine."""
        command = [*wherry()] if name == "wherry" else ["docker"]
        before = resident(self._engine.pid)
        self._time(f"{name} pull", name, *command, "pull", "-q", self._name)
        if name == "wherry":
            self._peak = max(self._peak, resident(self._engine.pid, "VmHWM") - before)
        fresh = f"{self._sink}/pushed-{name}-{number}"
        self._run(name, *command, "tag", self._name, fresh)
        shutil.rmtree(self._emptied, ignore_errors=True)
        self._time(f"{name} push", name, *command, "push", "-q", fresh)
        self._run(name, *command, "rmi", fresh, self._name)

    def _copy(self) -> None:
        source, there = f"docker://{self._name}", self._there("copied")
        bundle = os.path.join(self._folder, "bundle")
        self._time("copy", "wherry", "skopeo", "copy", "-q", "--src-tls-verify=false", source, there)
        self._time("unpack", "wherry", "umoci", "unpack", "--image", there.removeprefix("oci:"), bundle)
        for made in ("copied", "bundle"):
            shutil.rmtree(os.path.join(self._folder, made))

    def _pull_and_run(self) -> None:
        api: EngineApi = self._engine.api
        before = time.perf_counter_ns()
        api.pull(self._module)
        pulled = time.perf_counter_ns() - before
        cycle = api.cycle({**_RUN, "Image": self._module})
        self._times.setdefault("first", Samples()).add(pulled + cycle.nanoseconds)
        api.remove(cycle.container_id)
        api.call("DELETE", f"/images/{self._module}")

    def _unpack(self, number: int) -> None:
        """What is made stays until the end: ext4 passes over inodes that were freed lately, one by one, so that whoever
        comes after a removal of as many files takes up to ten times as long."""
        for name in turns(["apply", "tar"], number):
            root = os.path.join(self._folder, f"{name}-{number}")
            os.mkdir(root)
            self._made.append(root)
            before = time.perf_counter_ns()
            if name == "apply":
                with open(self._small, "rb") as file:
                    apply(file, Target(root, (), "trusted.overlay.opaque", os.geteuid() == 0))
            else:
                self._run("wherry", "tar", "-xf", self._small, "-C", root)
            self._times.setdefault(name, Samples()).add(time.perf_counter_ns() - before)

    def _time(self, what: str, engine: str, *command: str) -> None:
        before = time.perf_counter_ns()
        self._run(engine, *command)
        self._times.setdefault(what, Samples()).add(time.perf_counter_ns() - before)

    def _run(self, engine: str, *command: str) -> None:
        proc.run(command, self._environs[engine], " ".join(command[:2]))

    def rows(self) -> list[Row]:
        """Times, and how they compare."""
        if self._missing:
            note = f"no {' and no '.join(self._missing)} here"
            return [Row(_PART, f"pull of an image of {LAYERS} gzip layers", "ms", None, note=note)]
        what = f"an image of {self._size / 1e6:.0f} MB in {LAYERS} gzip layers"
        times = self._times
        other = times["copy"].median() + times["unpack"].median()
        pull = times["wherry pull"].median()
        return [
            times["wherry pull"].row(_PART, f"pull of {what}", "ms"),
            Row(_PART, "the same by skopeo copy and umoci unpack", "ms", other / 1e6, rounds=len(times["copy"])),
            Row(_PART, "pull, times skopeo and umoci", "x", pull / other, bound=_NO_SLOWER),
            self._beside("pull"),
            times["wherry push"].row(_PART, "push of the same", "ms"),
            self._beside("push"),
            times["apply"].row(_PART, f"unpack of {SMALL_FILES} small files", "ms"),
            Row(
                _PART,
                "unpack, times GNU tar",
                "x",
                times["apply"].median() / times["tar"].median(),
                bound=Bound(1.3),
            ),
            times["first"].row(_PART, f"a module of {_MODULE // 1000} KB, compiled before: pull, run", "ms", Bound(60)),
            Row(_PART, "memory of the engine while it pulls, over before", "MB", self._peak, bound=Bound(60)),
        ]

    def _beside(self, what: str) -> Row:
        theirs = self._times.get(f"dockerd {what}")
        ours = self._times[f"wherry {what}"].median()
        ratio = ours / theirs.median() if theirs else None
        return Row(_PART, f"{what}, times dockerd", "x", ratio, bound=_NO_SLOWER, note=self._no_docker)


@contextlib.contextmanager
def registry(folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    """A docker-registry by ``folder``/registry.yml; its address."""
    os.makedirs(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    config = os.path.join(folder, "registry.yml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(_CONFIG.format(os.path.join(folder, "data"), address))

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with proc.Background(["docker-registry", "serve", config], os.path.join(folder, "log"), environ) as background:
        background.until(answers, 30, "docker-registry does not come up")
        yield address


def resident(pid: int, field: str = "VmRSS") -> float:
    """A process's memory in MB; the high-water mark begins anew when the present figure is asked for."""
    if field == "VmRSS":
        with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1000
    raise FailedPrecondition(f"process {pid} has no {field}")
