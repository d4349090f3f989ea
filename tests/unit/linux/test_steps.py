"""Lists of system calls: that they are carried out as they are written, and that none fails unnoticed."""

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from wherry.linux import assembly
from wherry.linux.assembly import AT_FDCWD, Block, Call, Given, assemble, perform
from wherry.linux.steps import DESCRIPTORS, MESSAGE, MESSAGE_LIMIT, MOST_DESCRIPTORS, VALUE, Area, Refused

HEAD = 8


@pytest.fixture
def area() -> Iterator[Area]:
    made = Area()
    yield made
    made.close()


def send(area: Area, message: bytes, fds: Sequence[int] = ()) -> int:
    """Have a message received; its size."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        if message:
            socket.send_fds(ours, [message], list(fds))
        ours.shutdown(socket.SHUT_WR)
        return area.receive(theirs.fileno())


def opening(path: Path, gives: str, *, doing: str = "open", fine: int = 0) -> Call:
    args = (AT_FDCWD, os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return Call(doing, "openat", args, what=str(path), gives=gives, fine=fine)


def test_results_are_used_by_later_calls_wherever_they_stand(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    perform(
        [
            opening(tmp_path / "a", "a"),
            opening(tmp_path / "b", "b"),
            Call("copy", "dup3", (Given("a"), Given("b"), os.O_CLOEXEC)),  # as first argument and as another one
            Call("write", "write", (Given("b"), b"through b", 9)),
            Call("write", "writev", (Given("a"), Block(bytes(8) + (3).to_bytes(8, "little"), ((0, b"end"),)), 1)),
            Call("close", "close", (Given("a"),)),
            Call("close", "close", (Given("b"),)),
        ]
    )
    assert (tmp_path / "a").read_bytes() == b"through bend"
    assert (tmp_path / "b").read_bytes() == b""
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_list_ends_with_the_first_call_that_fails(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    calls = [
        opening(tmp_path / "there", "x", fine=errno.EEXIST),
        opening(tmp_path / "no/where", "y", doing="look for it"),
        opening(tmp_path / "never", "z"),
    ]
    with pytest.raises(OSError, match="No such file or directory") as caught:
        perform(calls)
    assert caught.value.filename == str(tmp_path / "no/where")
    assert not (tmp_path / "never").exists()
    assert str(assembly.told(calls[1], errno.ENOENT)) == (
        f"cannot look for it: {tmp_path}/no/where: No such file or directory"
    )


def test_only_the_errno_that_is_fine_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        perform([opening(tmp_path / "no/where", "x", fine=errno.EEXIST)])


def test_a_call_tells_its_number(area: Area) -> None:
    made = assemble(area.address, HEAD, [[], [Call("a", "getpid", ()), Call("b", "close", (-1,))]], first=1000)
    assert send(area, bytes(HEAD) + made.body)
    area.carry_out(*made.spans[0])
    with pytest.raises(Refused) as caught:
        area.carry_out(*made.spans[1])
    assert (caught.value.number, caught.value.errno) == (1001, errno.EBADF)


def test_descriptors_of_the_message_are_known_by_name(area: Area, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    calls = [Call("say", "write", (Given("out"), b"hi", 2)), Call("close", "close", (Given("out"),))]
    made = assemble(area.address, HEAD, [calls], received=("out",))
    assert send(area, bytes(HEAD) + made.body, [writing])
    assert made.homes["out"] == DESCRIPTORS
    os.close(writing)
    area.carry_out(*made.spans[0])
    assert os.read(reading, 10) == b"hi"
    assert os.read(reading, 10) == b""  # nobody holds it open: it was not left in two places
    os.close(reading)


def test_a_structure_takes_what_was_given(area: Area) -> None:
    """As Landlock's rule does, which names a folder by its descriptor."""
    reading, writing = os.pipe()
    poll = Block(bytes(4) + (1).to_bytes(2, "little") + bytes(2), given=((0, "copy"),))
    calls = [
        Call("copy", "dup3", (reading, reading + 100, os.O_CLOEXEC), gives="copy"),
        Call("wait", "ppoll", (poll, 1, Block(bytes(16)), None, 0), gives="ready"),
    ]
    made = assemble(area.address, HEAD, [calls])
    os.write(writing, b"x")
    assert send(area, bytes(HEAD) + made.body)
    area.carry_out(*made.spans[0])
    assert area.value(made.homes["copy"]) == reading + 100
    assert area.value(made.homes["ready"]) == 1
    for fd in (reading, reading + 100, writing):
        os.close(fd)


@pytest.mark.parametrize(
    "calls",
    [
        [Call("x", "close", (Given("nothing"),))],
        [Call("x", "close", (Given("later"),)), Call("x", "getpid", (), gives="later")],
        [Call("x", "getpid", (), gives="p"), Call("x", "kill", (0, Given("p"))), Call("x", "dup3", (1, Given("p"), 0))],
        [Call("x", "dup3", (1, Given("in"), 0))],
        [Call("x", "getpid", (), gives="in")],
    ],
    ids=["nothing gives it", "given too late", "two places", "a received one in its own place", "given twice"],
)
def test_lists_that_can_t_be_carried_out_are_not_made(calls: list[Call]) -> None:
    with pytest.raises(ValueError, match=r"in|p|nothing|later"):
        assemble(0, 0, [calls], received=("in",))


def test_the_end_and_what_does_not_fit(area: Area) -> None:
    assert send(area, b"") == 0
    assert send(area, b"x" * 1000) == 1000
    assert area[MESSAGE : MESSAGE + 3] == b"xxx"
    with pytest.raises(OSError, match="in part"):
        send(area, b"x" * (MESSAGE_LIMIT + (64 << 10)))
    with pytest.raises(OSError, match="in part"):
        send(area, b"x", [0] * (MOST_DESCRIPTORS + 1))
    for index in range(MOST_DESCRIPTORS):
        os.close(area.value(DESCRIPTORS + VALUE.size * index))
