"""From a runtime's name to the shim binary that serves it. Tables and containerd's naming rule; no process is started.

Source of the rule: containerd docs/runtime-v2.md ("Runtime configuration").
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.wire.task import RUNC_OPTIONS_TYPE_URL, RuncOptions
from wherry.wire.wellknown import Any

WHERRY: Final = "io.containerd.wherry.v1"
RUNC: Final = "io.containerd.runc.v2"

# Engines whose images wherry runs; their names mean wherry's shim unless the user configured that engine's own.
_WASM_ENGINES = "wasmedge.v1 wasmtime.v1 wamr.v1 wasmer.v1 spin.v1 spin.v2 slight.v1 wws.v1 lunatic.v1 wagi.v1".split()
ALIASES: Final[Mapping[str, str]] = {
    "wherry": WHERRY,
    "runc": RUNC,
    "crun": RUNC,
    **{f"io.containerd.{name}": WHERRY for name in _WASM_ENGINES},
}
_PACKAGES: Final[Mapping[str, str]] = {
    "containerd-shim-runc-v2": "install Debian's containerd and runc",
    "runc": "install Debian's runc",
    "crun": "install Debian's crun",
    "containerd-shim-wherry-v1": "it comes with wherry: run wherryd from the environment wherry was installed in",
}
_CRUN: Final = Any(type_url=RUNC_OPTIONS_TYPE_URL, value=RuncOptions(binary_name="crun").encode()).encode()
_OPTIONS: Final[Mapping[str, bytes]] = {"crun": _CRUN}
# The program that a shim has the work done by: without it every start would fail, in the shim's words.
_WORKERS: Final[Mapping[str, str]] = {"runc": "runc", RUNC: "runc", "crun": "crun"}
# Shims known to serve all tasks of a namespace from one process: asking them to `start` again is not needed.
_GROUPED: Final = frozenset({WHERRY})
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class Runtime:
    """``binary`` is the shim's absolute path; ``options`` an encoded google.protobuf.Any for it, b"" for none;
    ``grouped`` shims serve many tasks."""

    name: str
    binary: str
    options: bytes = b""
    grouped: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeTable:
    """``configured`` maps a runtime's name to the user's own shim binary for it (path, or name on PATH); ``path`` are
    the folders to look in."""

    path: Sequence[str]
    configured: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, name: str) -> Runtime:
        """The shim for runtime ``name``: configured, an alias, an absolute path, or by containerd's naming rule.

        InvalidArgument: no such runtime (the known ones are listed); FailedPrecondition: its shim is not installed.
        """
        if name in self.configured:
            return Runtime(name, self._find(name, self.configured[name]))
        full = ALIASES.get(name, name)
        if os.path.isabs(full):
            return Runtime(name, self._find(name, full))
        binary = binary_name(full)
        if binary is None:
            known = ", ".join(self.known())
            raise InvalidArgument(f"unknown or invalid runtime name: {name[:120]} (known: {known})")
        found = self._find(name, binary)
        if worker := _WORKERS.get(name):
            self._find(name, worker)
        return Runtime(name, found, _OPTIONS.get(name, b""), full in _GROUPED)

    def known(self) -> Sequence[str]:
        """Names of the runtimes that can be launched now, sorted."""
        names = {WHERRY, RUNC, *ALIASES, *self.configured}
        return sorted(name for name in names if self._is_there(name))

    def _is_there(self, name: str) -> bool:
        binary = self.configured.get(name) or binary_name(ALIASES.get(name, name)) or ""
        helper = "" if name in self.configured else _WORKERS.get(name, "")
        return self._search(binary) is not None and (not helper or self._search(helper) is not None)

    def _find(self, name: str, binary: str) -> str:
        found = self._search(binary)
        if found is None:
            hint = _PACKAGES.get(binary, "install it, or name another runtime")
            raise FailedPrecondition(f"runtime {name}: {binary} is not on PATH: {hint}")
        return found

    def _search(self, binary: str) -> str | None:
        """Absolute path of an executable file, or None."""
        folders = [""] if os.path.isabs(binary) else self.path
        for candidate in (os.path.join(folder, binary) for folder in folders):
            if os.path.isabs(candidate) and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
        return None


def binary_name(runtime: str) -> str | None:
    """``io.containerd.runc.v2`` -> ``containerd-shim-runc-v2``; None when the name is not of that form."""
    if not _NAME.fullmatch(runtime) or len(runtime) > 200:
        return None
    *_, name, version = runtime.split(".")
    return f"containerd-shim-{name}-{version}"
