"""What a module may be granted, in words that people know, and which host functions each word stands for. Pure.

The words are those of ``--cap-add`` and ``--cap-drop``, of the annotation by which a shim is told, and of `inspect`.
Not among them is what every program does: arguments, environment, stdio, exit, waiting.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

ANNOTATION = "dev.wherry.cap-drop"
"""Of a container's specification: the words of what it is not granted, with commas between them."""

WORDS = ("files", "clocks", "random", "network", "listen", "threads")
"""``network`` is what leads out; ``listen`` what lets others in."""

# Names of host functions and of components' interfaces; a star is any end, such as the _v2 of WasmEdge's sockets.
_FUNCTIONS = {
    "files": ("path_*", "fd_readdir", "fd_prestat_dir_name", "wasi:filesystem/*"),
    "clocks": ("clock_*", "wasi:clocks/*"),
    "random": ("random_*", "wasi:random/*"),
    "network": (
        *("sock_connect*", "sock_send_to*", "sock_getaddrinfo*", "sock_addr_resolve*"),
        *("wasi:sockets/*", "wasi:http/outgoing-handler*"),
    ),
    "listen": ("sock_bind*", "sock_listen*", "sock_accept*"),
    "threads": ("thread-spawn",),
}
_SOCKETS = "sock_*"
"""What is done to a socket whoever opened it: gone if neither ``network`` nor ``listen`` is granted."""


def parse(text: str) -> tuple[str, ...]:
    """The words of an annotation, in their own order. InvalidArgument: an unknown one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in WORDS:
            raise InvalidArgument(f"{ANNOTATION}: unknown capability: {word[:60]!r} (known: {', '.join(WORDS)})")
    return tuple(word for word in WORDS if word in words)


def refused(dropped: Iterable[str]) -> tuple[str, ...]:
    """The names of functions, some with a star at their end, that go with the words ``dropped``."""
    words = set(dropped)
    names = [name for word in WORDS if word in words for name in _FUNCTIONS[word]]
    return (*names, *((_SOCKETS,) if {"network", "listen"} <= words else ()))


def matches(names: Iterable[str], name: str) -> bool:
    """Whether ``name`` is one of ``names``, as `refused` has them."""
    return any(name.startswith(known[:-1]) if known.endswith("*") else name == known for known in names)


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Imported names by the word that each falls under, "" for what is always granted.

    What is done to any socket falls under what makes this module's: without a function to call out, it can but accept.
    """
    found: dict[str, list[str]] = {}
    of_sockets = []
    for name in names:
        word = next((word for word in WORDS if matches(_FUNCTIONS[word], name)), "")
        if not word and matches((_SOCKETS,), name):
            of_sockets.append(name)
        else:
            found.setdefault(word, []).append(name)
    if of_sockets:
        found.setdefault("network" if "network" in found else "listen", []).extend(of_sockets)
    return found
