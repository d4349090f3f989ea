"""The working directory, volumes and what is read-only, as programs on the real wasi-libc find them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.guests import Guests


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    files = {"app/rel": "app's", "app/data/x": "app's data", "etc/conf": "conf", "top": "top", "app/both": "app's both"}
    files |= {"both": "root's both", "releases/1/version": "one"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "app/current").symlink_to("../releases/1")
    return root


def show(guests: Guests, root: Path, *paths: str, cwd: str = "/app", volumes: tuple[Path, ...] = ()) -> list[str]:
    preopens = [("/", root, True), *((f"/{path.name}", path, True) for path in volumes)]
    output = guests.run(guests.zig("libc.c"), ["show", *paths], preopens=preopens, cwd=cwd).stdout
    return [line.partition(": ")[2] for line in output.splitlines()]


def test_relative_paths_are_the_working_directorys(guests: Guests, root: Path) -> None:
    assert show(guests, root, "rel", "./rel", "data/x", "../top") == ["app's", "app's", "app's data", "top"]


def test_absolute_paths_are_the_roots(guests: Guests, root: Path) -> None:
    assert show(guests, root, "/top", "/etc/conf", "/app/rel", "/app/../top") == ["top", "conf", "app's", "top"]


def test_links_lead_out_of_the_working_directory_as_on_linux(guests: Guests, root: Path) -> None:
    assert show(guests, root, "current/version", "/app/current/version") == ["one", "one"]


def test_what_exists_in_both_is_the_working_directorys(guests: Guests, root: Path) -> None:
    # libc strips the slash: the two can't be told apart (see wasi/resolve.py).
    assert show(guests, root, "both", "/both") == ["app's both", "app's both"]


def test_without_a_working_directory_paths_are_the_roots(guests: Guests, root: Path) -> None:
    assert show(guests, root, "both", "/both", "top", cwd="/") == ["root's both", "root's both", "top"]


def test_nothing_leads_above_the_root(guests: Guests, root: Path) -> None:
    (root.parent / "outside").write_text("secret")
    shown = show(guests, root, "../../outside", "/../outside", "../../../../outside")
    assert "secret" not in shown
    assert len(shown) == 3


def test_the_longest_preopen_wins(guests: Guests, root: Path, tmp_path: Path) -> None:
    (volume := tmp_path / "vol").mkdir()
    (volume / "v").write_text("volume's")
    assert show(guests, root, "/vol/v", "rel", "/top", volumes=(volume,)) == ["volume's", "app's", "top"]


def test_new_files_land_where_they_are_looked_for(guests: Guests, root: Path) -> None:
    module = guests.zig("libc.c")
    result = guests.run(module, ["make", "new", "/etc/new", "data/new"], preopens=[("/", root, True)], cwd="/app")
    assert result.stdout.count("made") == 3
    assert (root / "app/new").exists()
    assert (root / "etc/new").exists()
    assert (root / "app/data/new").exists()


def test_a_working_directory_that_is_not_there(guests: Guests, root: Path) -> None:
    result = guests.run(guests.zig("libc.c"), [], preopens=[("/", root, True)], cwd="/none")
    assert (result.error, result.message) == (
        "InvalidArgument",
        'chdir to cwd ("/none") failed: no such file or directory',
    )


def test_a_read_only_preopen_takes_no_change(guests: Guests, root: Path) -> None:
    before = sorted(root.rglob("*"))
    module = guests.zig("libc.c")
    assert guests.run(module, ["show", "/top"], preopens=[("/", root, False)]).stdout == "/top: top\n"
    result = guests.run(module, ["make", "/new", "/top"], preopens=[("/", root, False)])
    assert result.stdout == "/new: Read-only file system\n/top: Read-only file system\n"
    result = guests.run(module, ["a"], preopens=[("/", root, False)])
    assert "mkdir: -1 Read-only file system" in result.stdout
    assert sorted(root.rglob("*")) == before
    assert (root / "top").read_text() == "top"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_the_guests_own_error(guests: Guests, small: Path) -> None:
    (small / "filler").write_bytes(b"x" * 64 * 1024)
    result = guests.run(guests.zig("libc.c"), ["make", "/full"], preopens=[("/", small, True)])
    assert result.stdout == "/full: No space left on device\n"
