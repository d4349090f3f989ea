"""What a child tells its parent on its pipe: words of one byte and what follows. Hearing them is heard.py's.

P pid           the process has been cloned (4 bytes, little-endian)
G pid           so has the go-between that is to clone it, and only has to be reaped
R               ready: set up, sandbox shut, waiting for Start
X code          ended by itself, with this exit code
F number errno  failed before it was ready, in that call of its orders (4 bytes each, little-endian)
E kind NUL text failed before it was ready (after its length in 2 bytes, little-endian)
"""

import os
import struct

from wherry import errors

FORKED = b"P"
READY = b"R"
"""A child itself writes it: a function would be a page more."""
PID = struct.Struct("<I")
REFUSED = struct.Struct("<II")
LENGTH = struct.Struct("<H")
_MOST = 4096
LINGER = 0.005
"""Seconds that a process stays after it has told that it ended. Taking it and its namespaces down keeps a processor
busy for a millisecond, which those may have first who wait for the end."""


def forked(fd: int, pid: int) -> None:
    """The process is there, under this number."""
    os.write(fd, FORKED + PID.pack(pid))


def gone_between(fd: int, pid: int) -> None:
    """The process that is to clone it is there, under this number."""
    os.write(fd, b"G" + PID.pack(pid))


def ended(fd: int, code: int) -> None:
    """The guest ended; ``code`` 0-255."""
    os.write(fd, bytes((ord("X"), code & 0xFF)))


def failure(fd: int, step: str, error: BaseException) -> None:
    """It can't run: ``step`` says what was being done."""
    known = as_wherry_error(step, error)
    text = f"{type(known).__name__}\0{known}".encode(errors="replace")[:_MOST]
    os.write(fd, b"E" + LENGTH.pack(len(text)) + text)


def refused(fd: int, number: int, error: int) -> None:
    """It can't run: what that call was for, only its parent knows."""
    os.write(fd, b"F" + REFUSED.pack(number, error))


def as_wherry_error(step: str, error: BaseException) -> errors.WherryError:
    """In the one vocabulary: what the user did, what the kernel refused, or a fault of ours."""
    if isinstance(error, errors.WherryError):
        return error
    if isinstance(error, OSError):
        where = f" {error.filename}:" if error.filename else ""
        return errors.FailedPrecondition(f"cannot {step}:{where} {error.strerror or error}")
    return errors.Internal(f"cannot {step}: {type(error).__name__}: {error}")
