"""Every function of preview 1 with each of its arguments wrong in turn: an errno or a trap, and nothing else, ever.

`Caller` lets any other exception through, which fails the test. Random combinations are tests/fuzz's.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.wasm.wasi_caller import OUT, ROOT, SIZE, Caller
from wherry.wasm.wasi import abi
from wherry.wasm.wasi.errno import Trap
from wherry.wasm.wasi.preview1 import FUNCTIONS, HostFunction
from wherry.wasm.wasi.table import folder

WRONG = {
    "i": (SIZE, SIZE - 1, SIZE - 4, SIZE + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF, 77),
    "I": (1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 32, (1 << 40) + 7),
}
NOT_HERE = ("proc_exit",)  # it ends the process
LIMIT = 1 << 20  # bytes of a file: fd_allocate is asked for a whole disk
FEW = 2  # what is nearly right for most arguments: a small fd, pointer, length, flag


@pytest.fixture
def hostile(root: Path) -> Iterator[Caller]:
    """A caller whose stdio is /dev/null, with a folder of two files, none of which can become large."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, limits[1]))
    (root / "file").write_text("text")
    (root / "dir").mkdir()
    null = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
    made = Caller((null[0], null[1], null[2]))
    made.host.table.add(folder(os.open(root, os.O_RDONLY | os.O_DIRECTORY), b"/", writable=True))
    made.opened("file")
    yield made
    for entry in made.host.table.entries.values():
        os.close(entry.fd)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def attempt(call: Caller, name: str, arguments: list[int]) -> str:
    try:
        return call(name, *arguments)
    except Trap as trap:
        return str(trap)


@pytest.mark.parametrize("function", [each for each in FUNCTIONS if each.name not in NOT_HERE], ids=lambda it: it.name)
def test_one_wrong_argument(hostile: Caller, function: HostFunction, tmp_path: Path) -> None:
    for fd in (1, ROOT, ROOT + 1, FEW):
        for place, letter in enumerate(function.params):
            for value in WRONG[letter]:
                arguments = [fd, *[FEW] * (len(function.params) - 1)]
                arguments[place] = value
                assert attempt(hostile, function.name, arguments)
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize("function", [each for each in FUNCTIONS if each.name not in NOT_HERE], ids=lambda it: it.name)
def test_all_arguments_wrong(hostile: Caller, function: HostFunction) -> None:
    for index in range(5):
        assert attempt(hostile, function.name, [WRONG[letter][index] for letter in function.params])


RANGES = {
    "over each other": ((0x9000, 64), (0x9020, 64), (0x9000, 1)),
    "over the iovecs themselves": ((0x8000, 24), (0x8004, 24)),
    "over where the count goes": ((OUT, 16), (OUT + 2, 16)),
    "empty, anywhere": ((0x9000, 0), (SIZE, 0), (0x9000, 0)),
}
BEYOND = {
    "around the end of the address space": ((0x9000, 8), (0xFFFFFFF0, 0x20)),
    "from the first byte to beyond the last": ((0, SIZE), (1, SIZE)),
    "as long as a number can be": ((0, 0xFFFFFFFF),),
}


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("name", ["fd_write", "fd_read", "fd_pwrite", "fd_pread"])
def test_buffers_that_lie_oddly_are_used_as_they_lie(
    call: Caller, root: Path, name: str, ranges: tuple[tuple[int, int], ...]
) -> None:
    (root / "file").write_bytes(bytes(range(256)))
    fd = call.opened("file")
    extra = (0,) if name.startswith("fd_p") else ()
    assert call(name, fd, *call.iovecs(*ranges), *extra, 0xA000) == "SUCCESS"
    assert call.u32(0xA000) == sum(size for _, size in ranges)


@pytest.mark.parametrize("ranges", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("name", ["fd_write", "fd_read", "fd_pwrite", "fd_pread"])
def test_buffers_that_lead_out_trap_before_anything_is_moved(
    call: Caller, root: Path, name: str, ranges: tuple[tuple[int, int], ...]
) -> None:
    (root / "file").write_bytes(b"as it was")
    fd = call.opened("file")
    extra = (0,) if name.startswith("fd_p") else ()
    with pytest.raises(Trap, match="pointer out of bounds"):
        call(name, fd, *call.iovecs(*ranges), *extra, OUT)
    assert (root / "file").read_bytes() == b"as it was"
    assert call("fd_tell", fd, OUT) == "SUCCESS"
    assert call.u64() == 0


@pytest.mark.parametrize("count", [SIZE // 8 + 1, 0x20000000, 0xFFFFFFFF])
def test_more_iovecs_than_memory_has_room_for(call: Caller, count: int) -> None:
    fd = call.opened("file", abi.OFLAG_CREAT)
    with pytest.raises(Trap, match="pointer out of bounds"):
        call("fd_write", fd, 0, count, OUT)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"\xc0\xaf..", b"a\x80b"])
def test_names_that_are_no_utf8_stay_what_they_are(call: Caller, root: Path, name: bytes) -> None:
    assert call("path_create_directory", ROOT, name) == "SUCCESS"
    assert os.listdir(os.fsencode(root)) == [name]
    assert call("path_filestat_get", ROOT, 0, name, OUT) == "SUCCESS"
    assert call("path_remove_directory", ROOT, name) == "SUCCESS"
