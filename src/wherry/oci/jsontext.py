"""JSON's text to values, as `json.loads` has it and by its scanner. What the values should be is not known here.

The `json` package brings in `re` and `enum`, for text that needs neither: 0.9 MB of an idle shim, 10 ms of its start.
So it is loaded when something is wrong with a text, to say what.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANK = " \t\n\r"


class _Rules:
    """What `json.JSONDecoder` tells the scanner when nobody asks for anything else."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> float:
        """NaN, Infinity and -Infinity."""
        return float(name)


def _scanner() -> Callable[[str, int], tuple[Any, int]] | None:
    """The interpreter's scanner; None where there is none, or it wants to know more."""
    try:
        from _json import make_scanner  # CPython's own, not promised: `json` is there without it, too

        return make_scanner(_Rules())  # type: ignore[arg-type]  # any object with these names will do
    except (ImportError, AttributeError, TypeError):
        return None


_scan = _scanner()


def parse(data: bytes | str) -> Any:
    """The value. ValueError, as `json.loads` raises it; RecursionError: it is nested too deeply."""
    if _scan is not None:
        try:
            text = data if isinstance(data, str) else data.decode()
            value, end = _scan(text, 0)
            if not text[end:].strip(_BLANK):
                return value
        # The last: CPython 3.11's scanner meant to raise an error of json's, which is not loaded.
        except (ValueError, StopIteration, SystemError):
            pass
    import json  # see above

    return json.loads(data)
