"""Idle containers where the kernel merges equal pages (KSM): the same figure as memory.py's, measured apart."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping

from benchmarks import proc
from benchmarks.engines import wherryd
from benchmarks.figures import Bound, Row
from benchmarks.memory import idle_container
from benchmarks.programs import Programs

_KSM = "/sys/kernel/mm/ksm"
_SETTINGS = {"run": "1", "pages_to_scan": "2000"}
"""The kernel's own pace would take minutes to come round."""
_SCANS = 3
_PATIENCE = 120


def merging_rows(
    folder: str, environ: Mapping[str, str], programs: Programs, containers: int, bound: Bound
) -> list[Row]:
    """One row, without a value where KSM cannot be turned on."""
    name = f"each of {containers} idle containers, with KSM on"
    if os.geteuid() != 0 or not os.path.exists(f"{_KSM}/run"):
        return [Row("memory", name, "MB", None, bound=bound, note="no KSM in this kernel, or not root")]
    own = os.path.join(folder, "merging")
    os.makedirs(own)
    with _merging(), wherryd(own, environ) as engine:
        engine.build("idle", programs.idle)
        pids = [idle_container(engine) for _ in range(containers)]
        _wait_for_scans()
        sizes = [proc.pss(pid) / 1e6 for pid in pids]
    note = "PSS; the interpreter's pages only, never the guests'"
    return [Row("memory", name, "MB", sum(sizes) / len(sizes), max(sizes), containers, bound, note)]


@contextlib.contextmanager
def _merging() -> Iterator[None]:
    before = {name: _read(name) for name in _SETTINGS}
    try:
        for name, value in _SETTINGS.items():
            _write(name, value)
        yield
    finally:
        for name, value in before.items():
            _write(name, value)


def _wait_for_scans() -> None:
    last = int(_read("full_scans")) + _SCANS
    end = time.monotonic() + _PATIENCE
    while int(_read("full_scans")) < last and time.monotonic() < end:
        time.sleep(0.1)


def _read(name: str) -> str:
    with open(f"{_KSM}/{name}", encoding="ascii") as file:
        return file.read().strip()


def _write(name: str, value: str) -> None:
    with open(f"{_KSM}/{name}", "w", encoding="ascii") as file:
        file.write(value)
