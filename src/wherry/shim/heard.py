"""What a child told on its pipe, as its parent hears it. Pure. The words are report.py's."""

from __future__ import annotations

from wherry import errors
from wherry.record import Record
from wherry.shim.report import LENGTH, PID, REFUSED


class Words(Record):
    """What has been read so far; ``exit_code`` None as long as it was not told; ``refused`` the number of
    the call that failed, and its errno."""

    pid: int = 0
    go_between: int = 0
    ready: bool = False
    exit_code: int | None = None
    failure: errors.WherryError | None = None
    refused: tuple[int, int] | None = None


def parse(data: bytes) -> Words:
    """The words in ``data``, which may end in the middle of one. Nothing in it can make this raise."""
    pids, is_ready, code = {b"P": 0, b"G": 0}, False, None
    failure: errors.WherryError | None = None
    refused: tuple[int, int] | None = None
    while data:
        word, data = data[:1], data[1:]
        if word in pids and len(data) >= PID.size:
            pids[word], data = PID.unpack_from(data)[0], data[PID.size :]
        elif word == b"R":
            is_ready = True
        elif word == b"X" and data:
            code, data = data[0], data[1:]
        elif word == b"F" and len(data) >= REFUSED.size:
            refused, data = REFUSED.unpack_from(data), data[REFUSED.size :]
        elif word == b"E" and len(data) >= LENGTH.size:
            length = LENGTH.unpack_from(data)[0]
            if len(data) < LENGTH.size + length:
                break
            failure, data = _failure(data[LENGTH.size : LENGTH.size + length]), data[LENGTH.size + length :]
        else:
            break
    return Words(pids[b"P"], pids[b"G"], is_ready, code, failure, refused)


def _failure(data: bytes) -> errors.WherryError:
    name, _, text = data.decode(errors="replace").partition("\0")
    kind = getattr(errors, name, errors.Internal)
    if not (isinstance(kind, type) and issubclass(kind, errors.WherryError)):
        kind = errors.Internal
    return kind(text)
