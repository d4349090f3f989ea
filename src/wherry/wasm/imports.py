"""What a module may import here: the host's functions by module and name. Pure: a table and how its types are spelt.

Most modules need no more than preview 1 without its sockets: `HOST`, which the zygote binds. What else there is costs
memory, and is loaded by the compiler, to check a module, and by the children whose module imports it.
"""

from __future__ import annotations

from wherry.wasm.wasi import preview1

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

HostFunction = preview1.HostFunction

_SPELT = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}
_LETTERS = {spelt: letter for letter, spelt in _SPELT.items()}

_SPAWN = ("wasi", "thread-spawn")
_CALLING = ("wasi:sockets/", "wasi:http/outgoing-handler@")
_RUN, _HANDLER = "wasi:cli/run@", "wasi:http/incoming-handler@"

HOST = {(preview1.MODULE, function.name): function for function in preview1.FUNCTIONS}


def signature(letters: str) -> tuple[str, ...]:
    """The value types a signature's letters stand for."""
    return tuple(_SPELT[letter] for letter in letters)


def is_socket(module: str, name: str) -> bool:
    """Whether an import is one of the socket functions, in whatever dialect."""
    return module == preview1.MODULE and name.startswith("sock_")


def offered(module: str, name: str) -> tuple[HostFunction, ...]:
    """What there is under that name: dialects of sockets share names and differ in their parameters."""
    if (module, name) == _SPAWN:
        from wherry.wasm.wasi import thread  # here, see above

        return (thread.FUNCTION,)
    if not is_socket(module, name):
        known = HOST.get((module, name))
        return (known,) if known is not None else ()
    from wherry.wasm.wasi import sock_table  # here, see above

    return tuple(function for function in sock_table.FUNCTIONS if function.name == name)


def sockets(info: Mapping[str, Any]) -> list[HostFunction]:
    """The socket functions that a module imports, from `ModuleInfo.to_json`'s answer. It can be run: see module.py."""
    found = [
        function
        for item in _socket_imports(info)
        for function in offered(item["module"], item["name"])
        if function.params == "".join(_LETTERS[kind] for kind in item["params"])
    ]
    return [function for place, function in enumerate(found) if function not in found[:place]]  # one may be named twice


def imports_sockets(info: Mapping[str, Any]) -> bool:
    """Whether a module or component imports any."""
    if is_component(info):
        return any(item["name"].startswith(_CALLING) for item in info["imports"])
    return any(True for _ in _socket_imports(info))


def is_component(info: Mapping[str, Any]) -> bool:
    """Whether it is a component."""
    return bool(info["kind"] == "component")


def answers_http(info: Mapping[str, Any]) -> bool:
    """Whether it is a component that answers HTTP, and no program."""
    if not is_component(info):
        return False
    names = [item["name"] for item in info["exports"]]
    return any(name.startswith(_HANDLER) for name in names) and not any(name.startswith(_RUN) for name in names)


def spawns(info: Mapping[str, Any]) -> bool:
    """Whether a module can start threads."""
    return any((item["module"], item["name"]) == _SPAWN for item in info["imports"])


def thread_spawn() -> tuple[str, HostFunction]:
    """The function that starts threads, and the module it is in."""
    return _SPAWN[0], offered(*_SPAWN)[0]


def has_shared_memory(info: Mapping[str, Any]) -> bool:
    """Whether a module has a shared memory, its own or an imported one."""
    return any(memory["shared"] for memory in info["memories"])


def wants_listeners(info: Mapping[str, Any]) -> bool:
    """Whether a module can accept connections but has no way to make a listener: preview 1 alone has none."""
    names = {item["name"] for item in _socket_imports(info)}
    return "sock_accept" in names and not names & {"sock_open", "sock_bind", "sock_listen"}


def _socket_imports(info: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (item for item in info["imports"] if is_socket(item["module"], item["name"]))


def reason(module: str, name: str) -> str:
    """Why an import can't be had, as the end of a message that starts with it."""
    if module == "wasi_unstable":
        return ": WASI before preview 1 is not supported, build for wasm32-wasip1"
    return ", which no host here provides"
