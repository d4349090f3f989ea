"""The compile cache and the process that fills it: trust, whole files, refusals on one line."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.guests import SRC, TIMEOUT, Guests
from wherry.errors import FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted
from wherry.wasm.cache import Cache, edition, files, find_edition, info_path, open_trusted
from wherry.wasm.environment import host_features
from wherry.wasm.library import library_path, library_version

MODULE = '(module (memory (export "memory") 1) (func (export "_start")))'


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(str(tmp_path / "cache"), "e" * 16)
    made.prepare()
    return made


def test_what_is_stored_is_found(cache: Cache) -> None:
    assert cache.find("ab") is None
    path = cache.store("ab", b"code", b"{}")
    assert cache.find("ab") == path
    assert Path(path).read_bytes() == b"code"
    assert Path(info_path(path)).read_bytes() == b"{}"
    assert Cache(cache.folder, "other").find("ab") is None
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_component_has_a_file_for_each_core(cache: Cache) -> None:
    path = cache.store("ab", b"code", b"{}", (b"one", b"two"))
    assert files(path) == [path, f"{path}.1", f"{path}.2", info_path(path)]
    assert [Path(file).read_bytes() for file in files(path)] == [b"code", b"one", b"two", b"{}"]
    assert cache.find("ab") == path


def test_a_compiled_module_without_its_info_is_not_there(cache: Cache) -> None:
    path = cache.store("ab", b"code", b"{}")
    os.unlink(info_path(path))
    assert cache.find("ab") is None


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(PermissionDenied, match="not this user's alone"):
        Cache(str(folder), "e").prepare()
    folder.chmod(0o700)
    Cache(str(folder), "e").prepare()
    os.chown(folder, 12345, 12345)
    with pytest.raises(PermissionDenied):
        Cache(str(folder), "e").prepare()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionDenied):
        Cache(str(tmp_path / "link"), "e").prepare()


def test_files_of_others_are_refused(cache: Cache) -> None:
    path = cache.store("ab", b"code", b"{}")
    os.chmod(path, 0o620)
    with pytest.raises(PermissionDenied, match="remove it, it will be compiled again"):
        cache.find("ab")
    os.chmod(path, 0o600)
    os.chown(path, 12345, 12345)
    with pytest.raises(PermissionDenied):
        open_trusted(path)
    os.unlink(path)
    os.symlink("/etc/passwd", path)
    with pytest.raises(PermissionDenied):
        open_trusted(path)
    os.unlink(path)
    with pytest.raises(NotFound):
        open_trusted(path)
    os.mkfifo(path, 0o600)
    with pytest.raises(PermissionDenied):
        open_trusted(path)


def test_what_killed_writers_left_is_removed(cache: Cache) -> None:
    old, new = Path(cache.folder, ".tmp-1-a"), Path(cache.folder, ".tmp-2-b")
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    cache.store("ab", b"code", b"{}")
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", folder], check=True)
    try:
        small = Cache(str(folder), "e")
        small.prepare()
        with pytest.raises(ResourceExhausted, match="No space left on device"):
            small.store("ab", b"x" * 200_000, b"{}")
        assert small.find("ab") is None
        assert [name for name in os.listdir(folder) if name.startswith(".tmp")] == []
        assert small.store("cd", b"x", b"{}") == small.find("cd")
    finally:
        subprocess.run(["umount", folder], check=True)


def test_the_environment_of_a_compiled_module_is_its_processor() -> None:
    assert host_features("processor : 0\nflags\t\t: sse2 avx\n\nflags : other\n") == "avx sse2"
    assert host_features("Features : asimd fp\n") == "asimd fp"
    assert host_features("") == ""


def test_the_library_is_found_without_importing_anything(tmp_path: Path) -> None:
    path = library_path(["/none", *sys.path])
    assert library_version(path).startswith("50.0")
    with pytest.raises(FailedPrecondition, match="pip install wasmtime"):
        library_path([str(tmp_path)])
    alone = tmp_path / "a/b/lib.so"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(b"12345")
    assert library_version(str(alone)).startswith("5-")


def test_a_module_is_compiled_once(guests: Guests) -> None:
    file = guests.wat(MODULE + ";; once")
    first = guests.compile(file)
    written = os.stat(first["path"]).st_mtime_ns
    second = guests.compile(file)
    assert first == second
    assert os.stat(first["path"]).st_mtime_ns == written
    assert first["digest"].startswith("sha256:")
    assert first["info"]["exports"][1]["name"] == "_start"


def test_several_at_once(guests: Guests) -> None:
    file = guests.wat(MODULE + ";; at once")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(guests.compile, [file] * 4))
    assert all(answer == answers[0] for answer in answers)
    assert guests.run(file).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a WebAssembly module: it is empty"),
        (b"hello", 'is not a WebAssembly module: it starts with "hell" (text?)'),
        (b"\0asm\x01\0\0\0\x0a", "is truncated at byte 9 (section code)"),
        (b"(module (func (unreachabl)))", "is not WebAssembly text: unknown operator"),
        (b"(module", "is not WebAssembly text: "),
        (b'(module (func (export "f") (result i32)))', "is not a valid module: at offset 31: type mismatch"),
        (b'(module (import "env" "f" (func)))', "imports env.f, which no host here provides"),
        (
            b"(component)",
            "is a component that exports neither wasi:cli/run@0.2 nor wasi:http/incoming-handler@0.2",
        ),
    ],
)
def test_refusals_are_one_line(guests: Guests, tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "bad.wasm"
    file.write_bytes(content)
    error = guests.compile(file)["error"]
    assert error["kind"] == "InvalidArgument"
    assert error["message"].startswith(f"bad.wasm {said}")
    assert "\n" not in error["message"]


def test_files_that_are_none(guests: Guests, tmp_path: Path) -> None:
    assert guests.compile(tmp_path / "none")["error"] == {"kind": "NotFound", "message": "none: no such file"}
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        assert "not a regular file" in guests.compile(path)["error"]["message"]


@pytest.mark.parametrize(("cache", "library"), [("/proc/none", None), ("cache", "/none.so"), ("cache", "/dev/null")])
def test_what_the_machine_lacks_is_said(guests: Guests, tmp_path: Path, cache: str, library: str | None) -> None:
    options = ["--cache", tmp_path / cache, "--library", library or guests.library, guests.wat(MODULE)]
    done = subprocess.run(
        [sys.executable, "-m", "wherry.wasm.compile", *options],
        env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["error"]["kind"] == "FailedPrecondition"


def test_a_module_that_takes_too_much_memory_is_told_in_a_line(guests: Guests, tmp_path: Path) -> None:
    (file := tmp_path / "huge.wasm").touch()
    os.truncate(file, 512 << 20)
    options = ["--cache", tmp_path / "c", "--library", guests.library, file]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -d 200000; exec "$@"', "sh", sys.executable, "-m", "wherry.wasm.compile", *options],
        env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    told = {"kind": "ResourceExhausted", "message": "huge.wasm takes more memory to compile than 6 GiB"}
    assert json.loads(done.stdout)["error"] == told


def test_a_large_module_is_announced(guests: Guests, tmp_path: Path) -> None:
    functions = "".join(f"(func (drop (i32.const {index})))" for index in range(120_000))
    file = tmp_path / "large.wat"
    file.write_text(f'(module {functions} (func (export "_start")))')
    command = [
        sys.executable,
        "-m",
        "wherry.wasm.compile",
        "--cache",
        tmp_path / "c",
        "--library",
        guests.library,
        file,
    ]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["progress"].startswith("compiling large.wat (1.")
    assert set(lines[-1]) == {"digest", "path", "info"}


def test_an_edition_is_a_files_as_long_as_it_can_be_trusted_and_is_the_same(cache: Cache, tmp_path: Path) -> None:
    path = cache.store("ab", b"code", b"{}")
    first = find_edition(path)
    assert first == edition(path, os.stat(path))
    os.utime(path, ns=(1, 1))
    assert find_edition(path) not in ("", first)
    os.chmod(path, 0o666)
    assert find_edition(path) == ""
    os.chmod(path, 0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert find_edition(str(link)) == find_edition(str(tmp_path)) == find_edition(str(tmp_path / "none")) == ""
