"""All socket functions that guests may import from ``wasi_snapshot_preview1``, in every dialect.

Dialects share names and differ in arity, so a function is found by its name and parameters: what the import says.
"""

from __future__ import annotations

from wherry.wasm.wasi import sock, sock_names, sock_options, sock_wamr, sock_wasmedge
from wherry.wasm.wasi.preview1 import HostFunction

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

    Table = tuple[tuple[str, str, Callable[..., int]], ...]

_PREVIEW1: Table = (
    ("sock_accept", "iii", sock.sock_accept),
    ("sock_recv", "iiiiii", sock.sock_recv),
    ("sock_send", "iiiii", sock.sock_send),
    ("sock_shutdown", "ii", sock.sock_shutdown),
)
_WASMEDGE: Table = (
    ("sock_open", "iii", sock_wasmedge.sock_open),
    ("sock_bind", "iii", sock_wasmedge.sock_bind),
    ("sock_listen", "ii", sock_wasmedge.sock_listen),
    ("sock_accept", "ii", sock_wasmedge.sock_accept),
    ("sock_connect", "iii", sock_wasmedge.sock_connect),
    ("sock_recv_from", "iiiiiii", sock_wasmedge.sock_recv_from),
    ("sock_recv_from", "iiiiiiii", sock_wasmedge.sock_recv_from_v2),
    ("sock_send_to", "iiiiiii", sock_wasmedge.sock_send_to),
    ("sock_getlocaladdr", "iiii", sock_wasmedge.sock_getlocaladdr),
    ("sock_getpeeraddr", "iiii", sock_wasmedge.sock_getpeeraddr),
    ("sock_getsockopt", "iiiii", sock_options.sock_getsockopt),
    ("sock_setsockopt", "iiiii", sock_options.sock_setsockopt),
    ("sock_getaddrinfo", "iiiiiiii", sock_names.sock_getaddrinfo),
    ("sock_open_v2", "iii", sock_wasmedge.sock_open),
    ("sock_bind_v2", "iii", sock_wasmedge.sock_bind),
    ("sock_listen_v2", "ii", sock_wasmedge.sock_listen),
    ("sock_accept_v2", "iii", sock.sock_accept),
    ("sock_connect_v2", "iii", sock_wasmedge.sock_connect),
    ("sock_recv_v2", "iiiiii", sock.sock_recv),
    ("sock_recv_from_v2", "iiiiiiii", sock_wasmedge.sock_recv_from_v2),
    ("sock_send_v2", "iiiii", sock.sock_send),
    ("sock_send_to_v2", "iiiiiii", sock_wasmedge.sock_send_to),
    ("sock_getlocaladdr_v2", "iii", sock_wasmedge.sock_getlocaladdr_v2),
    ("sock_getpeeraddr_v2", "iii", sock_wasmedge.sock_getpeeraddr_v2),
)
_WAMR: Table = (
    ("sock_open", "iiii", sock_wamr.sock_open),
    ("sock_close", "i", sock_wamr.sock_close),
    ("sock_bind", "ii", sock_wamr.sock_bind),
    ("sock_connect", "ii", sock_wamr.sock_connect),
    ("sock_addr_local", "ii", sock_wamr.sock_addr_local),
    ("sock_addr_remote", "ii", sock_wamr.sock_addr_remote),
    ("sock_addr_resolve", "iiiiii", sock_wamr.sock_addr_resolve),
    ("sock_send_to", "iiiiii", sock_wamr.sock_send_to),
    ("sock_recv_from", "iiiiii", sock_wamr.sock_recv_from),
    ("sock_set_ip_add_membership", "iii", sock_wamr.sock_set_ip_add_membership),
    ("sock_set_ip_drop_membership", "iii", sock_wamr.sock_set_ip_drop_membership),
    *sock_options.wamr(),
)

FUNCTIONS = tuple(HostFunction(name, params, "i", call) for name, params, call in (*_PREVIEW1, *_WASMEDGE, *_WAMR))
