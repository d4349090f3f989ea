"""What is kept of compiled modules: as long as a file that one was made of is there, and no longer."""

import os
import sys
from pathlib import Path

import pytest

from wherry.core.metadata.database import Database
from wherry.core.modules.compiled import CompiledModules
from wherry.core.modules.subprocess_compiler import CompilerConfig, SubprocessCompiler
from wherry.wasm import warmup
from wherry.wasm.sha256 import sha256

OLD = 1_000_000_000


class Folder:
    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.database = Database(str(tmp_path / "db"))
        self.cache = tmp_path / "compiled"
        self.cache.mkdir()
        self.now = 2_000_000_000.0
        self.kept = CompiledModules(self.database, str(self.cache), clock=lambda: self.now)

    def source(self, name: str, data: bytes = b"\0asm") -> str:
        path = self.root / name
        path.write_bytes(data)
        return str(path)

    def compiled(self, name: str, made: float = OLD) -> str:
        for suffix, data in ((".info", b"info"), (".cwasm", b"native code")):
            path = self.cache / (name + suffix)
            path.write_bytes(data)
            os.utime(path, (made, made))
        return str(self.cache / f"{name}.cwasm")

    def names(self) -> list[str]:
        return sorted(os.listdir(self.cache))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_it_goes_with_the_last_file_that_it_was_made_of(folder: Folder) -> None:
    one, two = folder.source("one.wasm"), folder.source("two.wasm")
    code = folder.compiled("aa-env")
    assert folder.kept.record(code, one, fuel=False)
    assert folder.kept.record(code, two, fuel=False)
    assert folder.kept.sweep() == 0
    os.unlink(one)
    assert folder.kept.sweep() == 0
    assert folder.names() == ["aa-env.cwasm", "aa-env.info"]
    os.unlink(two)
    assert folder.kept.size() == len(b"infonative code")
    assert folder.kept.sweep() == len(b"infonative code")
    assert folder.names() == []
    assert list(folder.kept.check()) == []


def test_a_components_files_go_together(folder: Folder) -> None:
    path = folder.compiled("aa-env")
    for number, data in ((1, b"one"), (2, b"twice")):
        Path(f"{path}.{number}").write_bytes(data)
    assert folder.kept.record(path, folder.source("one.wasm"), fuel=False)
    assert list(folder.kept.check()) == []
    Path(f"{path}.2").write_bytes(b"other")
    assert [damaged.file for damaged in folder.kept.check()] == ["aa-env.cwasm"]
    assert (folder.kept.count(), folder.kept.size()) == (1, len(b"infonative codeoneother"))
    folder.kept.drop("aa-env.cwasm")
    assert folder.names() == []


def test_a_file_that_changed_is_another_one(folder: Folder) -> None:
    source = folder.source("m.wasm")
    assert folder.kept.record(folder.compiled("aa-env"), source, fuel=False)
    folder.source("m.wasm", b"\0asm, but longer")
    assert folder.kept.record(folder.compiled("bb-env"), source, fuel=False)
    assert folder.kept.record(folder.compiled("bb-fuel"), source, fuel=True)
    folder.kept.sweep()
    assert folder.names() == ["bb-env.cwasm", "bb-env.info", "bb-fuel.cwasm", "bb-fuel.info"]


def test_what_nobody_recorded_goes_unless_somebody_is_compiling(folder: Folder) -> None:
    folder.compiled("old-env")
    with folder.kept.making():
        folder.compiled("new-env", made=folder.now + 1)
        folder.kept.sweep()
        assert folder.names() == ["new-env.cwasm", "new-env.info"]
    folder.kept.sweep()
    assert folder.names() == []


def test_the_zygotes_own_guest_stays(folder: Folder) -> None:
    name = sha256(warmup.TEXT).hexdigest() + "-env"
    folder.compiled(name)
    assert folder.kept.sweep() == 0
    assert folder.names() == [f"{name}.cwasm", f"{name}.info"]


def test_what_was_swept_before_it_was_recorded_is_said_to_be_gone(folder: Folder) -> None:
    source = folder.source("m.wasm")
    code = folder.compiled("aa-env")
    folder.kept.sweep()
    assert not folder.kept.record(code, source, fuel=False)
    assert list(folder.kept.check()) == []


@pytest.mark.parametrize("suffix", [".cwasm", ".info"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_dropped(folder: Folder, suffix: str, damage: str) -> None:
    for name in ("aa", "bb"):
        assert folder.kept.record(folder.compiled(f"{name}-env"), folder.source(f"{name}.wasm"), fuel=False)
    assert list(folder.kept.check()) == []
    victim = folder.cache / f"aa-env{suffix}"
    data = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(data[:-1] + b"?" if damage == "flip" else data[:-1])
    assert [found.file for found in folder.kept.check()] == ["aa-env.cwasm"]
    folder.kept.drop("aa-env.cwasm")
    assert list(folder.kept.check()) == []
    assert folder.names() == ["bb-env.cwasm", "bb-env.info"]


async def test_a_compiler_that_found_what_is_then_swept_is_asked_again(folder: Folder) -> None:
    """Another image's copy of a module goes, with its code, while this one's is being looked up."""
    source, code = folder.source("m.wasm"), str(folder.cache / "aa-env.cwasm")
    body = f"""
import json, os
first = not os.path.exists({str(folder.root / "ran")!r})
open({str(folder.root / "ran")!r}, "a").write("x")
if not first:
    open({code!r}, "w").close()
    open({code[:-6] + ".info"!r}, "w").close()
print(json.dumps({{"digest": "sha256:{"ab" * 32}", "path": {code!r}, "info": {{}}}}))
"""
    (folder.root / "compile.py").write_text(body)
    command = (sys.executable, "-S", str(folder.root / "compile.py"))
    compiler = SubprocessCompiler(CompilerConfig(str(folder.cache), "/lib.so", command), folder.kept)
    assert (await compiler.ensure(source)).path == code
    assert (folder.root / "ran").read_text() == "xx"
    folder.kept.sweep()
    assert folder.names() == ["aa-env.cwasm", "aa-env.info"]
