"""A request's query string as the Engine API reads it: flags, numbers, times, filters. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from wherry.errors import InvalidArgument

_FALSE = frozenset({"", "0", "no", "false", "none"})
_NANOSECONDS = 1_000_000_000
_MAX_FIELDS = 1000


class Query:
    """The fields of one query string. Asking for a field that is not there gives the default."""

    __slots__ = ("_fields",)

    def __init__(self, text: str) -> None:
        self._fields: dict[str, list[str]] = {}
        if not text:
            return
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise InvalidArgument(f"a query has at most {_MAX_FIELDS} fields") from None
        for name, value in pairs:
            if "\0" in value:
                raise InvalidArgument(f"invalid query: {name[:40]!r} has a NUL character")
            self._fields.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return self._fields.get(name, [default])[0]

    def texts(self, name: str) -> list[str]:
        """All values of a field that may be repeated."""
        return self._fields.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's booleans: empty, 0, no, false and none are false, all else is true."""
        values = self._fields.get(name)
        return default if values is None else values[0].strip().lower() not in _FALSE

    def integer(self, name: str) -> int | None:
        """InvalidArgument when it is there and no number of at most 18 digits."""
        text = self.text(name)
        if not text:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            raise InvalidArgument(f"invalid {name}: {text[:40]!r} is not a whole number")
        return int(text)

    def nanoseconds(self, name: str) -> int:
        """A Unix time in seconds with an optional fraction, as nanoseconds; 0 when it is not there. InvalidArgument."""
        text = self.text(name)
        if not text:
            return 0
        seconds, _, fraction = text.partition(".")
        digits = seconds + fraction
        if not (digits.isascii() and digits.isdecimal() and seconds and len(seconds) <= 12 and len(fraction) <= 18):
            raise InvalidArgument(f"invalid {name}: {text[:40]!r} is not a Unix time in seconds")
        return int(seconds) * _NANOSECONDS + int(fraction[:9].ljust(9, "0"))

    def document(self, name: str) -> Any:
        """A field that holds JSON; None when it is not there. InvalidArgument."""
        text = self.text(name)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise InvalidArgument(f"invalid {name}: not JSON: {text[:80]!r}") from None

    def string_map(self, name: str) -> dict[str, str]:
        """A JSON object of strings. InvalidArgument."""
        found = self.document(name)
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(isinstance(value, str | None) for value in found.values()):
            raise InvalidArgument(f"invalid {name}: not a JSON object of strings")
        return {key: value for key, value in found.items() if value is not None}

    def string_list(self, name: str) -> list[str]:
        """A JSON list of strings. InvalidArgument."""
        found = self.document(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
            raise InvalidArgument(f"invalid {name}: not a JSON list of strings")
        return found

    def filters(self) -> Mapping[str, Sequence[str]]:
        """``filters``: ``{"name": ["a"]}``, or the older ``{"name": {"a": true}}``. InvalidArgument."""
        found = self.document("filters")
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise InvalidArgument("invalid filter: not a JSON object")
        return {name: _filter_values(name, values) for name, values in found.items()}


def _filter_values(name: str, values: Any) -> list[str]:
    if isinstance(values, dict):
        values = [value for value, wanted in values.items() if wanted]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidArgument(f"invalid filter {name[:40]!r}: its values are not a list of strings")
    return values
