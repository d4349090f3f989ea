"""Reading untrusted JSON documents: every fault is gathered, then raised once. What the keys mean lies in the callers.

Go programs write absent values as ``null`` as often as they leave them out, so ``null`` always reads as absent.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.oci.jsontext import parse

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    T = TypeVar("T")

DOCUMENT_LIMIT = 8 << 20
"""Bytes that a manifest, index or config may have; containerd refuses larger ones too."""

_FAULTS_SHOWN = 5


def encode(value: Mapping[str, Any]) -> bytes:
    """The one way JSON is written: no spaces, keys in the given order, so that equal values have equal digests."""
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Mapping[str, Any]) -> str:
    import json  # here, for the shim's server reads and never writes: see jsontext.py

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def decode(data: bytes | str, what: str = "document", *, limit: int = DOCUMENT_LIMIT) -> dict[str, Any]:
    """Parse one JSON object of at most ``limit`` bytes. InvalidArgument for anything else; ``what`` names it."""
    if len(data) > limit:
        raise InvalidArgument(f"{what} is too large: {len(data)} bytes, at most {limit} are read")
    try:
        value = parse(data)
        if "\\ud" in str(data).lower():  # a lone surrogate parses, but no file, database or socket takes it later
            _text(value).encode("utf-8")
    except RecursionError:
        raise InvalidArgument(f"{what} is nested too deeply") from None
    except ValueError as fault:
        raise InvalidArgument(f"{what} is not valid JSON: {_one_line(str(fault))}") from None
    if not isinstance(value, dict):
        raise InvalidArgument(f"{what} is not a JSON object but {_kind(value)}")
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _kind(value: object) -> str:
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


class Reader:
    """Takes typed values out of one JSON object and remembers what was wrong; `finish` raises it all at once.

    ``rest`` is what nobody asked for: documents keep their unknown keys through it.
    """

    __slots__ = ("_asked", "_faults", "_value", "_what")

    def __init__(self, value: object, what: str) -> None:
        self._what = what
        self._faults: list[str] = []
        self._asked: set[str] = set()
        self._value: Mapping[str, Any] = {}
        if isinstance(value, dict):
            self._value = value
        else:
            self._faults.append(f"an object is wanted, not {_kind(value)}")

    def _take(self, key: str, kind: type | tuple[type, ...], default: T, wanted: str, *, required: bool) -> Any | T:
        self._asked.add(key)
        value = self._value.get(key)
        if value is None:
            if required:
                self._faults.append(f"{key} is missing")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self._faults.append(f"{key} must be {wanted}, not {_kind(value)}")
            return default
        return value

    def string(self, key: str, *, required: bool = False, default: str = "") -> str:
        """A string; ``default`` if it is absent."""
        return str(self._take(key, str, default, "a string", required=required))

    def integer(
        self, key: str, *, required: bool = False, default: int = 0, low: int = 0, high: int = 2**63 - 1
    ) -> int:
        """An integer within ``low`` .. ``high``."""
        found = self.optional_integer(key, required=required, low=low, high=high)
        return default if found is None else found

    def optional_integer(self, key: str, *, required: bool = False, low: int = 0, high: int = 2**63 - 1) -> int | None:
        """An integer within ``low`` .. ``high``, or None if it is absent."""
        value = self._take(key, int, None, "an integer", required=required)
        if value is not None and not low <= value <= high:
            self._faults.append(f"{key} is out of range")
            return None
        return value

    def boolean(self, key: str, *, default: bool = False) -> bool:
        """A boolean."""
        return bool(self._take(key, bool, default, "a boolean", required=False))

    def integers(self, key: str, *, high: int = 2**63 - 1) -> tuple[int, ...]:
        """A list of integers within 0 .. ``high``."""
        value = self._take(key, (list, tuple), (), "a list", required=False)
        if not all(type(item) is int and 0 <= item <= high for item in value):
            self._faults.append(f"{key} must hold integers only, none out of range")
            return ()
        return tuple(value)

    def strings(self, key: str, *, lone: bool = False) -> tuple[str, ...]:
        """A list of strings; with ``lone``, one string stands for a list of it, as old Docker configs have it."""
        return self.optional_strings(key, lone=lone) or ()

    def optional_strings(self, key: str, *, lone: bool = False) -> tuple[str, ...] | None:
        """Like `strings`, but an absent list is None: Docker tells it from an empty one."""
        value = self._take(key, (list, tuple, str) if lone else (list, tuple), None, "a list", required=False)
        if value is None:
            return None
        if isinstance(value, str):
            return (value,)
        if not all(isinstance(item, str) for item in value):
            self._faults.append(f"{key} must hold strings only")
            return ()
        return tuple(value)

    def string_map(self, key: str) -> dict[str, str]:
        """An object of strings."""
        value: Mapping[str, Any] = self._take(key, dict, {}, "an object", required=False)
        if not all(isinstance(item, str) for item in value.values()):
            self._faults.append(f"{key} must hold strings only")
            return {}
        return dict(value)

    def key_set(self, key: str) -> tuple[str, ...]:
        """The keys of an object whose values say nothing (Go's ``map[string]struct{}``), sorted."""
        return tuple(sorted(self._take(key, dict, {}, "an object", required=False)))

    def child(self, key: str) -> Reader:
        """A reader of the object under ``key`` (empty if absent); its faults are this document's."""
        child = Reader(self._take(key, dict, {}, "an object", required=False), key)
        child._faults = self._faults
        return child

    def via(self, key: str, read: Callable[[Any], T], default: T, *, required: bool = False) -> T:
        """What ``read`` makes of the value; its InvalidArgument becomes a fault of this document."""
        self._asked.add(key)
        value = self._value.get(key)
        if value is None:
            if required:
                self._faults.append(f"{key} is missing")
            return default
        return self._guard(key, read, value, default)

    def each(self, key: str, read: Callable[[Any], T], *, required: bool = False) -> tuple[T, ...]:
        """What ``read`` makes of each item of a list."""
        items: Iterable[Any] = self._take(key, (list, tuple), (), "a list", required=required)
        found = (self._guard(f"{key}[{number}]", read, item, None) for number, item in enumerate(items))
        return tuple(item for item in found if item is not None)

    def _guard(self, place: str, read: Callable[[Any], T], value: object, default: Any) -> T | Any:
        try:
            return read(value)
        except InvalidArgument as fault:
            self._faults.append(f"{place}: {fault}")
            return default

    def fault(self, text: str) -> None:
        """Note something wrong that only the caller can see."""
        self._faults.append(text)

    @property
    def rest(self) -> dict[str, Any]:
        """The keys that nobody asked for yet, with their values."""
        return {key: value for key, value in self._value.items() if key not in self._asked}

    def finish(self) -> None:
        """InvalidArgument naming the document and what was wrong with it, if anything was."""
        if not self._faults:
            return
        shown = "; ".join(_one_line(fault) for fault in self._faults[:_FAULTS_SHOWN])
        more = len(self._faults) - _FAULTS_SHOWN
        raise InvalidArgument(f"invalid {self._what}: {shown}" + (f"; and {more} more" if more > 0 else ""))


def present(**values: Any) -> dict[str, Any]:
    """The given keys without those whose value is empty (Go's ``omitempty``): "", 0, False, None, (), {}."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value}
