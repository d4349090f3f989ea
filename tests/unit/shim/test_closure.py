"""What the zygote imports is every container's memory, what its server imports an idle shim's: the lists of what must
not be imported are held here."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HEAVY = {
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "inspect",
    "json",
    "pickle",
    "re",
    "signal",
    "socket",
    "typing",
}


AT_FORK = {"concurrent.futures.thread", "logging", "random", "threading"}
"""What registers functions with os.register_at_fork: the zygote's clones are made without calling any."""


def _imported_by(module: str) -> set[str]:
    spec = find_spec("wherry")
    assert spec is not None
    assert spec.origin is not None
    code = (
        f"import sys; sys.path.insert(0, {str(Path(spec.origin).parent.parent)!r}); import {module}; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_zygote_imports_nothing_heavy() -> None:
    imported = _imported_by("wherry.shim.serve")
    assert "wherry.wasm.program" in imported
    assert not imported & (HEAVY | AT_FORK)
    assert len(imported) < 120


def test_its_server_imports_nothing_heavy_either() -> None:
    imported = _imported_by("wherry.shim.server")
    assert "wherry.shim.service" in imported
    assert not imported & HEAVY
    assert len(imported) < 160
