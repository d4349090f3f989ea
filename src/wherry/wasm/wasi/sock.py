"""Sockets of preview 1 itself: sock_accept, sock_recv, sock_send, sock_shutdown.

A guest has no way to make one: it finds the listeners among its preopens (see guest.py). WasmEdge has the last three
under the same names and signatures.
https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#-sock_acceptfd-fd-flags-fdflags---resultfd-errno
"""

from wherry.wasm.wasi import socket
from wherry.wasm.wasi.abi import U16
from wherry.wasm.wasi.errno import SUCCESS
from wherry.wasm.wasi.host import Host


def sock_accept(host: Host, fd: int, flags: int, connection: int) -> int:
    """AGAIN, BADF, CONNABORTED, INVAL: flags other than NONBLOCK; MFILE, NOTSOCK."""
    memory = host.memory
    memory.slice(connection, 4)
    memory.put_u32(connection, socket.accept(host, fd, flags))
    return SUCCESS


def sock_recv(host: Host, fd: int, iovs: int, iovs_len: int, ri_flags: int, ro_datalen: int, ro_flags: int) -> int:
    """AGAIN, BADF, CONNRESET, INVAL, NOTCONN, NOTSOCK."""
    memory = host.memory
    size, flags, _ = socket.receive(host, fd, iovs, iovs_len, ri_flags)
    memory.put_u32(ro_datalen, size)
    memory.write(ro_flags, U16.pack(flags))
    return SUCCESS


def sock_send(host: Host, fd: int, iovs: int, iovs_len: int, si_flags: int, so_datalen: int) -> int:
    """AGAIN, BADF, CONNRESET, INVAL, NOTCONN, NOTSOCK, PIPE."""
    host.memory.put_u32(so_datalen, socket.send(host, fd, iovs, iovs_len, si_flags))
    return SUCCESS


def sock_shutdown(host: Host, fd: int, how: int) -> int:
    """BADF, INVAL, NOTCONN, NOTSOCK."""
    socket.shutdown(host, fd, how)
    return SUCCESS
