"""Running test guests: compile C or text, run it under wherry's WASI in a forked child, or under wasmtime's own."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wherry
from tests.zig import compile_wasm
from wherry.wasm.library import library_path

HERE = Path(__file__).parent
SRC = Path(wherry.__file__).parent.parent
PROGRAMS = HERE / "programs"
TIMEOUT = 120  # seconds until a compiler or guest is taken to hang


@dataclass(frozen=True, slots=True)
class Result:
    """How a guest ended. ``error`` and ``message`` are what was raised instead of running it."""

    code: int
    stdout: str
    stderr: str
    error: str = ""
    message: str = ""
    memory: int = 0
    has_start: bool = False


class Guests:
    """One zygote, a cache of compiled modules, and a folder for what zig makes."""

    def __init__(self, scratch: Path, zig_folder: Path) -> None:
        self.scratch = scratch
        self.library = library_path(sys.path)
        self._zig_folder = zig_folder
        self._compiled: dict[Path, dict[str, Any]] = {}
        self._oracle: subprocess.Popen[str] | None = None
        self._zygote = subprocess.Popen(
            [sys.executable, "-I", "-S", HERE / "zygote.py", SRC, self.library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        for server in (self._zygote, self._oracle):
            if server is not None:
                server.communicate(timeout=TIMEOUT)

    def compile(self, file: Path | str) -> dict[str, Any]:
        """The compiler's last line."""
        command = [sys.executable, "-m", "wherry.wasm.compile", "--cache", self.scratch / "cache"]
        command += ["--library", self.library, *(["--warmup"] if file == "--warmup" else [file])]
        done = subprocess.run(
            command, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def wat(self, text: str) -> Path:
        """A file with that module."""
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        file = self.scratch / f"{name}.wat"
        file.write_text(text)
        return file

    def zig(self, source: str, *flags: str) -> Path:
        """The module compiled from one of the programs, with ``flags`` added. Kept between test runs."""
        code = b"".join(path.read_bytes() for path in (PROGRAMS / source, *sorted(PROGRAMS.glob("*.h"))))
        code += " ".join(flags).encode()
        module = self._zig_folder / f"{source}-{hashlib.sha256(code).hexdigest()[:16]}.wasm"
        if not module.exists():
            compile_wasm(PROGRAMS / source, module, "-w", *flags)
        return module

    def run(
        self,
        file: Path,
        args: Sequence[str] = (),
        *,
        environ: Sequence[str] = (),
        preopens: Sequence[tuple[str, Path, bool]] = (),
        stdin: Path | None = Path("/dev/null"),
        entry: str = "_start",
        memory_limit: int | None = None,
        cwd: str = "/",
        warm: str = "",
        file_limit: int | None = None,
        patience: int | None = None,
        sockets: bool = False,
    ) -> Result:
        """Compile ``file`` if this has not been done, and run it. ``stdin`` None: closed. ``file_limit``: bytes that a
        file may have; ``patience``: seconds until SIGALRM ends it; ``sockets``: it has a network, an empty one."""
        compiled = self._compiled.get(file) or self.compile(file)
        self._compiled[file] = compiled
        if "error" in compiled:
            return Result(-1, "", "", compiled["error"]["kind"], compiled["error"]["message"])
        out, err = self._new_outputs()
        request = {
            "compiled": compiled["path"],
            "args": [file.name, *args],
            "environ": list(environ),
            "preopens": [[name, str(path), writable] for name, path, writable in preopens],
            "stdio": [None if stdin is None else str(stdin), str(out), str(err)],
            "entry": entry,
            "memory_limit": memory_limit,
            "cwd": cwd,
            "warm": warm,
            "file_limit": file_limit,
            "patience": patience,
            "sockets": sockets,
        }
        answer = _ask(self._zygote, request)
        return Result(
            answer.get("code", -1),
            out.read_text(errors="replace"),
            err.read_text(errors="replace"),
            answer.get("error", ""),
            answer.get("message", ""),
            answer.get("memory", 0),
            answer.get("start", False),
        )

    def run_wat(self, text: str, **options: Any) -> Result:
        return self.run(self.wat(text), **options)

    def native(
        self,
        file: Path,
        args: Sequence[str] = (),
        *,
        environ: Sequence[str] = (),
        preopens: Sequence[tuple[str, Path, bool]] = (),
        stdin: Path = Path("/dev/null"),
    ) -> Result:
        """Run under wasmtime's own WASI, the oracle. Its preopens are always writable."""
        if self._oracle is None:
            command = [sys.executable, HERE / "native.py"]
            self._oracle = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        out, err = self._new_outputs()
        request = {
            "module": str(file),
            "args": [file.name, *args],
            "environ": list(environ),
            "preopens": [[name, str(path)] for name, path, _ in preopens],
            "stdio": [str(stdin), str(out), str(err)],
        }
        answer = _ask(self._oracle, request)
        return Result(
            answer["code"],
            out.read_text(errors="replace"),
            err.read_text(errors="replace"),
            message=answer.get("message", ""),
        )

    def _new_outputs(self) -> tuple[Path, Path]:
        paths = self.scratch / "stdout", self.scratch / "stderr"
        for path in paths:
            path.write_bytes(b"")
        return paths


def _ask(server: "subprocess.Popen[str]", request: dict[str, Any]) -> dict[str, Any]:
    """A request to one of the two servers, and its answer."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer
