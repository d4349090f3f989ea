"""Files seen without a mount are those that the kernel shows with one; and no link leads out of them."""

import io
import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry.core.diff.apply import Manner, apply, extract
from wherry.core.diff.tar_writer import archived
from wherry.core.diff.target import Target
from wherry.core.diff.view import View
from wherry.errors import InvalidArgument, NotFound
from wherry.linux import mounts
from wherry.linux.syscalls import libc

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def tar(*entries: tuple[str, str] | tuple[str, str, str]) -> io.BytesIO:
    """(path, kind[, content or target])"""
    kinds = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, kind, *more in entries:
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = kinds[kind], 0o755
            text = "".join(more).encode()
            if kind == "file":
                entry.size = len(text)
            else:
                entry.linkname = text.decode()
            archive.addfile(entry, io.BytesIO(text))
    made.seek(0)
    return made


LAYERS = (
    [("a/one", "file", "1"), ("a/two", "file", "2"), ("b/x", "file", "x"), ("c", "file", "c"), ("d/e/f", "file", "f"),
     ("link", "link", "/a"), ("up", "link", "../../a"), ("loop", "link", "loop"), ("h", "hard", "a/one")],
    [("a/.wh.two", "file"), ("b", "dir"), ("b/.wh..wh..opq", "file"), ("b/y", "file", "y"), ("c", "dir"),
     ("c/inside", "file", "i"), ("d", "file", "now a file"), ("a/link", "link", "../b")],
    [("a/three", "file", "3"), (".wh.d", "file"), ("d", "dir"), ("d/new", "file", "n"), ("a/one", "file", "one")],
)  # fmt: skip


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    """Topmost first."""
    made: list[str] = []
    for number, entries in enumerate(LAYERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        apply(tar(*entries), Target(str(folder), tuple(made)))
        made.insert(0, str(folder))
    return made


@contextmanager
def mounted(layers: list[str], tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "merged"
    target.mkdir()
    mounts.mount("overlay", str(target), "overlay", 0, f"lowerdir={':'.join(layers)}")
    try:
        yield target
    finally:
        mounts.umount(str(target), mounts.MNT_DETACH)


def seen(view: View) -> dict[str, tuple[str, int, bytes]]:
    found = {}
    for entry, data in view.walk(view.find(b"/", follow=True), b"/"):
        name = os.fsdecode(entry.path).rstrip("/") or "/"
        found[name] = (entry.kind, entry.mode, entry.link or b"".join(data))
    return found


def test_it_is_what_overlayfs_shows(layers: list[str], tmp_path: Path) -> None:
    with mounted(layers, tmp_path) as merged, View(layers) as ours, View([str(merged)]) as kernels:
        assert seen(ours) == seen(kernels)
        assert {"/a/one", "/a/three", "/b/y", "/c/inside", "/d/new"} <= seen(ours).keys()
        assert not {"/a/two", "/b/x", "/d/e"} & seen(ours).keys()


def test_its_archive_makes_the_same_files(layers: list[str], tmp_path: Path) -> None:
    target = tmp_path / "unpacked"
    target.mkdir()
    with View(layers) as view:
        data = b"".join(archived(view.walk(view.find(b"/", follow=True), b".")))
        extract(io.BytesIO(data), Target(str(target)), Manner(layer=False))
        with View([str(target)]) as copy:
            assert {name: found for name, found in seen(copy).items() if name != "/"} == {
                name: found for name, found in seen(view).items() if name != "/"
            }


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/link/one", b"a/one"),
        ("up/three", b"a/three"),
        ("/a/link/y", b"b/y"),
        ("a/../../../b/./y", b"b/y"),
        ("/", b""),
        ("a/link/../c/inside", b"c/inside"),
    ],
)
def test_links_and_dots_lead_within(layers: list[str], path: str, place: bytes) -> None:
    with View(layers) as view:
        assert b"/".join(view.find(path.encode(), follow=True).place) == place


def test_what_is_not_there(layers: list[str]) -> None:
    with View(layers) as view:
        for path in (b"a/two", b"b/x", b"d/e/f", b"a/one/x", b"nothing"):
            with pytest.raises(NotFound):
                view.find(path, follow=True)
        with pytest.raises(InvalidArgument, match="too many"):
            view.find(b"loop", follow=True)
        assert view.find(b"loop", follow=False).link == b"loop"


def test_other_folders_and_files_cover_it(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "volume/sub").mkdir(parents=True)
    (tmp_path / "volume/sub/v").write_text("v")
    (tmp_path / "file").write_text("of the host")
    with View(layers) as view:
        assert view.mount("/link", str(tmp_path / "volume")) == (b"a",)
        view.mount("/b/y", str(tmp_path / "file"))
        with pytest.raises(NotFound):
            view.mount("/absent", str(tmp_path / "volume"))
        found = seen(view)
        assert found["/a/sub/v"][2] == b"v"
        assert found["/b/y"][2] == b"of the host"
        assert "/a/one" not in found
        assert view.find(b"/a/sub/../../c/inside", follow=True).place == (b"c", b"inside")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_covers_it_is_what_was_opened(layers: list[str], tmp_path: Path, kind: str) -> None:
    """Part of a volume, of which a container has put a link to the host's files in the place meanwhile."""
    volume, secret = tmp_path / "volume", tmp_path / "secret"
    volume.mkdir()
    own, host = (volume / "part", secret / "part")
    for place, text in ((own, "own"), (host, "secret")):
        (place if kind == "folder" else place.parent).mkdir(parents=True, exist_ok=True)
        (place / "f" if kind == "folder" else place).write_text(text)
    os.setxattr(own, "user.mine", b"1")
    handle = os.open(own, os.O_PATH)
    try:
        with View(layers) as view:
            view.mount("/a" if kind == "folder" else "/b/y", f"/proc/self/fd/{handle}")
            if kind == "folder":
                own.rename(volume / "moved")
            else:
                own.unlink()
            for name in ("part", "part (deleted)"):  # the kernel's word for where it was
                (volume / name).symlink_to(host)
            entries = [(entry, b"".join(data)) for entry, data in view.walk(view.find(b"/", follow=True), b"")]
    finally:
        os.close(handle)
    found = {entry.path.strip(b"/"): (entry, data) for entry, data in entries}
    assert found[b"a/f" if kind == "folder" else b"b/y"][1] == b"own"
    assert found[b"a" if kind == "folder" else b"b/y"][0].xattrs == {"user.mine": b"1"}


def test_entries_go_into_what_covers_it(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    upper = tmp_path / "upper"
    upper.mkdir()
    target = Target(str(upper), tuple(layers), mounts={(b"a",): str(tmp_path / "volume")})
    extract(tar(("a/in", "file", "1"), ("b/out", "file", "2"), ("link/too", "file", "3")), target, Manner(layer=False))
    assert sorted(os.listdir(tmp_path / "volume")) == ["in", "too"]
    assert sorted(os.listdir(upper)) == ["b"]


def test_outside_of_layers_a_whiteouts_name_is_only_a_name(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    extract(tar((".wh.kept", "file", "x"), ("/abs", "file", "y")), Target(str(tmp_path)), Manner(layer=False))
    assert sorted(os.listdir(tmp_path)) == [".wh.kept", "abs", "kept"]


def test_kinds_are_kept_when_that_is_wanted(layers: list[str], tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    target, manner = Target(str(upper), tuple(layers)), Manner(layer=False, keep_kinds=True)
    with pytest.raises(InvalidArgument, match="cannot overwrite directory"):
        extract(tar(("a", "file", "1")), target, manner)
    with pytest.raises(InvalidArgument, match="cannot overwrite non-directory"):
        extract(tar(("a/one", "dir")), target, manner)
    extract(tar(("a/one", "file", "1"), ("a", "dir")), target, manner)
    assert (upper / "a/one").read_text() == "1"


def test_a_file_that_changes_while_it_is_read_keeps_its_size(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1000)
    with View([str(tmp_path)]) as view:
        walk = view.walk(view.find(b"log", follow=False), b"log")
        entry, data = next(walk)
        (tmp_path / "log").write_bytes(b"y" * 10)
        assert b"".join(data) == b"y" * 10 + bytes(990)
        assert entry.size == 1000


def test_no_swapped_link_leads_out(tmp_path: Path) -> None:
    """A container that swaps a folder for a link to the host's files, as fast as it can, while we read and write."""
    volume, host = tmp_path / "volume", tmp_path / "host"
    (volume / "real").mkdir(parents=True)
    (volume / "real/file").write_text("own")
    host.mkdir()
    (host / "file").write_text("secret")
    (volume / "trap").symlink_to(host)
    stop = threading.Event()

    real, trap = os.fsencode(volume / "real"), os.fsencode(volume / "trap")

    def swap() -> None:
        while not stop.is_set():
            libc.renameat2(_AT_FDCWD, real, _AT_FDCWD, trap, _RENAME_EXCHANGE)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        with View([str(volume)]) as view:
            for _ in range(300):
                for _, data in view.walk(view.find(b"/", follow=True), b"."):
                    assert b"secret" not in b"".join(data)
                try:
                    extract(tar(("real/planted", "file", "x")), Target(str(volume)), Manner(layer=False))
                except (NotFound, InvalidArgument):
                    continue
    finally:
        stop.set()
        swapping.join()
    assert os.listdir(host) == ["file"]


def test_a_mode_is_what_the_file_has(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("")
    os.chmod(tmp_path / "odd", 0o6711)
    with View([str(tmp_path)]) as view:
        found = view.find(b"odd", follow=True)
        assert stat.S_IMODE(found.status.st_mode) == 0o6711
        ((entry, _),) = view.walk(found, b"odd")
        assert entry.mode == 0o6711


def test_a_layer_that_is_gone_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileNotFoundError), View([str(tmp_path / "there"), str(tmp_path / "gone")]):
        raise AssertionError("it cannot be looked at")
    opened = [
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{name}")
    ]
    assert str(tmp_path / "there") not in opened
