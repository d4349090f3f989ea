"""Layers that builds know already: not read again but for their contents, and only so many of them."""

from pathlib import Path

import pytest

from tests.unit.build.building import Workshop, context, tar
from wherry.build.indexes import LayerIndexes
from wherry.errors import InvalidArgument
from wherry.oci.digest import Digest


class Archive:
    """A file that counts how often it was asked for."""

    def __init__(self, path: Path, files: dict[str, bytes]) -> None:
        self._path, self.asked = path, 0
        path.write_bytes(tar(files))

    def __call__(self) -> str:
        self.asked += 1
        return str(self._path)


def test_a_known_layer_is_read_for_its_contents_only(tmp_path: Path) -> None:
    indexes, archive = LayerIndexes(), Archive(tmp_path / "a", {"d/": b"", "d/f": b"hello", "e": b""})
    first = list(indexes.members(Digest.of(b"a"), archive))
    again = Archive(tmp_path / "b", {"d/": b"", "d/f": b"hello", "e": b""})
    known = list(indexes.members(Digest.of(b"a"), again))
    assert [member.path for member in known] == [member.path for member in first] == ["d", "d/f", "e"]
    assert (archive.asked, again.asked) == (1, 0)
    assert [b"".join(member.entry.data.chunks()) for member in known] == [b"", b"hello", b""]
    assert b"".join(known[1].entry.data.chunks()) == b"hello"
    assert again.asked == 1


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    indexes = LayerIndexes(most=4)
    archives = {name: Archive(tmp_path / name, {f"{name}{number}": b"" for number in range(2)}) for name in "abc"}
    for name in "abacb":
        list(indexes.members(Digest.of(name.encode()), archives[name]))
    assert {name: archive.asked for name, archive in archives.items()} == {"a": 1, "b": 2, "c": 1}
    large = Archive(tmp_path / "large", {str(number): b"" for number in range(5)})
    for _ in range(2):
        list(indexes.members(Digest.of(b"large"), large))
    assert large.asked == 2


def test_a_broken_layer_is_not_remembered(tmp_path: Path) -> None:
    indexes = LayerIndexes()
    (tmp_path / "x").write_bytes(b"no archive" * 99)
    for _ in range(2):
        with pytest.raises(InvalidArgument):
            list(indexes.members(Digest.of(b"x"), lambda: str(tmp_path / "x")))


async def test_builds_on_a_base_that_is_known(workshop: Workshop) -> None:
    await workshop.build(context("FROM scratch\nCOPY f /d/f\n", {"f": b"base"}), tags=("base",))
    for number in (1, 2, 3):
        text = f"FROM base\nCOPY f /d/g{number}\nFROM scratch\nCOPY --from=0 /d /\n"
        result = await workshop.build(context(text, {"f": b"own"}))
        assert workshop.files(result) == {"f": b"base", f"g{number}": b"own"}
