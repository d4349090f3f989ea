"""What is told of a module: the ``Wasm`` of `docker image inspect`, and ``Wasm.Module`` of a container's. Pure.

Docker has no such thing; the words of ``Capabilities`` are those of --cap-drop.
"""

from collections.abc import Mapping
from typing import Any, Final

from wherry.core.modules.compiler import CompiledModule
from wherry.wasm.grants import WORDS, grouped

Json = dict[str, Any]

# Spelt out for people, in the order in which they are shown; "" is what every program may do.
_SHOWN: Final[Mapping[str, str]] = {word: word for word in WORDS} | {"network": "outbound network", "": "always"}
_WORLDS: Final[Mapping[str, str]] = {
    "wasi:http/proxy": "wasi:http/incoming-handler@",
    "wasi:cli/command": "wasi:cli/run@",
}
"""By what they export."""
_MOST_SHOWN: Final = 1000
"""Names of each kind: a hostile module has as many as it likes."""
_MOST_KEPT: Final = 32


class ModuleViews:
    """Views of the modules that were asked for last, by their paths in the image: a view takes longer than the rest of
    `docker inspect`, and is the same for as long as the module is. They are shown, and never changed. Thread-safe."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], tuple[CompiledModule, Json]] = {}

    def view(self, path: str, module: CompiledModule) -> Json:
        """As `module_view`."""
        key = path, module.path
        known = self._made.get(key)
        if known is not None and known[0] is module:
            return known[1]
        if len(self._made) >= _MOST_KEPT:
            self._made.clear()
        made = module_view(path, module)
        self._made[key] = module, made
        return made


def module_view(path: str, module: CompiledModule) -> Json:
    """``path`` is the module's in the image, with ``#name`` for an export other than ``_start``."""
    info = module.info
    imports = _grouped(info)
    return {
        "Path": path,
        "Digest": str(module.digest),
        "Size": info["size"],
        "Kind": info["kind"],
        **_world(info),
        "Name": info["name"],
        "Capabilities": [word for word in WORDS if word in imports],
        "Imports": {_SHOWN[word]: imports[word] for word in _SHOWN if word in imports},
        "Exports": sorted(item["name"] for item in info["exports"])[:_MOST_SHOWN],
        "Memories": [_memory(memory) for memory in info["memories"][:_MOST_SHOWN]],
        "Producers": {field: _producers(pairs) for field, pairs in info["producers"].items()},
    }


def _grouped(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of imported functions by the word that grants them."""
    names = [item["name"] for item in info["imports"] if item["kind"] in ("func", "component")]
    return {word: sorted(found) for word, found in grouped(names[:_MOST_SHOWN]).items()}


def _world(info: Mapping[str, Any]) -> Json:
    """The world a component is of, with its version: a program, or one that answers HTTP."""
    exports = [item["name"] for item in info["exports"] if item["kind"] == "component"]
    for word, start in _WORLDS.items():
        for name in exports:
            if name.startswith(start):
                return {"World": f"{word}@{name.removeprefix(start)}"}
    return {}


def _memory(memory: Mapping[str, Any]) -> Json:
    """In bytes; no ``Maximum`` is the most that its pointers reach."""
    page = memory["pageSize"]
    most = None if memory["max"] is None else memory["max"] * page
    return {"Minimum": memory["min"] * page, "Maximum": most, "Shared": memory["shared"]}


def _producers(pairs: list[list[str]]) -> list[str]:
    """``C11``, ``clang 18.1.2``: as the module's producers section names them.

    https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md
    """
    return [f"{name} {version}".strip() for name, version in pairs[:_MOST_SHOWN]]
