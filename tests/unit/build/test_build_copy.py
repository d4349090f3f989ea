"""COPY, ADD and WORKDIR: what lands where, as docker users know it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.unit.build.building import Workshop, context, tar
from wherry.build.archive import apply_layer, members
from wherry.build.tree import Tree
from wherry.errors import InvalidArgument

SOURCES: dict[str, Any] = {
    "a.txt": b"a",
    "b.txt": b"b",
    "c.md": b"c",
    "d/": b"",
    "d/e/": b"",
    "d/e/f.txt": b"f",
    "d/g.md": b"g",
    "empty/": b"",
    "link": "a.txt",
    "dirlink": "d",
    "loop": "loop",
    "out": "../../etc/passwd",
    "[x].txt": b"x",
}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("COPY a.txt /x", {"x": b"a"}),
        ("COPY a.txt /x/", {"x": None, "x/a.txt": b"a"}),
        ("COPY a.txt /", {"a.txt": b"a"}),
        ("COPY /a.txt .", {"a.txt": b"a"}),
        ("COPY ./a.txt b.txt /x/", {"x": None, "x/a.txt": b"a", "x/b.txt": b"b"}),
        ("COPY *.txt /x/", {"x": None, "x/[x].txt": b"x", "x/a.txt": b"a", "x/b.txt": b"b"}),
        ("COPY ?.txt nothing* /x/", {"x": None, "x/a.txt": b"a", "x/b.txt": b"b"}),
        ("COPY [[]x].txt /x", {"x": b"x"}),
        ("COPY d /x", {"x": None, "x/e": None, "x/e/f.txt": b"f", "x/g.md": b"g"}),
        ("COPY d/e d/g.md /x/", {"x": None, "x/f.txt": b"f", "x/g.md": b"g"}),
        ("COPY d/*/f.txt /x", {"x": b"f"}),
        ("COPY dirlink/g.md /x", {"x": b"g"}),
        ("COPY dirlink /x", {"x": None, "x/e": None, "x/e/f.txt": b"f", "x/g.md": b"g"}),
        ("COPY link /x", {"x": b"a"}),
        ("COPY empty /x", {"x": None}),
        ("COPY --exclude=*.md d /x", {"x": None, "x/e": None, "x/e/f.txt": b"f"}),
        ("COPY --exclude=e a.* d /x/", {"x": None, "x/a.txt": b"a", "x/g.md": b"g"}),
        ("COPY --parents d/e/f.txt /x/", {"x": None, "x/d": None, "x/d/e": None, "x/d/e/f.txt": b"f"}),
        ("COPY --parents d/./e/f.txt /x/", {"x": None, "x/e": None, "x/e/f.txt": b"f"}),
        ('COPY ["a.txt", "/x y"]', {"x y": b"a"}),
        ("WORKDIR /w\nCOPY a.txt s/x", {"w": None, "w/s": None, "w/s/x": b"a"}),
        ("WORKDIR /w\nCOPY a.txt ./", {"w": None, "w/a.txt": b"a"}),
        ("COPY d /x\nCOPY a.txt /x", {"x": None, "x/a.txt": b"a", "x/e": None, "x/e/f.txt": b"f", "x/g.md": b"g"}),
        ("COPY a.txt /x\nCOPY b.txt /x", {"x": b"b"}),
        ("COPY <<E <<-'F' /x/\n$N \"q\"\nE\n\tline $N\n\tF", {"x": None, "x/E": b'v "q"\n', "x/F": b"line $N\n"}),
        ("COPY <<E /x\nbody\nE", {"x": b"body\n"}),
    ],
)  # fmt: skip
async def test_copy(workshop: Workshop, lines: str, expected: dict[str, Any]) -> None:
    result = await workshop.build(context(f"FROM scratch\nENV N=v\n{lines}\n", SOURCES))
    assert workshop.files(result) == expected


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("COPY loop /x", "too many levels of symbolic links"),
        ("COPY out /x", '"/out": not found'),
        ("COPY d/../../a.txt /x", "forbidden path outside the build context"),
        ("COPY a.txt /x\nCOPY b.txt /x/y", "cannot copy to non-directory: /x"),
        ("COPY a.txt /x\nCOPY d /x", "cannot copy to non-directory: /x"),
        ("COPY d /x/a.txt\nCOPY a.txt /x/", "cannot replace to directory /x/a.txt with file"),
        ("COPY *.txt /x", "must be a directory and end with a /"),
        ("COPY a[ /x", "syntax error in pattern"),
    ],
)
async def test_copy_faults(workshop: Workshop, lines: str, told: str) -> None:
    with pytest.raises(Exception, match=re.escape(told)):
        await workshop.build(context(f"FROM scratch\n{lines}\n", SOURCES))


async def test_attributes(workshop: Workshop) -> None:
    text = """FROM scratch
COPY passwd group /etc/
COPY --chown=joe:staff a.txt /joe
COPY --chown=joe a.txt /joe2
COPY --chmod=4711 a.txt /mode
COPY --chown=7 d /own/d
COPY a.txt /plain
"""
    files = SOURCES | {"passwd": b"root:x:0:0::/:\njoe:x:12:34::/:\n", "group": b"staff:x:56:joe\n"}
    tree = workshop.tree(await workshop.build(context(text, files, mode=0o640)))
    found = {path: (entry.mode, entry.uid, entry.gid) for path, entry in tree.walk()}
    assert found["joe"] == (0o640, 12, 56)
    assert found["joe2"] == (0o640, 12, 34)
    assert found["mode"] == (0o4711, 0, 0)
    assert found["plain"] == (0o640, 0, 0)
    assert found["own"] == found["own/d"] == found["own/d/e"] == (0o755, 7, 7)


async def test_links_in_the_root_are_followed_within_it(workshop: Workshop) -> None:
    text = """FROM scratch
COPY links /
COPY a.txt /lib/x
COPY a.txt /up/y
COPY a.txt /etc-link
"""
    files = SOURCES | {"links/lib": "/usr/lib", "links/up": "../../..", "links/etc-link": "/etc/passwd"}
    found = workshop.files(await workshop.build(context(text, files)))
    assert found["usr/lib/x"] == b"a"
    assert found["y"] == b"a"
    assert found["etc/passwd"] == b"a"


PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
async def test_add_unpacks_archives(workshop: Workshop, pack: Any) -> None:
    archive = pack(tar({"in/": b"", "in/x": b"X", "l": "in/x"}))
    text = "FROM scratch\nADD t /u\nCOPY t /c\nADD --unpack=false t /n\nADD a.txt /a\n"
    found = workshop.files(await workshop.build(context(text, {"t": archive, "a.txt": b"a"})))
    expected = {"u": None, "u/in": None, "u/in/x": b"X", "u/l": "in/x", "c": archive, "n": archive, "a": b"a"}
    assert found == expected


async def test_add_of_what_only_looks_like_an_archive(workshop: Workshop) -> None:
    files = {"z": gzip.compress(b"no tar"), "short": b"\x1f\x8b", "text": b"BZh is how this text begins"}
    found = workshop.files(await workshop.build(context("FROM scratch\nADD z short text /\n", files)))
    assert found == files


async def test_add_of_a_cut_archive_fails(workshop: Workshop) -> None:
    with pytest.raises(InvalidArgument, match=r"Dockerfile:2: ADD t /: .*truncated"):
        await workshop.build(context("FROM scratch\nADD t /\n", {"t": tar({"x": b"X" * 5000})[:2048]}))
    with pytest.raises(InvalidArgument, match="leads out of it"):
        await workshop.build(context("FROM scratch\nADD t /\n", {"t": tar({"../x": b"X"})}))


async def test_ignore_file(workshop: Workshop) -> None:
    files = SOURCES | {".dockerignore": b"# none\n**/*.md\nd/e\n!d/e/f.txt\nDockerfile\n.dockerignore\n"}
    found = workshop.files(await workshop.build(context("FROM scratch\nCOPY . /\n", files)))
    assert not {"c.md", "d/g.md", "Dockerfile", ".dockerignore"} & set(found)
    assert found["d/e/f.txt"] == b"f"
    with pytest.raises(Exception, match=r'"/c\.md": not found'):
        await workshop.build(context("FROM scratch\nCOPY c.md /\n", files))


async def test_workdir_makes_only_what_is_missing(workshop: Workshop) -> None:
    text = "FROM scratch\nCOPY d /d\nWORKDIR /d/e\nWORKDIR ..\nWORKDIR new\nWORKDIR ${N:-x}/y\n"
    result = await workshop.build(context(text, SOURCES))
    assert result.config.config.working_dir == "/d/new/x/y"
    assert len(result.config.diff_ids) == 3
    await workshop.build(context(text, SOURCES))
    assert workshop.cached == [False, True, True, True, True, True]


async def test_the_root_as_a_folder_to_work_in(workshop: Workshop) -> None:
    result = await workshop.build(context("FROM scratch\nWORKDIR /\nCOPY d .\nWORKDIR ..\n", SOURCES))
    assert result.config.config.working_dir == "/"
    assert len(result.config.diff_ids) == 1


def test_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    tree = Tree()
    layers: list[dict[str, Any]] = [
        {"d/": b"", "d/g": b"g", "d/e/": b"", "d/e/f": b"f", "d/e/k": b"k", "l": "d", "file": b"x"},
        {"d/.wh.g": b"", "d/e/new": b"n", "d/e/.wh..wh..opq": b"", "l/through": b"t", "file/": b"", "file/in": b"i"},
    ]
    for number, files in enumerate(layers):
        path = tmp_path / str(number)
        path.write_bytes(tar(files))
        apply_layer(tree, members(str(path)))
    names = [path for path, _ in tree.walk()]
    assert names == ["d", "d/e", "d/e/new", "d/through", "file", "file/in", "l"]


async def test_marks_of_removal_cannot_be_copied(workshop: Workshop) -> None:
    with pytest.raises(InvalidArgument, match="mark removals"):
        await workshop.build(context("FROM scratch\nCOPY x /\n", {"x/.wh.y": b""}))
