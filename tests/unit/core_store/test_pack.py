"""What a container changed becomes a layer, and applied again makes the same files."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry.core.content.local import LocalContentStore
from wherry.core.diff.apply import apply
from wherry.core.diff.compression import GzipWriter, decompressed
from wherry.core.diff.entries import Entry
from wherry.core.diff.pack import LayerWriter, Normal, Packed, pack, pack_snapshot
from wherry.core.diff.tar_reader import TarReader
from wherry.core.diff.unpack import target_of
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import Conflict
from wherry.linux import mounts
from wherry.oci.digest import Digest


@contextmanager
def mounted(snapshots: Snapshotter, key: str, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "mounted"
    root.mkdir(exist_ok=True)
    mounts.apply(snapshots.mounts(key)[0], str(root))
    try:
        yield root
    finally:
        mounts.umount(str(root))


def base(root: Path) -> None:
    (root / "d/sub").mkdir(parents=True)
    for name in ("keep", "change", "gone", "d/keep", "d/gone", "d/sub/a"):
        (root / name).write_text(name)
    (root / "replaced").mkdir()
    (root / "replaced/x").write_text("x")
    (root / "emptied").mkdir()
    (root / "emptied/x").write_text("x")
    os.symlink("keep", root / "link")


def change(root: Path) -> None:
    (root / "change").write_text("changed")
    (root / "gone").unlink()
    (root / "d/gone").unlink()
    (root / "d/sub/a").chmod(0o600)
    for name in ("replaced", "emptied"):
        (root / name / "x").unlink()
        (root / name).rmdir()
    (root / "replaced").write_text("now a file")
    (root / "emptied").mkdir()
    (root / "emptied/y").write_text("y")
    (root / "new").write_bytes(b"n" * 1_000_000)
    os.link(root / "new", root / "new2")
    os.chown(root / "new", 3, 70000)
    os.utime(root / "new", ns=(0, 1_500_000_000_123_456_789))
    os.setxattr(root / "new", "user.k", b"\x00\xff")
    (root / "link").unlink()
    os.symlink("/else\udcffwhere", root / "link")
    os.mkfifo(root / "fifo")
    os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))


def facts(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for here, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(here, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            data: object = None
            if kind == stat.S_IFREG:
                data = Digest.of(Path(path).read_bytes())
            elif kind == stat.S_IFLNK:
                data = os.readlink(path)
            times = status.st_mtime_ns if kind != stat.S_IFDIR else 0
            links = status.st_nlink if kind != stat.S_IFDIR else 0
            xattr = {key: os.getxattr(path, key) for key in os.listxattr(path, follow_symlinks=False)}
            found[os.path.relpath(path, root)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_rdev,
                times,
                links,
                data,
                str(xattr),
            )
    return found


def entries(content: LocalContentStore, packed: Packed) -> list[Entry]:
    with content.open(packed.descriptor.digest) as blob:
        return list(TarReader(decompressed(blob)))


def test_what_is_packed_and_applied_is_the_same(
    content: LocalContentStore, snapshots: Snapshotter, tmp_path: Path
) -> None:
    snapshots.prepare("0")
    with mounted(snapshots, "0", tmp_path) as root:
        base(root)
    snapshots.commit("base", "0")
    snapshots.prepare("box", "base")
    with mounted(snapshots, "box", tmp_path) as root:
        change(root)
        wanted = facts(root)
    packed = pack_snapshot(snapshots, "box", content)
    snapshots.prepare("copy", "base")
    with content.open(packed.descriptor.digest) as blob:
        applied = apply(blob, target_of(snapshots, "copy", own=True))
    assert applied.diff_id == packed.diff_id
    with mounted(snapshots, "copy", tmp_path) as root:
        assert facts(root) == wanted
    names = [entry.path for entry in entries(content, packed)]
    assert names == sorted(set(names), key=names.index)
    assert b"keep" not in names
    assert b"d/keep" not in names
    assert b".wh.gone" in names
    assert pack_snapshot(snapshots, "copy", content, normal=Normal(mtime=0)) == pack_snapshot(
        snapshots, "box", content, normal=Normal(mtime=0)
    )


def test_an_untouched_snapshot_is_an_empty_layer(
    content: LocalContentStore, snapshots: Snapshotter, tmp_path: Path
) -> None:
    snapshots.prepare("0")
    with mounted(snapshots, "0", tmp_path) as root:
        base(root)
    snapshots.commit("base", "0")
    snapshots.prepare("box", "base")
    packed = pack_snapshot(snapshots, "box", content)
    assert entries(content, packed) == []
    assert packed.diff_id == Digest.of(bytes(1024))


def test_the_same_changes_make_the_same_blob(content: LocalContentStore, tmp_path: Path) -> None:
    packed = []
    for turn in range(2):
        root = tmp_path / str(turn)
        root.mkdir()
        for name in ("b", "a", "c") if turn else ("c", "b", "a"):
            (root / name).write_text(name)
        packed.append(pack(str(root), content, normal=Normal(mtime=7, owner=(0, 0))))
    assert packed[0] == packed[1]
    assert [(entry.path, entry.mtime_ns, entry.uid) for entry in entries(content, packed[0])] == [
        (name, 7_000_000_000, 0) for name in (b"a", b"b", b"c")
    ]


def test_a_small_module_costs_little_more_than_itself(content: LocalContentStore) -> None:
    module = os.urandom(3000)
    with LayerWriter(content) as writer:
        writer.add(Entry(b"hello.wasm", mode=0o755, size=len(module)), [module])
        packed = writer.commit()
    assert packed.descriptor.size < len(module) + 300


def test_compression_does_not_depend_on_the_pieces() -> None:
    data = os.urandom(300_000) + b"abc" * 300_000
    outputs = []
    for step in (1 << 20, 1000, 77_777):
        output: list[bytes] = []
        writer = GzipWriter(output.append)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
        writer.finish()
        outputs.append(b"".join(output))
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0][:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_a_file_that_changes_meanwhile_is_a_conflict(content: LocalContentStore) -> None:
    for data in ([b"short"], [b"much too long"]):
        with LayerWriter(content) as writer, pytest.raises(Conflict, match="f changed while it was read"):
            writer.add(Entry(b"f", size=8), data)
    assert list(content.walk()) == []


def test_gnu_tar_reads_what_we_write(content: LocalContentStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    base(root)
    long = root / ("n" * 120)
    long.mkdir()
    (long / ("ö" * 100)).write_text("deep")
    packed = pack(str(root), content)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(
        ["tar", "-xzf", content.path(packed.descriptor.digest), "-C", str(out)], check=True, capture_output=True
    )
    assert facts(out) == facts(root)


def test_sockets_are_left_out(content: LocalContentStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    assert entries(content, pack(str(root), content)) == []
