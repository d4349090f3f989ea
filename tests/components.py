"""Real components: a preview 1 module with jco's adapter around it, or a Python program. The tools are fetched once."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import components, fetched
from tests.zig import compile_wasm

DATA = Path(__file__).parent / "data"
HELLO = b"Hello from a component!\n"
"""What `proxy_guest` answers to ``GET /``."""
_BARE = ("-Os", "-s", "-nostdlib", "-fno-builtin", "-Wl,--no-entry")


@functools.cache
def _jco() -> Path:
    return Path(fetched.npm(fetched.JCO, os.environ), "dist/jco.js")


def componentize(module: Path, target: Path) -> Path:
    """The ``wasi:cli/command`` component of a preview 1 module. FailedPrecondition with what jco said."""
    return Path(components.command(str(module), str(target), os.environ))


def componentize_proxy(module: Path, target: Path) -> Path:
    """The component of a module that is made for the world in data/proxy_world.wit. FailedPrecondition."""
    return Path(components.componentize(str(module), str(target), os.environ))


def proxy_guest(target: Path, *flags: str) -> Path:
    """``target``, data/proxy_guest.c as a component of wasi:http that does as its path says; core.wasm is the
    module that it is made of."""
    core = compile_wasm(DATA / "proxy_guest.c", target.with_name("core.wasm"), *_BARE, *flags)
    return componentize_proxy(core, target)


def componentize_python(app: Path, folder: Path, world: str = "wasi:cli/command") -> Path:
    """A component of the program ``app``, made in ``folder``: CPython and all. AssertionError with what was said."""
    source, texts = folder / "source", folder / "wit"
    (texts / "deps").mkdir(parents=True)
    source.mkdir(parents=True)
    shutil.copy(app, source / "app.py")
    (texts / "world.wit").write_text(f"package test:app;\nworld app {{ include {world}@0.2.12; }}\n")
    packages = _jco().parent.parent / "lib/wit/builtin/0.2.12"
    for package in packages.iterdir():
        if package.name != "wasi-http" or "http" in world:
            shutil.copytree(package, texts / "deps" / package.name)
    tool = Path(fetched.pip(fetched.COMPONENTIZE, os.environ))
    # Not its script: that one names the interpreter that fetched it, which may be gone.
    command = [sys.executable, "-c", "import componentize_py; componentize_py.script()"]
    command += ["-d", str(texts), "-w", "app", "componentize", "-p", str(source), "app"]
    environ = {**os.environ, "PYTHONPATH": str(tool)}
    done = subprocess.run(
        [*command, "-o", folder / "app.wasm"], env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"componentize-py cannot make a component of {app}: {done.stderr}"
    return folder / "app.wasm"
