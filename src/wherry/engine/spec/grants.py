"""``--cap-add`` and ``--cap-drop`` of a container: Linux's words told from those for modules. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.wasm.grants import WORDS

_PREFIX = "CAP_"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``add`` and ``drop`` are Linux's words, in docker's spelling or not, known or not; ``dropped`` are those of
    wasm/grants that a module is not granted; ``of_modules`` all of those that were named."""

    add: tuple[str, ...]
    drop: tuple[str, ...]
    dropped: tuple[str, ...]
    of_modules: tuple[str, ...]


def split(host: Mapping[str, Any]) -> Capabilities:
    """HostConfig's CapAdd and CapDrop.

    What is added wins over what is dropped. ``ALL`` means Linux's, as images and files for Compose expect it; dropped
    beside an added word for modules it means all of theirs too. The docker CLI writes words in capitals, with a prefix,
    and does not part them at commas.
    """
    added, dropped = _words(host["CapAdd"] or ()), _words(host["CapDrop"] or ())
    add, drop = (tuple(word for word in map(_module_word, words) if word) for words in (added, dropped))
    wanted = WORDS if add and "ALL" in map(str.upper, dropped) else drop
    return Capabilities(
        add=tuple(word for word in added if not _module_word(word)),
        drop=tuple(word for word in dropped if not _module_word(word)),
        dropped=tuple(word for word in WORDS if word in wanted and word not in add),
        of_modules=(*add, *drop),
    )


def _words(given: Sequence[str]) -> list[str]:
    return [word for item in given for word in item.split(",")]


def _module_word(word: str) -> str:
    """The word for modules that ``word`` is, or ""."""
    bare = word.upper().removeprefix(_PREFIX).lower()
    return bare if bare in WORDS else ""
