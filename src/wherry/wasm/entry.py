"""Which export of a module is run: the check, and the refusals that say what there is instead."""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_MOST_NAMED = 8


def functions_of(info: Mapping[str, Any]) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Exported functions of a module by name, as (parameters, results), from `ModuleInfo.to_json`'s answer."""
    return {
        item["name"]: (item.get("params", ("?",)), item.get("results", ()))
        for item in info["exports"]
        if item["kind"] == "func"
    }


def check_entry(info: Mapping[str, Any], name: str, entry: str) -> int:
    """How many results the function ``entry`` of the module ``name`` returns: 0, or 1, an exit code.

    InvalidArgument: there is no such function, or it can't be called without knowing more.
    """
    if info["kind"] == "component":
        if entry != "_start":
            raise InvalidArgument(f"{name} is a component: it is run by wasi:cli/run, {entry} can't be named")
        return 0
    functions = functions_of(info)
    if entry in functions:
        params, results = functions[entry]
        if params:
            raise InvalidArgument(
                f"{name}: the export {entry} takes ({', '.join(params)}): only functions without parameters can be run"
            )
        if list(results) not in ([], ["i32"]):
            raise InvalidArgument(
                f"{name}: the export {entry} returns ({', '.join(results)}): only an i32, an exit code, is taken"
            )
        return len(results)
    if not functions:
        raise InvalidArgument(f"{name} has no {entry} export; it exports no function at all")
    listed = ", ".join(list(functions)[:_MOST_NAMED]) + (", ..." if len(functions) > _MOST_NAMED else "")
    raise InvalidArgument(
        f"{name} has no {entry} export; it exports {listed}: name one with {name}#{next(iter(functions))}"
    )
