"""Docker's ``filters``: a map of keys to wanted values. Checked once, then asked. Pure: no I/O, no clock.

Which keys a listing knows, and what they mean, is its own matter: see containers/selection.py.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from wherry.booleans import BOOLEANS
from wherry.errors import InvalidArgument

_UNITS = {"s": 1, "m": 60, "h": 3600}
_NS = 1_000_000_000
_LONGEST = 60


def checked(filters: Mapping[str, Any] | None, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The filters as tuples of texts. Takes both forms clients send: ``{"k": ["v"]}`` and ``{"k": {"v": true}}``.

    InvalidArgument: another form, or a key that is not among ``known``.
    """
    result: dict[str, tuple[str, ...]] = {}
    for key, values in (filters or {}).items():
        if key not in known:
            raise InvalidArgument(f"invalid filter '{key}' (known: {', '.join(sorted(known))})")
        if isinstance(values, Mapping):
            values = [value for value, wanted in values.items() if wanted]
        if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
            raise InvalidArgument(f"invalid filter '{key}': a list of texts is wanted")
        if values:
            result[key] = tuple(values)
    return result


def labels_match(wanted: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Whether every ``key`` or ``key=value`` of ``wanted`` is among ``labels``."""
    for item in wanted:
        key, equals, value = item.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def boolean(key: str, values: Sequence[str]) -> bool:
    """InvalidArgument: not one of docker's words for true and false, or both."""
    found = {BOOLEANS.get(value) for value in values}
    if len(found) != 1 or None in found:
        raise InvalidArgument(f"invalid filter '{key}={','.join(values)}': true or false is wanted")
    return bool(found.pop())


def moment(text: str, now: int) -> int:
    """A time in nanoseconds since the epoch: seconds since the epoch (``1700000000.5``), RFC 3339, or a duration
    back from ``now`` (``10m``, ``1h30m``). InvalidArgument: none of them."""
    if len(text) > _LONGEST:
        raise InvalidArgument(f"invalid time {text[:_LONGEST]!r}: too long")
    try:
        whole, _, fraction = text.partition(".")
        return int(whole) * _NS + int((fraction + "0" * 9)[:9])
    except ValueError:
        pass
    back = _duration(text)
    if back is not None:
        return now - back
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        raise InvalidArgument(f'failed to parse value as time or duration: "{text[:60]}"') from None


def _duration(text: str) -> int | None:
    total, number = 0.0, ""
    for char in text:
        if char.isascii() and (char.isdigit() or char == "."):
            number += char
        elif char in _UNITS and number.replace(".", "", 1).isdigit():
            total += float(number) * _UNITS[char]
            number = ""
        else:
            return None
    return int(total * _NS) if text and not number else None
