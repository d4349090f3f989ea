"""Layers become files: whiteouts, links, owners, odd archives; and nothing leaves the root."""

import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from wherry.core.diff.apply import Applied, apply
from wherry.core.diff.tar_reader import TarReader
from wherry.core.diff.target import Target
from wherry.core.metadata.database import Database
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import InvalidArgument
from wherry.linux import mounts
from wherry.oci.digest import Digest

T = tarfile


def member(name: str, kind: bytes = T.REGTYPE, data: bytes = b"", **fields: object) -> tuple[T.TarInfo, bytes]:
    info = T.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.mode = 0o755 if kind == T.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members: tuple[T.TarInfo, bytes], format: int = T.PAX_FORMAT) -> bytes:  # noqa: A002 (tarfile's word)
    buffer = io.BytesIO()
    with T.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, data in members:
            buffer.write(info.tobuf(format) + data + bytes(-len(data) % 512))
            tar.offset = buffer.tell()
    return buffer.getvalue()


class Stack:
    """Layers applied one on another by one driver, and a look at what a container would see."""

    def __init__(self, snapshots: Snapshotter, tmp_path: Path) -> None:
        self.snapshots = snapshots
        self.tmp_path = tmp_path
        self.top = ""
        self.count = 0

    def add(self, *members: tuple[T.TarInfo, bytes] | bytes) -> Applied:
        plain = members[0] if isinstance(members[0], bytes) else archive(*members)
        self.count += 1
        key, name = f"extract-{self.count}", f"layer-{self.count}"
        self.snapshots.prepare(key, self.top)
        upper, *lowers = self.snapshots.layers(key)
        try:
            applied = apply(io.BytesIO(plain), Target(upper, tuple(lowers)))
        except BaseException:
            self.snapshots.remove(key)
            raise
        self.snapshots.commit(name, key)
        self.top = name
        return applied

    @contextmanager
    def seen(self) -> Iterator[Path]:
        root = self.tmp_path / "seen"
        root.mkdir(exist_ok=True)
        self.snapshots.prepare("look", self.top)
        mounts.apply(self.snapshots.mounts("look")[0], str(root))
        try:
            yield root
        finally:
            mounts.umount(str(root))
            self.snapshots.remove("look")

    def names(self) -> list[str]:
        with self.seen() as root:
            return sorted(
                os.path.relpath(os.path.join(here, name), root)
                for here, folders, files in os.walk(root)
                for name in folders + files
            )


@pytest.fixture(params=[OverlaySnapshotter, CopySnapshotter])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    database = Database(str(tmp_path / "wherry.db"))
    yield Stack(request.param(database, str(tmp_path / "snapshots")), tmp_path)
    database.close()


def test_kinds_modes_owners_times_and_xattrs(stack: Stack) -> None:
    xattrs = {"SCHILY.xattr.user.word": "wörd", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    stack.add(
        member("./", T.DIRTYPE, mode=0o1755, uid=9, gid=8),
        member("d/", T.DIRTYPE, mode=0o2750, uid=1, gid=2, mtime=77),
        member("d/f", data=b"text", mode=0o4755, uid=1000, gid=70000, mtime=123456789.123456789, pax_headers=xattrs),
        member("d/s", T.SYMTYPE, linkname="/abs/../olute", uid=5),
        member("d/h", T.LNKTYPE, linkname="d/f"),
        member("d/p", T.FIFOTYPE, mode=0o600),
        member("d/c", T.CHRTYPE, devmajor=1, devminor=5, mode=0o666),
        member("d/b", T.BLKTYPE, devmajor=7, devminor=300, mode=0o660),
    )
    with stack.seen() as root:
        status = (root / "d/f").stat()
        assert (root / "d/f").read_bytes() == b"text"
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_nlink) == (1000, 70000, 0o4755, 2)
        assert abs(status.st_mtime_ns - 123456789_123456789) < 1000
        assert os.getxattr(root / "d/f", "user.word") == "wörd".encode()
        assert "trusted.overlay.opaque" not in os.listxattr(root / "d/f")
        assert (root / "d/h").samefile(root / "d/f")
        assert os.readlink(root / "d/s") == "/abs/../olute"
        assert (root / "d/s").lstat().st_uid == 5
        folder = (root / "d").stat()
        assert (stat.S_IMODE(folder.st_mode), folder.st_uid, folder.st_gid, folder.st_mtime) == (0o2750, 1, 2, 77)
        assert stat.S_ISFIFO((root / "d/p").stat().st_mode)
        assert (root / "d/c").stat().st_rdev == os.makedev(1, 5)
        assert (root / "d/b").stat().st_rdev == os.makedev(7, 300)
        assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_uid) == (0o1755, 9)


def test_whiteouts_hide_what_lies_below(stack: Stack) -> None:
    stack.add(member("a", data=b"1"), member("d/x", data=b"1"), member("d/y", data=b"1"), member("e/z", data=b"1"))
    stack.add(member(".wh.a"), member("d/.wh.x"), member(".wh.e"), member("new"))
    assert stack.names() == ["d", "d/y", "new"]
    stack.add(member("a", data=b"3"), member("e/w"))
    assert stack.names() == ["a", "d", "d/y", "e", "e/w", "new"]


def test_opaque_whiteouts_hide_only_what_lies_below(stack: Stack) -> None:
    stack.add(member("d/x"), member("d/sub/y"), member("d/sub/z"))
    stack.add(member("d/", T.DIRTYPE), member("d/mine"), member("d/sub/mine"), member("d/.wh..wh..opq"))
    assert stack.names() == ["d", "d/mine", "d/sub", "d/sub/mine"]


@pytest.mark.parametrize("last", [False, True])
def test_a_whiteout_does_not_hide_its_own_layer(stack: Stack, last: bool) -> None:
    stack.add(member("d/old"), member("f", data=b"1"))
    members = [member("d/", T.DIRTYPE), member("d/new"), member("f", data=b"2")]
    whiteouts = [member(".wh.d"), member(".wh.f")]
    stack.add(*(members + whiteouts if last else whiteouts + members))
    assert stack.names() == ["d", "d/new", "f"]


def test_whiteouts_of_nothing_and_of_aufs_are_no_fault(stack: Stack) -> None:
    stack.add(member(".wh.never"), member(".wh..wh.plnk/", T.DIRTYPE), member("a/.wh..wh.aufs"), member("f"))
    stack.add(member("d/.wh.never"), member(".wh.never"))
    assert stack.names() == ["d", "f"]


def test_kinds_change_between_layers(stack: Stack) -> None:
    stack.add(member("a/b", data=b"1"), member("f", data=b"1"), member("s", T.SYMTYPE, linkname="a"))
    stack.add(member("a", data=b"file now"), member("f", T.DIRTYPE), member("f/g"))
    stack.add(member("s", T.DIRTYPE), member("s/t"))
    assert stack.names() == ["a", "f", "f/g", "s", "s/t"]
    stack.add(member("a", T.DIRTYPE), member("a/c"))
    assert stack.names() == ["a", "a/c", "f", "f/g", "s", "s/t"]


def test_kinds_change_within_a_layer(stack: Stack) -> None:
    stack.add(member("x/low"))
    stack.add(
        member("x", data=b"1"),
        member("x", T.DIRTYPE),
        member("x/y"),
        member("y", T.DIRTYPE),
        member("y/z"),
        member("y"),
    )
    assert stack.names() == ["x", "x/y", "y"]


def test_folders_that_no_entry_names_keep_their_attributes(stack: Stack) -> None:
    stack.add(member("tmp/", T.DIRTYPE, mode=0o1777, uid=3, mtime=5), member("tmp/sub/", T.DIRTYPE, mode=0o700, gid=4))
    stack.add(member("tmp/sub/new"))
    with stack.seen() as root:
        assert (stat.S_IMODE((root / "tmp").stat().st_mode), (root / "tmp").stat().st_uid) == (0o1777, 3)
        assert (stat.S_IMODE((root / "tmp/sub").stat().st_mode), (root / "tmp/sub").stat().st_gid) == (0o700, 4)


def test_paths_go_through_links_of_lower_layers(stack: Stack) -> None:
    stack.add(
        member("usr/lib/", T.DIRTYPE, mode=0o711),
        member("lib", T.SYMTYPE, linkname="usr/lib"),
        member("var/run", T.SYMTYPE, linkname="/run"),
        member("up/down", T.SYMTYPE, linkname="../usr"),
    )
    stack.add(member("lib/a.so"), member("var/run/pid"), member("up/down/lib/b.so"))
    with stack.seen() as root:
        assert sorted(os.listdir(root / "usr/lib")) == ["a.so", "b.so"]
        assert stat.S_IMODE((root / "usr/lib").stat().st_mode) == 0o711
        assert os.listdir(root / "run") == ["pid"]
        assert (root / "lib").is_symlink()


def test_hard_links_to_lower_layers(stack: Stack) -> None:
    stack.add(member("bin/tool", data=b"tool", mode=0o755, uid=7))
    stack.add(member("bin/alias", T.LNKTYPE, linkname="bin/tool"), member("bin/alias", T.LNKTYPE, linkname="bin/tool"))
    with stack.seen() as root:
        assert (root / "bin/alias").samefile(root / "bin/tool")
        assert (root / "bin/alias").read_bytes() == b"tool"
        assert (root / "bin/alias").stat().st_uid == 7


def test_a_hard_link_to_itself_is_kept(stack: Stack) -> None:
    stack.add(member("a", data=b"1"), member("a", T.LNKTYPE, linkname="a"))
    with stack.seen() as root:
        assert (root / "a").read_bytes() == b"1"


@pytest.mark.parametrize("format", [T.PAX_FORMAT, T.GNU_FORMAT])
def test_long_names_and_numbers(stack: Stack, format: int) -> None:  # noqa: A002 (tarfile's word)
    long = "/".join(["päth" * 20] * 12)
    stack.add(
        archive(
            member(long, data=b"far", uid=4_000_000_000, gid=3_000_000_000),
            member("link", T.SYMTYPE, linkname=long),
            member("hard", T.LNKTYPE, linkname=long),
            format=format,
        )
    )
    with stack.seen() as root:
        assert (root / "hard").read_bytes() == b"far"
        assert (root / long).stat().st_uid == 4_000_000_000
        assert os.readlink(root / "link") == long


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0", "old"])
def test_sparse_files(stack: Stack, tmp_path: Path, version: str) -> None:
    holey = tmp_path / "holey"
    with holey.open("wb") as file:
        for number in range(60):
            file.seek(number << 20)
            file.write(b"%d" % number * 3000)
        file.truncate(80 << 20)
    form = ["--format=gnu"] if version == "old" else ["--format=pax", f"--sparse-version={version}"]
    made = subprocess.run(["tar", "-cS", *form, "-C", str(tmp_path), "holey"], capture_output=True, check=True)
    assert len(made.stdout) < 4 << 20
    stack.add(made.stdout)
    with stack.seen() as root:
        assert (root / "holey").read_bytes() == holey.read_bytes()
        assert (root / "holey").stat().st_blocks * 512 < 8 << 20


# An eStargz's footer: an empty gzip member whose header tells where the table of contents is.
# https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md
ESTARGZ = (
    b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff\x1a\0SG\x16\0" + b"%016xSTARGZ" % 4096 + b"\x01\0\0\xff\xff" + bytes(8)
)


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        zstandard.compress,
        lzma.compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
        lambda data: (
            b"".join(gzip.compress(data[start : start + 512]) for start in range(0, 5120, 512))
            + ESTARGZ
            + gzip.compress(data[5120:])
            + ESTARGZ
        ),
    ],
)
def test_compression_is_told_by_the_first_bytes(stack: Stack, compress: Callable[[bytes], bytes]) -> None:
    plain = archive(member("f", data=b"x" * 100_000))
    applied = stack.add(compress(plain))
    assert (applied.diff_id, applied.size, applied.entries) == (Digest.of(plain), len(plain), 1)
    assert stack.names() == ["f"]


def test_each_file_has_its_own_mode_and_owner_whatever_the_folder_gives(stack: Stack) -> None:
    """What files are born with is learnt once for each folder: a set-group-ID one gives its group, a default ACL modes,
    and modes and owners alternate."""
    rules = [(0o644, 0, 0), (0o4755, 0, 0), (0o666, 0, 0), (0o644, 7, 8), (0o644, 0, 8), (0o400, 0, 0)] * 2
    acl = b"\2\0\0\0" + b"".join(
        tag + perm + b"\0\xff\xff\xff\xff" for tag, perm in ((b"\1\0", b"\7"), (b"\4\0", b"\0"), (b"\x20\0", b"\0"))
    )
    default = acl.decode("utf-8", "surrogateescape")
    folders = [
        member("plain", T.DIRTYPE),
        member("group", T.DIRTYPE, gid=8, mode=0o2777),
        member("acl", T.DIRTYPE, pax_headers={"SCHILY.xattr.system.posix_acl_default": default}),
    ]
    stack.add(*folders)
    files = [
        member(f"{folder.name}/{number}", mode=mode, uid=uid, gid=gid)
        for folder, _ in folders
        for number, (mode, uid, gid) in enumerate(rules)
    ]
    stack.add(*files)
    with stack.seen() as seen:
        for info, _ in files:
            status = (seen / info.name).stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (info.mode, info.uid, info.gid)


def test_headers_whose_bytes_add_up_to_more_than_16_bits(stack: Stack) -> None:
    name = "/".join(["\uffff" * 49, "\uffff" * 32])
    plain = archive(member(name, T.SYMTYPE, linkname="\uffff" * 33), member("after", data=b"x"), format=T.USTAR_FORMAT)
    assert sum(plain[:512]) > 0xFFFF
    stack.add(plain)
    with stack.seen() as seen:
        assert os.readlink(seen / name) == "\uffff" * 33
        assert (seen / "after").read_bytes() == b"x"


@pytest.mark.parametrize("piece", [1, 511, 512, 1536, 4096])
def test_streams_that_come_in_small_pieces(piece: int) -> None:
    """Headers, data and padding may be cut anywhere."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(piece, size or piece))

    given = {f"{number}": bytes([number]) * number * 97 for number in range(40)}
    reader = TarReader(Slow(archive(*(member(name, data=data) for name, data in given.items()))))
    found = {}
    for entry in reader:
        if int(entry.path) % 3:  # the others are passed over
            found[entry.path.decode()] = b"".join(reader.data())
    assert found == {name: data for name, data in given.items() if int(name) % 3}


def test_an_empty_archive_is_an_empty_layer(stack: Stack) -> None:
    assert stack.add(archive()).entries == 0
    assert stack.add(b"").entries == 0


def test_bytes_after_the_end_count_for_the_digest(stack: Stack) -> None:
    plain = archive(member("f")) + b"more"
    assert stack.add(plain).diff_id == Digest.of(plain)


ESCAPES = {
    "absolute": ([member("/etc/passwd")], "absolute"),
    "dots": ([member("../up")], "leaves the root"),
    "inner dots": ([member("a/../../up")], "leaves the root"),
    "absolute link": ([member("l", T.SYMTYPE, linkname="/etc"), member("l/passwd")], "leaves the root"),
    "climbing link": ([member("l", T.SYMTYPE, linkname="../../.."), member("l/up")], "leaves the root"),
    "link to link": (
        [member("a", T.SYMTYPE, linkname="b"), member("b", T.SYMTYPE, linkname="/"), member("a/f")],
        "leaves the root",
    ),
    "link loop": ([member("a", T.SYMTYPE, linkname="b"), member("b", T.SYMTYPE, linkname="a"), member("a/f")], "links"),
    "hard link out": ([member("h", T.LNKTYPE, linkname="../../etc/passwd")], "leaves the root"),
    "absolute hard link": ([member("h", T.LNKTYPE, linkname="/etc/passwd")], "absolute"),
    "hard link through link": (
        [member("l", T.SYMTYPE, linkname="/etc"), member("h", T.LNKTYPE, linkname="l/passwd")],
        "leaves the root",
    ),
    "hard link to nothing": ([member("h", T.LNKTYPE, linkname="none")], "does not exist"),
    "hard link to folder": ([member("d", T.DIRTYPE), member("h", T.LNKTYPE, linkname="d")], "folder"),
    "whiteout of dot": ([member("d/.wh..")], "names nothing"),
    "whiteout of dots": ([member("d/.wh...")], "names nothing"),
    "whiteout of nothing": ([member("d/.wh.")], "names nothing"),
    "whiteout through link": ([member("l", T.SYMTYPE, linkname="/"), member("l/.wh.etc")], "leaves the root"),
    "opaque through link": ([member("l", T.SYMTYPE, linkname="/"), member("l/.wh..wh..opq")], "leaves the root"),
    "whiteout device": ([member("c", T.CHRTYPE)], "overlayfs"),
    "file as folder": ([member("f"), member("f/g")], "not a folder"),
    "root as file": ([member(".")], "root must be a folder"),
    "long component": ([member("n" * 300)], "too long"),
    "long path": ([member("n/" * 2000 + "f")], "too long"),
    "unknown kind": ([member("m", b"M")], "kind"),
    "huge owner": ([member("f", uid=2**32 - 1)], "no user"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_leaves_the_root(stack: Stack, name: str) -> None:
    members, message = ESCAPES[name]
    before = sorted(str(path) for path in stack.tmp_path.rglob("*") if "wherry.db" not in path.name)
    host = os.stat("/etc/passwd")
    with pytest.raises(InvalidArgument, match=message) as caught:
        stack.add(*members)
    assert "\n" not in str(caught.value)
    assert sorted(str(path) for path in stack.tmp_path.rglob("*") if "wherry.db" not in path.name) == before
    assert os.stat("/etc/passwd").st_nlink == host.st_nlink
    assert list(stack.snapshots.walk()) == []


CORRUPT = {
    "text": (b"#include <stdio.h>\n" * 100, "no tar archive"),
    "wasm": (b"\0asm\1\0\0\0" + bytes(600), "no tar archive"),
    "short": (b"\0asm\1\0\0\0", "truncated"),
    "cut in header": (archive(member("f"))[:300], "truncated"),
    "cut in data": (archive(member("f", data=b"x" * 9000))[:2000], "truncated"),
    "cut gzip": (gzip.compress(archive(member("f", data=os.urandom(9000))))[:4000], "cannot be read"),
    "bad gzip": (b"\x1f\x8b\x08\x00" + b"junk" * 300, "cannot be read"),
    "bad zstd": (b"\x28\xb5\x2f\xfd" + b"junk" * 300, "cannot be read"),
    "bad bzip2": (b"BZh9" + b"junk" * 300, "cannot be read"),
    "bad xz": (b"\xfd7zXZ\0" + b"junk" * 300, "cannot be read"),
    "huge long name": (archive(member("././@LongLink", b"L", size=10**9)), "extended header of"),
    "huge pax header": (archive(member("x", b"x", size=10**9)), "extended header of"),
    "bad pax record": (archive(member("x", b"x", b"999 path=x\n"), member("f")), "pax record"),
    "bad pax length": (archive(member("x", b"x", b"3 a=b\n"), member("f")), "pax record"),
    "bad pax size": (archive(member("x", b"x", b"12 size=-10\n"), member("f")), "pax size"),
    "nul in path": (archive(member("x", b"x", b"12 path=a\0b\n"), member("f")), "invalid path"),
    "bad sparse map": (
        archive(member("x", b"x", b"22 GNU.sparse.major=1\n25 GNU.sparse.realsize=1\n"), member("f", data=b"x" * 2000)),
        "count",
    ),
    "sparse map beyond": (
        archive(member("x", b"x", b"22 GNU.sparse.size=10\n25 GNU.sparse.map=0,1000\n"), member("f", data=b"x" * 1000)),
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_archives_are_refused(stack: Stack, name: str) -> None:
    data, message = CORRUPT[name]
    with pytest.raises(InvalidArgument, match=message) as caught:
        stack.add(data)
    assert "\n" not in str(caught.value)
    assert list(stack.snapshots.walk()) == []


@pytest.mark.parametrize("name", ["user.a\0b", "user." + "x" * 300, "user.\n"])
def test_names_no_file_system_takes_are_refused(stack: Stack, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid xattr name"):
        stack.add(member("f", pax_headers={f"SCHILY.xattr.{name}": "v"}))
    assert list(stack.snapshots.walk()) == []
