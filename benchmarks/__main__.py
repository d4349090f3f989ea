"""``python -m benchmarks``: make everything in a folder of its own, run all rounds interleaved, print the figures."""

import argparse
import contextlib
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console

from benchmarks import programs
from benchmarks.api import ApiPart
from benchmarks.cli import CliPart
from benchmarks.commands import CommandsPart
from benchmarks.crowd import CrowdPart
from benchmarks.engines import Wherryd, wherryd
from benchmarks.figures import Row, interleaved
from benchmarks.flow import FlowPart
from benchmarks.http import HttpPart
from benchmarks.kernels import KernelsPart
from benchmarks.large import large_rows
from benchmarks.linux import LinuxPart
from benchmarks.memory import IDLE, image_rows, memory_rows
from benchmarks.merging import merging_rows
from benchmarks.proxy import ProxyPart
from benchmarks.python import PythonPart
from benchmarks.registry import RegistryPart
from benchmarks.reload import ReloadPart
from benchmarks.report import print_table, write_json
from benchmarks.start import StartPart
from benchmarks.wagi import WagiPart
from benchmarks.wasi import WasiPart
from wherry.errors import WherryError

_PARTS = (
    *("start", "http", "wagi", "proxy", "api", "cli", "crowd", "wasi", "python", "kernels", "linux", "flow"),
    *("docker", "registry", "memory", "reload", "image", "large"),
)
# These need no engine.
_ALONE = {"start", "http", "wagi", "proxy", "wasi", "python", "kernels", "linux", "flow", "docker"}
_ROUNDS = {
    "start": 200,
    "http": 40,
    "wagi": 30,
    "proxy": 10,
    "api": 60,
    "cli": 20,
    "crowd": 5,
    "wasi": 20,
    "python": 10,
    "kernels": 10,
    "linux": 30,
    "flow": 10,
    "docker": 20,
    "registry": 3,
    "reload": 15,
    "memory": 100,
    "large": 5,
}
_QUICK = {
    "start": 20,
    "http": 4,
    "wagi": 2,
    "proxy": 2,
    "api": 6,
    "cli": 3,
    "crowd": 1,
    "wasi": 3,
    "python": 5,
    "kernels": 2,
    "linux": 4,
    "flow": 3,
    "docker": 4,
    "registry": 1,
    "reload": 2,
    "memory": 10,
    "large": 1,
}
"""Rounds of each part; of "memory", idle containers; of "large", gigabytes."""
_RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


class Part(Protocol):
    """Something timed in rounds."""

    name: str

    def warm_up(self) -> None: ...

    def round(self, number: int) -> None: ...

    def rows(self) -> list[Row]: ...


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: measured; 1: a bound is missed, with ``--strict``; 2: it could not be measured."""
    told = _parse(arguments)
    console = Console()
    folder = tempfile.mkdtemp(prefix="wb-", dir=told.root)
    try:
        rows = measure(folder, _environment(folder, environ), told.only, _QUICK if told.quick else _ROUNDS, console.log)
    except WherryError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_table(rows, console)
    now = datetime.now(UTC)
    path = told.output or os.path.join(_RESULTS, f"{now:%Y%m%dT%H%M%SZ}.json")
    write_json(rows, path, now)
    print(f"written to {os.path.relpath(path)}")
    return 1 if told.strict and any(row.verdict == "MISSED" for row in rows) else 0


def measure(
    folder: str, environ: Mapping[str, str], only: Sequence[str], rounds: Mapping[str, int], say: Callable[[str], None]
) -> list[Row]:
    """All figures of the parts in ``only``. WherryError: something that is needed is missing, or misbehaves."""
    with contextlib.ExitStack() as stack:
        say("compiling the programs (zig's first use builds its C library: about 40 s)")
        made = programs.make(folder, environ)
        engine: Wherryd | None = None
        if set(only) - _ALONE:
            say("starting a private wherryd")
            engine = stack.enter_context(wherryd(folder, environ))
            engine.build("hello", made.hello)
            engine.build("idle", made.idle)
        parts = _parts(folder, environ, only, made, engine, stack, say)
        _run(parts, rounds, say)
        rows = [row for part in parts.values() for row in part.rows()]
        if engine is not None and "memory" in only:
            say(f"starting {rounds['memory']} idle containers")
            rows += memory_rows(engine, rounds["memory"])
            rows += merging_rows(folder, environ, made, rounds["memory"], IDLE)
        if engine is not None and "large" in only:
            say(f"pulling {rounds['large']} GiB")
            rows += large_rows(engine, rounds["large"])
        if engine is not None and "image" in only:
            rows += image_rows(engine, made)
        return rows


def _parts(
    folder: str,
    environ: Mapping[str, str],
    only: Sequence[str],
    made: programs.Programs,
    engine: Wherryd | None,
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    if "start" in only:
        say("starting a shim")
        parts["start"] = StartPart(folder, made, environ, stack)
    parts.update(_servers(folder, environ, only, made, stack, say))
    if "wasi" in only:
        parts["wasi"] = WasiPart(folder, made.wasi_calls, environ)
    if "kernels" in only:
        parts["kernels"] = KernelsPart(folder, programs.source("kernels.c"), environ)
    if "python" in only:
        say("fetching and compiling CPython")
        parts["python"] = PythonPart(folder, environ, stack)
    if "linux" in only:
        say("starting a wherryd and a dockerd with networks of their own, and giving each an image with gcc")
        parts["linux"] = LinuxPart(folder, made, environ, stack)
    if "flow" in only:
        say("starting a wherryd and a dockerd with networks of their own, and a server in each")
        parts["flow"] = FlowPart(folder, made, environ, stack)
    if "docker" in only:
        say("starting a wherryd and a dockerd with a thousand containers each")
        parts["docker"] = CommandsPart(folder, made, environ, stack)
    if engine is not None and "api" in only:
        say("starting a private dockerd, if there is one")
        parts["api"] = ApiPart(folder, made, environ, engine, stack)
    if engine is not None:
        parts |= {part.name: part(engine) for part in (CliPart, CrowdPart) if part.name in only}
    if engine is not None and "reload" in only:
        say("starting wherry serve")
        parts["reload"] = ReloadPart(folder, engine, stack)
    if engine is not None and "registry" in only:
        say("starting registries and a private dockerd, and filling them")
        parts["registry"] = RegistryPart(folder, made, environ, engine, stack)
    return parts


def _servers(
    folder: str,
    environ: Mapping[str, str],
    only: Sequence[str],
    made: programs.Programs,
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
) -> dict[str, Part]:
    """The parts that ask a container by HTTP."""
    parts: dict[str, Part] = {}
    if "http" in only:
        say("starting a shim with an HTTP server")
        parts["http"] = HttpPart(folder, made, environ, stack)
    if "wagi" in only:
        say("starting a shim with a WAGI server, and the same server with native CGI")
        parts["wagi"] = WagiPart(folder, made, environ, stack)
    if "proxy" in only:
        say("making components, and starting a shim with them")
        parts["proxy"] = ProxyPart(folder, environ, stack)
    return parts


def _run(parts: Mapping[str, Part], rounds: Mapping[str, int], say: Callable[[str], None]) -> None:
    """Every part's rounds, spread evenly over the run; the collector waits."""
    for part in parts.values():
        part.warm_up()
    wanted = {name: rounds[name] for name in parts}
    say("rounds: " + ", ".join(f"{count} of {name}" for name, count in wanted.items()))
    gc.collect()
    gc.disable()
    try:
        for name, number in interleaved(wanted):
            parts[name].round(number)
    finally:
        gc.enable()


def _environment(folder: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The user's, but that no engine of his is found by it."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("WHERRY_", "DOCKER_"))}
    return {**kept, "DOCKER_CONFIG": os.path.join(folder, "docker-config")}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="How fast and how small, beside the bounds.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds: for a look, not for figures")
    parser.add_argument(
        "--only", metavar="PART,...", type=_some_parts, default=_PARTS, help="some of: " + ", ".join(_PARTS)
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bound is missed")
    parser.add_argument("--output", metavar="FILE", help="where the JSON goes; by default into benchmarks/results")
    parser.add_argument("--root", metavar="DIR", help="where the run's folder is made; a short path, sockets lie in it")
    return parser.parse_args(arguments)


def _some_parts(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(_PARTS):
        raise argparse.ArgumentTypeError(f"unknown part {sorted(unknown)[0]!r}: choose from {', '.join(_PARTS)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
