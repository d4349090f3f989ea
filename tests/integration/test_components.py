"""``wasi:cli/command`` components as containers: the same sandbox, files, volumes, limits, exec and exit codes."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components import componentize
from tests.integration.conftest import DATA, DEADLINE, Docker, until
from tests.zig import compile_wasm
from wherry.wasm.binding import Library
from wherry.wasm.compile import to_binary
from wherry.wasm.library import library_path


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory, guest_wasm: Path) -> Iterator[str]:
    """The usual guest and one that works on files, both as components."""
    folder = tmp_path_factory.mktemp("context")
    componentize(guest_wasm, folder / "guest.wasm")
    files = compile_wasm(DATA / "component_guest.c", tmp_path_factory.mktemp("made") / "files.wasm")
    componentize(files, folder / "files.wasm")
    shutil.copy(guest_wasm, folder / "module.wasm")
    (folder / "note").write_text("noted\n")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY . /\nENV FROM=image\nENTRYPOINT ["/guest.wasm"]\n')
    docker("build", "-q", "-t", "parts", folder)
    yield "parts"
    for container in docker("ps", "-aq").split():
        docker("rm", "-f", container)


def files(docker: Docker, *words: object, options: tuple[object, ...] = ()) -> str:
    return docker("run", "--rm", "--entrypoint", "/files.wasm", *options, "parts", *words)


def test_words_variables_streams_and_codes(docker: Docker, image: str) -> None:
    assert docker("run", "--rm", image, "args", "a", "b c", "ä") == "[a]\n[b c]\n[ä]"
    assert docker("run", "--rm", image, "env", "FROM") == "image"
    assert docker("run", "--rm", "-e", "OWN=x=y", image, "env", "OWN") == "x=y"
    both = docker.run("run", "--rm", image, "both")
    assert (both.stdout, both.stderr, both.returncode) == ("to stdout\n", "to stderr\n", 0)
    assert docker.run("run", "--rm", image, "exit", 1).returncode == 1
    data = os.urandom(300_000)
    assert docker.run("run", "--rm", "-i", image, "cat", input=data).stdout == data


def test_a_trap_has_its_code_and_a_backtrace(docker: Docker, image: str) -> None:
    trapped = docker.run("run", "--rm", image, "trap")
    assert trapped.returncode == 134
    assert trapped.stderr.startswith("wasm trap: wasm `unreachable` instruction executed\nwasm backtrace:\n")


def test_files_folders_links_and_times(docker: Docker, image: str) -> None:
    assert files(docker, "tree") == "tree is well"
    assert files(docker, "read", "note", options=("-w", "/")) == "noted"
    assert {"note", "guest.wasm"} <= set(files(docker, "ls", "/").split())


def test_volumes_written_and_read_only(docker: Docker, image: str) -> None:
    docker("volume", "create", "kept")
    files(docker, "write", "/data/x", "one\n", options=("-v", "kept:/data"))
    files(docker, "write", "/data/x", "two\n", "a", options=("-v", "kept:/data"))
    assert files(docker, "read", "/data/x", options=("-v", "kept:/data")) == "one\ntwo"
    refused = docker.run(
        "run", "--rm", "-v", "kept:/data:ro", "--entrypoint", "/files.wasm", image, "write", "/data/x", "three"
    )
    assert refused.returncode == 1  # 3, but the adapter knows no other failure: see limits.md
    assert "Read-only" in refused.stderr
    docker("volume", "rm", "kept")


def test_nothing_leads_out_of_the_rootfs(docker: Docker, image: str) -> None:
    """As for a module: an absolute path is the rootfs's own, ``..`` above it is refused."""
    refused = docker.run("run", "--rm", "--entrypoint", "/files.wasm", image, "read", "/../../etc/passwd")
    assert refused.returncode == 1
    assert "root:" not in refused.stdout


def test_clocks_and_randomness(docker: Docker, image: str) -> None:
    assert files(docker, "sleep") == "slept"
    assert abs(int(files(docker, "time")) - int(os.path.getmtime("/proc/self"))) < 1 << 31
    assert files(docker, "random") == ""


def test_exec_of_a_module_and_of_a_component_beside_it(docker: Docker, image: str) -> None:
    running = docker("run", "-d", "-m", "64m", image, "sleep")
    assert docker("exec", running, "/files.wasm", "read", "/note") == "noted"
    assert docker("exec", running, "/module.wasm", "hello") == "hello"
    docker("rm", "-f", running)


def test_it_stops_and_dies(docker: Docker, image: str) -> None:
    spinning = docker("run", "-d", "--entrypoint", "/files.wasm", image, "spin")
    until(lambda: docker("inspect", "-f", "{{.State.Running}}", spinning) == "true", "it runs", DEADLINE)
    docker("stop", spinning)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", spinning) == "143"


def test_what_is_told_of_it(docker: Docker, image: str) -> None:
    (told,) = json.loads(docker("image", "inspect", image))
    wasm = told["Wasm"]
    assert wasm["Kind"] == "component"
    assert wasm["World"].startswith("wasi:cli/command@0.2.")
    assert any(name.startswith("wasi:cli/run@0.2.") for name in wasm["Exports"])
    assert any(name.startswith("wasi:filesystem/types@0.2.") for name in wasm["Imports"]["files"])
    assert "files" in wasm["Capabilities"]


def test_what_it_used(docker: Docker, image: str) -> None:
    docker("run", "--name", "ended", "--entrypoint", "/files.wasm", image, "read", "/note")
    (told,) = json.loads(docker("inspect", "ended"))
    usage = told["Wasm"]["Usage"]
    assert usage["LinearMemoryPeak"] % 65536 == 0
    assert usage["LinearMemoryPeak"] > 2 * 65536
    calls = usage["Calls"]
    assert calls["wasi:filesystem/types"] > calls["wasi:filesystem/preopens"] >= 1
    assert calls["wasi:cli/stdout"] >= 1
    assert not any(name.startswith("wasi:sockets/") for name in calls)
    docker("rm", "ended")
    docker("run", "-d", "--name", "spins", "--entrypoint", "/files.wasm", image, "spin")
    until(lambda: _usage(docker, "spins")["LinearMemoryPeak"] > 2 * 65536, "it has memory", DEADLINE)
    docker("rm", "-f", "spins")


def test_fuel(docker: Docker, image: str) -> None:
    command = ["run", "--label", "dev.wherry.fuel=1000000", "--entrypoint", "/files.wasm", "--name", "fuelled"]
    ended = docker.run(*command, image, "spin")
    assert (ended.returncode, ended.stderr) == (152, "wherry: out of fuel: all 1000000 units are used\n")
    assert _usage(docker, "fuelled")["Fuel"] == {"Used": 1000000, "Limit": 1000000}
    docker("rm", "fuelled")


def _usage(docker: Docker, container: str) -> dict:
    return json.loads(docker("inspect", container))[0]["Wasm"]["Usage"]


def test_what_is_not_granted(docker: Docker, image: str) -> None:
    refused = docker.run("run", "--rm", "--cap-drop", "files", "--entrypoint", "/files.wasm", image, "read", "/note")
    assert refused.returncode != 0
    assert "noted" not in refused.stdout
    clocks = docker.run("run", "--rm", "--cap-drop", "clocks", "--entrypoint", "/files.wasm", image, "time")
    assert clocks.returncode == 134
    assert "it is not granted to this container" in clocks.stderr


WRONG = '(component (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "status" u32))))) RUN)'
BAD = {
    "missing": ('(component (import "acme:x/y@1.0.0" (instance (export "f" (func)))) RUN)',
                "imports acme:x/y@1.0.0, which no host here provides"),
    "unknown function": ('(component (import "wasi:cli/exit@0.2.0" (instance (export "leave" (func)))) RUN)',
                         "imports leave of wasi:cli/exit@0.2.0, which no host here provides"),
    "wrong type": (WRONG,
                   "imports exit of wasi:cli/exit@0.2.0 as func(u32), but it is func(result<_, _>)"),
    "wasi 0.3": ('(component (import "wasi:cli/stdout@0.3.0" (instance)) RUN)',
                 "is a component that imports wasi:cli/stdout@0.3.0: WASI 0.3 is not supported"),
    "no program": ('(component)', "is a component that exports neither wasi:cli/run@0.2 nor"),
    "malformed": (b"\0asm\x0d\0\x01\0\x07\x7f", "is truncated at byte 10 (section type)"),
}  # fmt: skip
RUN = """
  (core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported))
"""


def binary(text: str) -> bytes:
    return to_binary(Library(library_path(sys.path)), text.encode(), "the text")


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_bad_components_are_refused_by_name(docker: Docker, tmp_path: Path, content: str | bytes, said: str) -> None:
    (tmp_path / "bad.wasm").write_bytes(content if isinstance(content, bytes) else binary(content.replace("RUN", RUN)))
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY bad.wasm /bad.wasm\nENTRYPOINT ["/bad.wasm"]\n')
    built = docker.run("build", "-q", "-t", "bad", tmp_path)
    failed = built if built.returncode else docker.run("run", "--rm", "bad")
    assert failed.returncode != 0
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


LEAVES = """(component
  (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
  (core func $leave (canon lower (func $exit "exit-with-code")))
  (core module $m (import "host" "leave" (func $leave (param i32)))
    (func (export "run") (result i32) (call $leave (i32.const 177)) (i32.const 0)))
  (core instance $i (instantiate $m (with "host" (instance (export "leave" (func $leave))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $exported)))"""


def test_a_code_above_1(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "leaves.wasm").write_bytes(binary(LEAVES))
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY leaves.wasm /l.wasm\nENTRYPOINT ["/l.wasm"]\n')
    docker("build", "-q", "-t", "leaves", tmp_path)
    assert docker.run("run", "--rm", "leaves").returncode == 177


def test_the_smallest_component_and_its_answer(docker: Docker, tmp_path: Path) -> None:
    for answer in (0, 1):
        text = f"(component {RUN.replace('i32.const 0', f'i32.const {answer}')})"
        (tmp_path / "small.wasm").write_bytes(binary(text))
        (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY small.wasm /s.wasm\nENTRYPOINT ["/s.wasm"]\n')
        docker("build", "-q", "-t", "small", tmp_path)
        assert docker.run("run", "--rm", "small").returncode == answer
