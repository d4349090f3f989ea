"""What a pure function of bytes gave, for the next time it is asked the same: of messages most lines come again and
again. No I/O; who asks keeps it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Value = TypeVar("Value")

_MOST = 256
_LONGEST = 512
"""Bytes. What is longer is seldom the same, and strangers shall not fill the memory."""


def remembering(function: Callable[[bytes], Value]) -> Callable[[bytes], Value]:
    """``function``, which remembers some of its values; what it raises is raised each time."""
    known: dict[bytes, Value] = {}

    def remembered(data: bytes) -> Value:
        value = known.get(data)
        if value is None:
            value = function(data)
            if len(data) <= _LONGEST:
                if len(known) >= _MOST:
                    known.clear()
                known[data] = value
        return value

    return remembered
