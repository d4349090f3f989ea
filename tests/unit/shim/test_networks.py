"""Empty networks that are used again: never by two at once, and the server stays in its own."""

import errno
import os
from collections.abc import Iterator

import pytest

from wherry.shim import networks
from wherry.shim.networks import Networks

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of one's own are root's to make")


def own() -> str:
    return os.readlink("/proc/self/ns/net")


def of(fd: int) -> int:
    return os.fstat(fd).st_ino


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def made() -> Iterator[Networks]:
    before, here = opened(), own()
    found = Networks()
    yield found
    found.clear()
    assert opened() == before
    assert own() == here


def test_no_two_have_the_same_and_the_next_one_does(made: Networks) -> None:
    one, other = made.take(), made.take()
    assert len({of(one), of(other), os.stat("/proc/self/ns/net").st_ino}) == 3
    before = of(one)
    made.give(one)
    again = made.take()
    assert of(again) == before
    os.close(again)
    os.close(other)


def test_one_is_prepared_when_some_are_asked_for(made: Networks) -> None:
    before = opened()
    made.prepare()
    assert opened() == before
    first = made.take()
    made.prepare()
    made.prepare()
    assert opened() == before + 2
    second = made.take()
    assert opened() == before + 2
    made.give(first)
    made.give(second)
    made.prepare()
    assert opened() == before + 2


def test_what_comes_back_later_is_not_kept(made: Networks) -> None:
    before = opened()
    late = made.take()
    made.clear()
    made.give(late)
    assert opened() == before


def test_no_more_than_64_are_kept(made: Networks) -> None:
    before = opened()
    taken = [made.take() for _ in range(66)]
    for fd in taken:
        made.give(fd)
    assert opened() == before + 64


@pytest.mark.parametrize("refused", ["unshare", "open"])
def test_a_kernel_that_refuses(made: Networks, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    calls = iter([os.open])
    with monkeypatch.context() as patch:
        if refused == "unshare":
            patch.setattr(networks, "syscall", refuse)
        else:  # there is no descriptor left for the new one
            patch.setattr(networks.os, "open", lambda *args: next(calls, refuse)(*args))
        with pytest.raises(OSError, match="No space"):
            made.take()
    made.give(made.take())
