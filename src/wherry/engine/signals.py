"""Signals as docker's users write them: ``SIGTERM``, ``term``, ``15``, ``RTMIN+3``. Pure."""

import signal
from typing import Final

from wherry.errors import InvalidArgument

KILL: Final = int(signal.SIGKILL)
TERM: Final = int(signal.SIGTERM)

_NUMBERS: Final = {item.name.removeprefix("SIG"): int(item) for item in signal.Signals}
_RTMIN, _RTMAX = int(signal.SIGRTMIN), int(signal.SIGRTMAX)


def parse(text: str) -> int:
    """The signal's number. InvalidArgument as docker words it."""
    name = text.strip().upper().removeprefix("SIG")
    if name.isascii() and name.isdigit() and len(name) <= 3:
        number = int(name)
    else:
        number = _NUMBERS.get(name, 0) or _real_time(name)
    if not number:
        raise InvalidArgument(f"Invalid signal: {text[:60]}")
    if number > _RTMAX:
        raise InvalidArgument(f"the linux daemon does not support signal {number}")
    return number


def _real_time(name: str) -> int:
    for base, start, sign in (("RTMIN+", _RTMIN, 1), ("RTMAX-", _RTMAX, -1)):
        offset = name.removeprefix(base)
        if offset != name and offset.isascii() and offset.isdigit() and len(offset) <= 2:
            number = start + sign * int(offset)
            return number if _RTMIN <= number <= _RTMAX else 0
    return 0
