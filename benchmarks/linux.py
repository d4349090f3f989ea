"""Linux containers, and builds that run gcc, by wherryd beside dockerd: the same runc, image and requests for both.

Each engine has network and mount namespaces of its own, so that both make their bridges from nothing.
"""

import contextlib
import io
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.engine_api import EngineApi
from benchmarks.engines import both, rootfs
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.programs import Programs
from tests.linux_images import compiler_context
from wherry.errors import Internal

_PART: Final = "linux"
_QUIET: Final = 0.05
"""Seconds before each contender, for the other one's last container to be taken down."""
_MODES: Final = ("none", "bridge")
_BOUNDS: Final = {"none": Bound(0.4), "bridge": Bound(0.6)}
_BUILD_EVERY: Final = 3
_HELLO: Final = b'#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
_DOCKERFILE: Final = b'FROM gcc\nCOPY hello.c .\nRUN gcc -o hello hello.c\nCMD ["./hello"]\n'


class LinuxPart:
    """Per round a container of each engine and network, and a WASM one of wherryd's; every third round a build each."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        place = os.path.join(folder, _PART)
        os.makedirs(place)
        engine, self._engines, self._no_docker = stack.enter_context(both(place, environ, programs))
        engine.build("wasm", programs.hello)
        engine.api.import_image("hello", rootfs(programs.native), "/hello")
        base = _archive(compiler_context(Path(place) / "base") / "rootfs")
        for api in self._engines.values():
            api.import_image("gcc", base, "/bin/sh")
        self._context = _context({"Dockerfile": _DOCKERFILE, "hello.c": _HELLO})
        self._samples = {(name, what): Samples() for name in self._engines for what in (*_MODES, "build")}
        self._wasm = Samples()

    def warm_up(self) -> None:
        """One of each: the first makes the bridge, unpacks the base, compiles the module."""
        for api in self._engines.values():
            for mode in _MODES:
                _container(api, "hello", mode)
            api.build("built", self._context)
        _container(self._engines["wherryd"], "wasm", "none")

    def round(self, number: int) -> None:
        """Contenders in alternating order."""
        for name in turns(list(self._engines), number):
            for mode in _MODES:
                time.sleep(_QUIET)
                self._samples[name, mode].add(_container(self._engines[name], "hello", mode))
            if number % _BUILD_EVERY == 0:
                self._samples[name, "build"].add(self._engines[name].build("built", self._context))
        time.sleep(_QUIET)
        self._wasm.add(_container(self._engines["wherryd"], "wasm", "none"))

    def rows(self) -> list[Row]:
        """Each thing by both, and the share that wherry's is of the other."""
        found: list[Row] = []
        for mode in _MODES:
            found += self._compared(f"a Linux container, network {mode}", mode, _BOUNDS[mode])
        linux = self._samples["wherryd", "none"]
        wasm = self._wasm.row(_PART, "wherryd: a WASM container, network none", "ms")
        share = self._wasm.median() / linux.median() if len(linux) else None
        found += [wasm, Row(_PART, "WASM / Linux, both by wherryd", "x", share, bound=Bound(0.08))]
        return found + self._compared("build: FROM base, COPY, RUN gcc", "build", Bound(1.0))

    def _compared(self, what: str, key: str, bound: Bound) -> list[Row]:
        ours = self._samples["wherryd", key].row(_PART, f"wherryd: {what}", "ms")
        none = Samples()
        theirs = self._samples.get(("dockerd", key), none).row(_PART, f"dockerd: {what}", "ms", note=self._no_docker)
        share = ours.value / theirs.value if theirs.value and ours.value else None
        return [ours, theirs, Row(_PART, "wherryd / dockerd", "x", share, bound=bound, note=self._no_docker)]


def _container(api: EngineApi, image: str, network: str) -> int:
    body = {"Image": image, "AttachStdout": True, "AttachStderr": True, "HostConfig": {"NetworkMode": network}}
    cycle = api.cycle(body)
    api.remove(cycle.container_id)
    if cycle.exit_code or not cycle.output.endswith(b"hello\n"):
        raise Internal(f"the container wrote {cycle.output[:80]!r} and ended with {cycle.exit_code}")
    return cycle.nanoseconds


def _archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, ".")
    return buffer.getvalue()


def _context(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()
