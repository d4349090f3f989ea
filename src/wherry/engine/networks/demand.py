"""Whether a WASM container has any use for a network: told by what its module imports and what it publishes. Pure.

Most have none, and then nothing of networks is done for them: a start stays as fast as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

_PREVIEW1: Final = "wasi_snapshot_preview1"
# With these alone a module can serve at ports that were opened for it, and reach nobody by itself.
_PASSIVE: Final = frozenset({"sock_accept", "sock_recv", "sock_send", "sock_shutdown"})
_COMPONENT_PREFIXES: Final = ("wasi:sockets/", "wasi:http/")


def wants_network(info: Mapping[str, Any], *, listens: bool) -> bool:
    """``info`` is what inspection told of the module (wasm/module.py); ``listens``: it has ports to serve at."""
    return any(_reaches(item, listens) for item in info.get("imports", ()))


def _reaches(item: Mapping[str, Any], listens: bool) -> bool:
    module, name = str(item.get("module", "")), str(item.get("name", ""))
    if not module:
        return name.startswith(_COMPONENT_PREFIXES)
    return module == _PREVIEW1 and name.startswith("sock_") and (listens or name not in _PASSIVE)
