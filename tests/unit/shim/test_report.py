"""The child's words: what is told is what is read, and nothing a child writes can confuse its parent."""

import os

from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import FailedPrecondition, Internal, NotFound, WherryError
from wherry.shim import heard, report


def told(*says: object) -> heard.Words:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        for say in says:
            say(writing)  # type: ignore[operator]  # each is a function of the descriptor
        os.close(writing)
        return heard.parse(pipe.read())


def test_a_whole_life() -> None:
    words = told(
        lambda fd: report.gone_between(fd, 9),
        lambda fd: report.forked(fd, 4711),
        lambda fd: os.write(fd, report.READY),
        lambda fd: report.ended(fd, 42),
    )
    assert words == heard.Words(pid=4711, go_between=9, ready=True, exit_code=42)


def test_errors_keep_their_kind() -> None:
    words = told(lambda fd: report.failure(fd, "x", NotFound("no such export: run")))
    assert isinstance(words.failure, NotFound)
    assert str(words.failure) == "no such export: run"
    words = told(lambda fd: report.failure(fd, "mount the rootfs", PermissionError(1, "Operation not permitted", "/r")))
    assert isinstance(words.failure, FailedPrecondition)
    assert str(words.failure) == "cannot mount the rootfs: /r: Operation not permitted"
    assert isinstance(told(lambda fd: report.failure(fd, "x", ZeroDivisionError())).failure, Internal)


def test_a_call_that_failed_is_told_by_its_number() -> None:
    assert told(lambda fd: report.refused(fd, 1007, 13)) == heard.Words(refused=(1007, 13))
    assert heard.parse(b"F\x01\x00") == heard.Words()


@given(st.binary(max_size=200))
def test_nothing_it_writes_raises(data: bytes) -> None:
    words = heard.parse(data)
    assert words.exit_code is None or 0 <= words.exit_code <= 255
    assert words.failure is None or isinstance(words.failure, WherryError)
