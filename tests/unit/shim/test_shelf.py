"""The file of modules for a process that has no other: made, found again, and not believed when it is not ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from wherry.shim.httpd import shelf


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("compiled")
    made.chmod(0o700)
    (made / "http2-00000000.modules").write_bytes(b"of another version")
    return made


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("http2-*.modules"))


LOADS = """
import os, sys
sys.path[:0] = sys.argv[1].split(":")
from wherry.shim.httpd import front, shelf  # as a server has
fd = os.open(sys.argv[2], os.O_RDONLY)
before = set(sys.modules)
sys.path[:] = []
sys.meta_path[:] = [shelf.BuiltinImporter, shelf.FrozenImporter, shelf.Shelf(fd)]
import wherry.shim.httpd.http2.process
loaded = set(sys.modules) - before
assert {"h2.connection", "hpack", "hyperframe.frame", "wherry.shim.httpd.http2.session"} <= loaded, loaded
assert not any(getattr(sys.modules[name], "__file__", None) for name in loaded if name.startswith("h2"))
print("loaded")
"""


def test_it_is_made_once_and_has_all_that_http2_takes(folder: Path) -> None:
    fds = [shelf.open_shelf(str(folder), sys.path), shelf.open_shelf(str(folder), sys.path)]
    assert min(fds) >= 0
    assert len(kept(folder)) == 1  # the other version's is gone
    for fd in fds:
        shelf.os.close(fd)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADS, ":".join(sys.path), str(kept(folder)[0])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "loaded\n", done.stderr


def test_other_sources_are_another_file(folder: Path, tmp_path: Path) -> None:
    assert shelf._name([*sys.path]) == shelf._name([*sys.path])
    (tmp_path / "h2").mkdir()
    (tmp_path / "h2/__init__.py").write_text("")
    assert shelf._name([str(tmp_path), *sys.path]) != shelf._name(sys.path)


def test_one_that_others_may_write_is_not_opened(folder: Path) -> None:
    for path in kept(folder):
        path.chmod(0o666)
    assert shelf.open_shelf(str(folder), sys.path) == -1
    for path in kept(folder):
        path.chmod(0o600)


def test_where_none_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert shelf.open_shelf(str(tmp_path / "nowhere"), sys.path) == -1
