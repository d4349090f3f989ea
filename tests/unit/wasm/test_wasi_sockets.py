"""Socket functions called without a guest: what they answer to wrong fds, addresses, sizes, pointers and policies."""

import _socket
import gc
import os
import socket as std
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from struct import pack, unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wasm.wasi_caller import NAMES, OUT, ROOT, SIZE, Caller
from wherry.wasm.imports import HostFunction
from wherry.wasm.wasi import abi, errno, sock_table, socket
from wherry.wasm.wasi.host import SocketPolicy
from wherry.wasm.wasi.sock_list import SOCKETS

INET4, INET6, UNIX = 1, 2, 3
DGRAM, STREAM = 1, 2
AT, BUFFER, MORE = 0x2000, 0x2100, 0x3000
OPEN = SocketPolicy(None, outbound=True)
LOOPBACK = b"\x7f\0\0\1"


@pytest.fixture(autouse=True)
def policy(call: Caller) -> Iterator[None]:
    call.host.sockets = OPEN
    yield
    for entry in call.host.table.entries.values():
        if isinstance(entry, socket.SocketEntry):
            os.close(entry.fd)
            entry.fd = -1


def opened(call: Caller, family: int = INET4, type_: int = STREAM) -> int:
    assert call("sock_open", family, type_, OUT) == "SUCCESS"
    return call.u32()


def address(call: Caller, data: bytes, at: int = AT) -> int:
    call.data[at + 8 : at + 8 + len(data)] = data
    call.data[at : at + 8] = pack("<II", at + 8, len(data))
    return at


def storage(family: int, data: bytes) -> bytes:
    return pack("<H", family) + data.ljust(126, b"\0")


def listening(call: Caller, family: int = INET4) -> tuple[int, int]:
    """A listener and its port."""
    fd = opened(call, family)
    assert call("sock_bind", fd, address(call, bytes(4 if family == INET4 else 16)), 0) == "SUCCESS"
    assert call("sock_listen", fd, 5) == "SUCCESS"
    assert call("sock_getlocaladdr_v2", fd, address(call, bytes(128)), OUT) == "SUCCESS"
    return fd, call.u32()


def connected(call: Caller) -> tuple[int, int]:
    """Both ends of a connection."""
    server, port = listening(call)
    client = opened(call)
    assert call("sock_connect", client, address(call, LOOPBACK), port) == "SUCCESS"
    assert call("sock_accept", server, OUT) == "SUCCESS"
    return client, call.u32()


def test_each_function_has_a_word_of_its_own_and_a_signature_none_else_has() -> None:
    assert len(set(SOCKETS)) == len(SOCKETS)
    assert {function.name for function in sock_table.FUNCTIONS} == set(SOCKETS)
    signatures = [(function.name, function.params) for function in sock_table.FUNCTIONS]
    assert len(set(signatures)) == len(signatures)
    assert len([name for name in SOCKETS if name.endswith("_v2")]) == 11


def test_a_socket_is_a_descriptor_like_others(call: Caller) -> None:
    for type_, kind in ((STREAM, abi.SOCKET_STREAM), (DGRAM, abi.SOCKET_DGRAM)):
        fd = opened(call, INET4, type_)
        assert fd == ROOT + 1
        assert call("fd_fdstat_get", fd, OUT) == "SUCCESS"
        assert abi.FDSTAT.unpack_from(call.data, OUT) == (kind, 0, abi.RIGHTS_SOCKET, 0)
        assert call("fd_filestat_get", fd, OUT) == "SUCCESS"
        assert abi.FILESTAT.unpack_from(call.data, OUT)[2] == kind
        assert call("fd_prestat_get", fd, OUT) == "BADF"
        assert call("fd_seek", fd, 0, 0, OUT) == "SPIPE"
        assert call("fd_fdstat_set_flags", fd, abi.FDFLAG_NONBLOCK) == "SUCCESS"
        host_fd = call.host.table.get(fd).fd
        assert not os.get_blocking(host_fd)
        assert call("fd_close", fd) == "SUCCESS"
        gc.collect()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(host_fd)
        assert call("sock_listen", fd, 1) == "BADF"


def test_its_number_is_closed_by_the_table_alone() -> None:
    """Its number may be another file's before the object is gone."""
    number = std.socket().detach()
    socket.SocketEntry(_socket.AF_INET, _socket.SOCK_STREAM, number)
    gc.collect()
    os.fstat(number)
    os.close(number)


def test_what_crosses_a_connection(call: Caller) -> None:
    client, server = connected(call)
    call.data[BUFFER : BUFFER + 10] = b"0123456789"
    assert call("sock_send", client, *call.iovecs((BUFFER, 4), (0, 0), (BUFFER + 4, 6)), 0, OUT) == "SUCCESS"
    assert call.u32() == 10
    assert call("sock_recv", server, *call.iovecs((MORE, 4)), abi.RIFLAG_PEEK, OUT, OUT + 4) == "SUCCESS"
    assert (call.u32(), bytes(call.data[MORE : MORE + 4])) == (4, b"0123")
    # Ranges that overlap are filled in their order: the later one wins where they meet.
    assert call("sock_recv", server, *call.iovecs((MORE, 5), (MORE + 2, 5)), 0, OUT, OUT + 4) == "SUCCESS"
    assert (call.u32(), bytes(call.data[MORE : MORE + 7])) == (10, b"0156789")
    assert call.write(client, b"by fd_write") == "SUCCESS"
    assert call.read(server, 64) == b"by fd_write"
    assert call("sock_shutdown", client, abi.SDFLAG_WR) == "SUCCESS"
    assert call("sock_recv", server, *call.iovecs((MORE, 5)), abi.RIFLAG_WAITALL, OUT, OUT + 4) == "SUCCESS"
    assert call.u32() == 0
    assert call("sock_send", client, *call.iovecs((BUFFER, 4)), 0, OUT) == "PIPE"
    assert call.write(client, b"x") == "PIPE"
    for how in (0, 4, 7, 0xFFFFFFFF):
        assert call("sock_shutdown", server, how) == "INVAL"


def test_flags_that_are_not_defined(call: Caller) -> None:
    client, server = connected(call)
    assert call("sock_recv", server, *call.iovecs((MORE, 5)), 4, OUT, OUT + 4) == "INVAL"
    assert call("sock_send", client, *call.iovecs((BUFFER, 5)), 1, OUT) == "INVAL"
    listener, _ = listening(call)
    assert call("sock_accept", listener, abi.FDFLAG_APPEND, OUT) == "INVAL"
    assert call("sock_accept", listener, 0x100, OUT) == "INVAL"


def test_rights_that_were_dropped(call: Caller) -> None:
    client, server = connected(call)
    listener, _ = listening(call)
    for fd in (client, server, listener):
        assert call("fd_fdstat_set_rights", fd, 0, 0) == "SUCCESS"
    assert call("sock_recv", server, *call.iovecs((MORE, 5)), 0, OUT, OUT + 4) == "NOTCAPABLE"
    assert call("sock_send", client, *call.iovecs((MORE, 5)), 0, OUT) == "NOTCAPABLE"
    assert call("sock_accept", listener, 0, OUT) == "NOTCAPABLE"
    assert call("sock_shutdown", client, 1) == "NOTCAPABLE"


def test_accepting_without_blocking(call: Caller) -> None:
    listener, port = listening(call, INET6)
    assert call("fd_fdstat_set_flags", listener, abi.FDFLAG_NONBLOCK) == "SUCCESS"
    assert call("sock_accept", listener, 0, OUT) == "AGAIN"
    with std.create_connection(("::1", port)):
        abi.SUBSCRIPTION.pack_into(call.data, 0x1000, 7, abi.EVENT_FD_READ, listener, 0, 0, 0)
        assert call("poll_oneoff", 0x1000, 0x2000, 1, OUT) == "SUCCESS"
        assert call("sock_accept_v2", listener, abi.FDFLAG_NONBLOCK, OUT) == "SUCCESS"
        connection = call.u32()
        assert call("sock_recv", connection, *call.iovecs((MORE, 5)), 0, OUT, OUT + 4) == "AGAIN"
        assert call("fd_fdstat_get", connection, OUT) == "SUCCESS"
        assert abi.FDSTAT.unpack_from(call.data, OUT)[1] == abi.FDFLAG_NONBLOCK
        assert call("sock_getpeeraddr", connection, address(call, bytes(16)), OUT, OUT + 4) == "SUCCESS"
        assert (call.u32(), bytes(call.data[AT + 8 : AT + 24])) == (6, bytes(15) + b"\1")
        assert call("sock_getpeeraddr", connection, address(call, bytes(4)), OUT, OUT + 4) == "NOMEM"


def test_a_datagram_and_whom_it_is_from(call: Caller) -> None:
    fd = opened(call, INET4, DGRAM)
    assert call("sock_bind_v2", fd, address(call, storage(INET4, LOOPBACK)), 0) == "SUCCESS"
    assert call("sock_getlocaladdr", fd, address(call, bytes(4)), OUT, OUT + 4) == "SUCCESS"
    assert call.u32() == 4
    port = call.u32(OUT + 4)
    call.data[BUFFER : BUFFER + 4] = b"ping"
    for form in (LOOPBACK, storage(INET4, LOOPBACK)):
        to = address(call, form)
        assert call("sock_send_to", fd, *call.iovecs((BUFFER, 4)), to, port, 0, OUT) == "SUCCESS"
    iovecs = call.iovecs((MORE, 2))
    at = address(call, bytes(4))
    assert call("sock_recv_from", fd, *iovecs, at, 0, OUT, OUT + 4) == "SUCCESS"
    assert (call.u32(), unpack_from("<H", call.data, OUT + 4)[0]) == (2, abi.ROFLAG_DATA_TRUNCATED)
    assert bytes(call.data[AT + 8 : AT + 12]) == LOOPBACK
    at = address(call, bytes(128))
    call.data[OUT + 12 : OUT + 16] = b"\xaa" * 4
    assert call("sock_recv_from_v2", fd, *iovecs, at, 0, OUT + 12, OUT, OUT + 4) == "SUCCESS"
    assert unpack_from("<H4s", call.data, AT + 8) == (INET4, LOOPBACK)
    assert unpack_from("<HH", call.data, OUT + 12) == (port, 0xAAAA)
    assert call("sock_accept", fd, OUT) == "NOTSUP"


def test_addresses_that_are_none(call: Caller) -> None:
    four, six, unix = opened(call), opened(call, INET6), opened(call, UNIX, STREAM)
    for size in (0, 3, 5, 15, 17, 127, 129):
        assert call("sock_bind", four, address(call, bytes(size)), 0) == "INVAL"
    for data in (bytes(16), storage(INET6, b""), storage(UNIX, b"/x"), storage(0, b""), storage(9, b"")):
        assert call("sock_bind", four, address(call, data), 0) == "AFNOSUPPORT"
    assert call("sock_connect", six, address(call, LOOPBACK), 1) == "AFNOSUPPORT"
    # An empty path is Linux's abstract namespace, or a name of the kernel's own choice.
    for path in (b"", b"\0abstract"):
        assert call("sock_bind_v2", unix, address(call, storage(UNIX, path)), 0) == "INVAL"
    assert call("sock_bind_v2", unix, address(call, storage(UNIX, b"/" * 108)), 0) == "NAMETOOLONG"
    assert call("sock_connect_v2", unix, address(call, storage(UNIX, b"/no/such")), 0) == "NOENT"
    assert call("sock_getlocaladdr", unix, address(call, bytes(16)), OUT, OUT + 4) == "NOSYS"
    assert call("sock_getlocaladdr_v2", four, address(call, bytes(16)), OUT) == "INVAL"
    assert call("sock_getpeeraddr_v2", four, address(call, bytes(128)), OUT) == "NOTCONN"


@pytest.mark.parametrize(("family", "type_"), [(0, 1), (4, 1), (1, 0), (1, 3), (0xFFFFFFFF, 1), (1, 0xFFFFFFFF)])
def test_sockets_that_are_none(call: Caller, family: int, type_: int) -> None:
    assert call("sock_open", family, type_, OUT) == "INVAL"
    assert call("sock_open_v2", family, type_, OUT) == "INVAL"


@pytest.mark.parametrize(("family", "type_"), [(2, 1), (0xFFFFFFFF, 1), (1, 2), (1, 0xFFFFFFFF)])
def test_sockets_that_are_none_of_wamrs(call: Caller, family: int, type_: int) -> None:
    assert call("sock_open", 0xFFFFFFFF, family, type_, OUT) == "INVAL"


def test_too_many(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(_socket, "socket", none_left)
    assert call("sock_open", INET4, STREAM, OUT) == "MFILE"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sock_accept", (0, OUT)),
        ("sock_accept", (OUT,)),
        ("sock_recv", (AT, 0, 0, OUT, OUT)),
        ("sock_send", (AT, 0, 0, OUT)),
        ("sock_shutdown", (1,)),
        ("sock_listen", (1,)),
        ("sock_getsockopt", (0, 0, AT, OUT)),
        ("sock_setsockopt", (0, 0, AT, 4)),
        ("sock_close", ()),
        ("sock_addr_local", (AT,)),
        ("sock_get_reuse_addr", (AT,)),
        ("sock_set_recv_timeout", (1,)),
    ],
)
def test_what_is_no_socket(call: Caller, name: str, arguments: tuple[int, ...]) -> None:
    call.data[OUT] = 4
    assert call(name, ROOT, *arguments) == "NOTSOCK"
    assert call(name, 77, *arguments) == "BADF"
    call.host.sockets = None
    assert call(name, ROOT, *arguments) == "NOTSOCK"


def test_options(call: Caller) -> None:
    fd = opened(call)
    for name, value, answer in ((0, 1, 1), (7, 1, 1), (6, 4096, 8192)):
        call.data[AT : AT + 4] = pack("<I", value)
        assert call("sock_setsockopt", fd, 0, name, AT, 4) == "SUCCESS"
        call.data[OUT : OUT + 4] = pack("<I", 4)
        assert call("sock_getsockopt", fd, 0, name, AT, OUT) == "SUCCESS"
        assert (call.u32(AT), call.u32()) == (answer, 4)
    # The guest's struct timeval ends with four bytes that mean nothing.
    call.data[AT : AT + 16] = pack("<qiI", 2, 500_000, 0xDEADBEEF)
    assert call("sock_setsockopt", fd, 0, 11, AT, 16) == "SUCCESS"
    assert call("sock_get_recv_timeout", fd, OUT) == "SUCCESS"
    assert call.u64() == 2_500_000
    call.data[OUT : OUT + 4] = pack("<I", 4)
    assert call("sock_getsockopt", fd, 0, 1, AT, OUT) == "SUCCESS"
    assert call.u32(AT) == STREAM
    assert call("sock_getsockopt", fd, 0, 14, AT, OUT) == "NOPROTOOPT"
    assert call("sock_getsockopt", fd, 1, 0, AT, OUT) == "INVAL"
    assert call("sock_setsockopt", fd, 0, 0, AT, 0x8000) == "INVAL"
    assert call("sock_setsockopt", fd, 0, 0, AT, 3) == "INVAL"
    call.data[OUT : OUT + 4] = bytes(4)
    assert call("sock_getsockopt", fd, 0, 0, AT, OUT) == "INVAL"


def test_an_error_is_told_in_wasis_numbers(call: Caller) -> None:
    listener, port = listening(call)
    assert call("fd_close", listener) == "SUCCESS"
    fd = opened(call)
    assert call("fd_fdstat_set_flags", fd, abi.FDFLAG_NONBLOCK) == "SUCCESS"
    begun = call("sock_connect", fd, address(call, LOOPBACK), port)
    abi.SUBSCRIPTION.pack_into(call.data, 0x1000, 7, abi.EVENT_FD_WRITE, fd, 0, 0, 0)
    assert call("poll_oneoff", 0x1000, 0x2000, 1, OUT) == "SUCCESS"
    call.data[OUT : OUT + 4] = pack("<I", 4)
    assert call("sock_getsockopt", fd, 0, 2, AT, OUT) == "SUCCESS"
    assert begun == "CONNREFUSED" or NAMES[call.u32(AT)] == "CONNREFUSED"


def ask(call: Caller, node: bytes, service: bytes, hints: bytes, room: int = 2) -> str:
    """sock_getaddrinfo with entries at 0x4000, addresses at 0x4100, their data at 0x4200, names at 0x4400."""
    call.data[0x3F00:0x3F1C] = hints.ljust(28, b"\0")
    call.data[0x3F20:0x3F24] = pack("<I", 0x4000)
    for index in range(room):
        following = 0x401C + 28 * index if index + 1 < room else 0
        pointers = 0x4100 + 16 * index, 0x4400 + 64 * index, 64, following
        call.data[0x4000 + 28 * index : 0x401C + 28 * index] = pack("<HBBB3xIIIII", 0, 0, 0, 0, 0, *pointers)
        call.data[0x4100 + 16 * index : 0x410C + 16 * index] = pack("<B3xII", 0, 14, 0x4200 + 64 * index)
    return call("sock_getaddrinfo", node, service, 0x3F00, 0x3F20, room, OUT)


def test_names(call: Caller) -> None:
    assert ask(call, b"127.0.0.1\0junk", b"80", pack("<HBB", 2, INET4, STREAM)) == "SUCCESS"
    assert call.u32() == 1
    info = unpack_from("<HBBB3xIIIII", call.data, 0x4000)
    assert info == (2, INET4, STREAM, 1, 16, 0x4100, 0x4400, 9, 0x401C)
    assert unpack_from("<B3xII", call.data, 0x4100) == (INET4, 14, 0x4200)
    assert bytes(call.data[0x4200:0x420E]) == b"\0\x50" + LOOPBACK + bytes(8)
    assert bytes(call.data[0x4400:0x4409]) == b"127.0.0.1"
    assert ask(call, b"::1", b"", pack("<HBB", 0, 0, 0), 1) == "SUCCESS"
    assert unpack_from("<B3xII", call.data, 0x4100) == (INET6, 26, 0x4200)
    assert bytes(call.data[0x4206:0x4216]) == bytes(15) + b"\1"


@pytest.mark.parametrize(
    ("node", "service", "hints", "room", "said"),
    [
        (b"", b"", b"", 1, 84),
        (b"localhost", b"", b"", 0, 82),
        (b"localhost", b"", pack("<H", 0x80), 1, 79),
        (b"", b"80", pack("<H", 2), 1, 79),
        (b"localhost", b"", pack("<HB", 0, 3), 1, 81),
        (b"localhost", b"", pack("<HBB", 0, 0, 3), 1, 86),
        (b"nope", b"80", pack("<HBB", 4, 0, 2), 1, 84),  # numeric, and it is not
        (b"x" * 300, b"80", pack("<HBB", 4, 0, 2), 1, 84),
        (b"127.0.0.1", b"no-such-service", pack("<HBB", 0, 1, 2), 1, 85),
    ],
)
def test_names_that_are_none(call: Caller, node: bytes, service: bytes, hints: bytes, room: int, said: int) -> None:
    assert ask(call, node, service, hints, room) == str(said)


def test_without_a_policy_there_is_nothing(call: Caller) -> None:
    fd = opened(call)
    call.host.sockets = None
    assert call("sock_open", INET4, STREAM, OUT) == "NOTCAPABLE"
    assert call("sock_open", 0, 0, 1, OUT) == "NOTCAPABLE"
    assert call("sock_bind", fd, address(call, bytes(4)), 0) == "NOTCAPABLE"
    assert call("sock_connect", fd, address(call, LOOPBACK), 9) == "NOTCAPABLE"
    assert ask(call, b"127.0.0.1", b"80", b"") == "NOTCAPABLE"


def test_ports_by_policy(call: Caller) -> None:
    with std.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call.host.sockets = SocketPolicy(frozenset({(port, "tcp")}), outbound=False)
    stream, datagram, unbound = opened(call), opened(call, INET4, DGRAM), opened(call)
    at = address(call, LOOPBACK)
    assert call("sock_bind", datagram, at, port) == "ACCES"
    assert call("sock_bind", stream, at, port ^ 1) == "ACCES"
    assert call("sock_bind", stream, at, port) == "SUCCESS"
    assert call("sock_listen", stream, 0xFFFFFFFF) == "SUCCESS"
    assert call("sock_bind", unbound, at, 0) == "SUCCESS"
    assert call("sock_listen", unbound, 1) == "ACCES"
    assert call("sock_listen", opened(call), 1) == "ACCES"
    assert call("sock_connect", opened(call), at, port) == "ACCES"
    assert call("sock_send_to", datagram, *call.iovecs((BUFFER, 1)), at, port, 0, OUT) == "ACCES"
    assert ask(call, b"127.0.0.1", b"80", b"") == "ACCES"


def test_preopened_listeners(call: Caller) -> None:
    number = socket.listen_at(0)
    fd = call.host.table.add(socket.listener(number))
    assert call("fd_prestat_get", fd, OUT) == "SUCCESS"
    assert abi.PRESTAT.unpack_from(call.data, OUT) == (abi.PREOPEN_SOCKET, 0)
    assert call("fd_prestat_dir_name", fd, MORE, 0) == "SUCCESS"
    with std.socket(fileno=os.dup(number)) as same:
        port = same.getsockname()[1]
    for host in ("127.0.0.1", "::1"):
        with std.create_connection((host, port)):
            assert call("sock_accept", fd, 0, OUT) == "SUCCESS"


def test_a_preopened_listener_blocks_until_its_flags_are_asked_for(call: Caller) -> None:
    for ask_first in (True, False):
        number = socket.listen_at(0)
        fd = call.host.table.add(socket.listener(number))
        assert os.get_blocking(number)
        assert call("fd_prestat_get", fd, OUT) == "SUCCESS"
        assert os.get_blocking(number)
        if ask_first:
            assert call("fd_fdstat_get", fd, OUT) == "SUCCESS"
            assert abi.FDSTAT.unpack_from(call.data, OUT)[1] == abi.FDFLAG_NONBLOCK
            assert call("sock_accept", fd, 0, OUT) == "AGAIN"
        assert call("fd_fdstat_set_flags", fd, 0) == "SUCCESS"
        assert os.get_blocking(number)
        assert call("fd_fdstat_get", fd, OUT) == "SUCCESS"
        assert abi.FDSTAT.unpack_from(call.data, OUT)[1] == 0


def wamr_address(call: Caller, data: bytes, port: int) -> bytes:
    """At AT; and as it lies there."""
    six = len(data) == 16
    packed = pack("<I8HHxx", 1, *unpack_from(">8H", data), port) if six else pack("<I4sH14x", 0, data, port)
    call.data[AT : AT + 24] = packed
    return packed


def test_wamrs_addresses(call: Caller) -> None:
    for family, data in ((0, LOOPBACK), (1, bytes(15) + b"\1")):
        assert call("sock_open", 0xFFFFFFFF, family, 0, OUT) == "SUCCESS"
        fd = call.u32()
        wamr_address(call, data, 0)
        assert call("sock_bind", fd, AT) == "SUCCESS"
        assert call("sock_addr_local", fd, AT) == "SUCCESS"
        told = bytes(call.data[AT : AT + 24])
        assert told == wamr_address(call, data, unpack_from("<H", told, 8 if family == 0 else 20)[0])
        call.data[BUFFER : BUFFER + 2] = b"hi"
        assert call("sock_send_to", fd, *call.iovecs((BUFFER, 2)), 0, AT, OUT) == "SUCCESS"
        assert call("sock_recv_from", fd, *call.iovecs((MORE, 9)), 0, AT, OUT) == "SUCCESS"
        assert (call.u32(), bytes(call.data[AT : AT + 24])) == (2, told)
        wamr_address(call, bytes(4 if family else 16), 1)
        assert call("sock_connect", fd, AT) == "AFNOSUPPORT"
        call.data[AT] = 2
        assert call("sock_bind", fd, AT) == "INVAL"
        assert call("sock_close", fd) == "SUCCESS"
        assert call("sock_close", fd) == "BADF"


def test_wamrs_names(call: Caller) -> None:
    call.data[AT : AT + 10] = b"127.0.0.1\0"
    call.data[MORE : MORE + 3] = b"80\0"
    call.data[BUFFER : BUFFER + 12] = pack("<IIB3x", 1, 0, 1)
    assert call("sock_addr_resolve", AT, MORE, BUFFER, 0x4000, 1, OUT) == "SUCCESS"
    assert (call.u32(), unpack_from("<I4sH14xI", call.data, 0x4000)) == (1, (0, LOOPBACK, 80, 1))
    call.data[BUFFER : BUFFER + 12] = pack("<IIB3x", 0xFFFFFFFF, 2, 1)
    assert call("sock_addr_resolve", AT, MORE, BUFFER, 0x4000, 0, OUT) == "SUCCESS"
    assert call.u32() == 2  # a stream and a datagram, though there was room for neither
    call.data[BUFFER : BUFFER + 12] = pack("<IIB3x", 1, 3, 1)
    assert call("sock_addr_resolve", AT, MORE, BUFFER, 0x4000, 1, OUT) == "INVAL"
    call.data[AT : AT + 300] = b"x" * 300
    assert call("sock_addr_resolve", AT, MORE, BUFFER, 0x4000, 1, OUT) == "INVAL"


INTEREST = [0, 1, 2, 3, 4, 5, 6, 14, 16, 128, AT, SIZE - 4, SIZE - 1, SIZE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def sockets_of(call: Caller, stack: ExitStack) -> None:
    """Sockets of three kinds, as fds 3, 4 and 5; none of them ever waits."""
    for family, type_ in ((_socket.AF_INET, 1), (_socket.AF_INET, 2), (_socket.AF_UNIX, 1)):
        made = std.socket(family, type_)
        made.setblocking(False)
        call.host.table.add(socket.SocketEntry(family, type_, made.detach()))
    stack.callback(lambda: [os.close(entry.fd) for entry in call.host.table.entries.values() if entry.fd > 2])


def name_of(function: HostFunction) -> str:
    return f"{function.name}-{len(function.params)}"


@pytest.mark.parametrize("function", sock_table.FUNCTIONS, ids=name_of)
def test_nonsense_is_an_errno_or_a_trap(function: HostFunction) -> None:
    """Any numbers, any memory: never another exception, never a wait."""

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.sampled_from(INTEREST), min_size=8, max_size=8), st.integers(0, 1 << 32))
    def attempt(numbers: list[int], seed: int) -> None:
        call = Caller()
        call.host.sockets = SocketPolicy(frozenset(), outbound=True)
        call.data[:] = Random(seed).randbytes(SIZE)
        address(call, storage(INET4, LOOPBACK))
        with ExitStack() as stack:
            sockets_of(call, stack)
            try:
                answer = function.call(call.host, *numbers[: len(function.params)])
                assert 0 <= answer <= 87
            except (errno.WasiError, OSError, errno.Trap):
                return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_socket, "getaddrinfo", lambda *_: [(_socket.AF_INET, 1, 6, "name", ("127.0.0.1", 80))])
        attempt()
