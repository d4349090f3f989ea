"""What a WASM container used, as clients see it: ``Usage`` under ``Wasm`` in `docker inspect` and in stats. Pure.

The figures are wherry's own; Docker has no such thing. Where they come from: wire/usage.py.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def usage(figures: Mapping[str, Any] | None) -> Json:
    """``figures`` as a task tells them, the fields of wire/usage.py's Usage; {} if there are none."""
    if not figures:
        return {}
    calls = {call["function"]: call["count"] for call in figures.get("calls", ())}
    found: Json = {"LinearMemoryPeak": figures.get("linear_memory", 0), "Calls": dict(sorted(calls.items()))}
    if figures.get("fuel_limit"):
        found["Fuel"] = {"Used": figures.get("fuel", 0), "Limit": figures["fuel_limit"]}
    return found
