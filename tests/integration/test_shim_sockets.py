"""Guests with sockets in the real shim: WasmEdge's, WAMR's and preview 1's own, in a network of the test's making."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.nameserver import Nameserver
from tests.fakes.netns import NetworkNamespace, network_namespace
from tests.fifos import read_all
from tests.integration.shim_box import DEADLINE, Box, open_box
from tests.zig import compile_wasm
from wherry.core.tasks.fifos import FifoReader, make_fifos
from wherry.core.tasks.tasks import Task
from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.linux import netns
from wherry.wasm.wasi.errno import ACCES, NOTCAPABLE, NUMBERS

DATA = Path(__file__).parent.parent / "data"
LISTEN = "dev.wherry.listen"
OTHERS = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup")]
REFUSED = NUMBERS["CONNREFUSED"]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("guests")
    names = ("wasmedge", "wamr", "listener")
    return {name: compile_wasm(DATA / f"{name}_guest.c", folder / f"{name}.wasm") for name in names}


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkNamespace]:
    with network_namespace(low_ports=True) as made:
        yield made


@pytest.fixture
async def box(modules: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> AsyncIterator[Box]:
    compiled = modules["wasmedge"].parent / "compiled"
    async with open_box(modules["wasmedge"], compiled, tmp_path) as made:
        for name, module in modules.items():
            shutil.copy(module, tmp_path / f"lower/{name}.wasm")
        yield made


class Sockets:
    """Guests of a box in a network."""

    def __init__(self, box: Box, network: NetworkNamespace) -> None:
        self.box = box
        self.network = network

    def changes(self, args: tuple[str, ...], listen: str | None, **changes: Any) -> dict[str, Any]:
        namespaces = [*OTHERS, {"type": "network", "path": self.network.path}]
        linux = {"namespaces": namespaces, "cgroupsPath": ""} | changes.pop("linux", {})
        annotations = {} if listen is None else {"annotations": {LISTEN: listen}}
        process = {"args": [f"/{args[0]}.wasm", *args[1:]]} | changes.pop("process", {})
        return {"process": process, "linux": linux} | annotations | changes

    async def run(self, *args: str, listen: str | None = None, **changes: Any) -> list[str]:
        """What it prints."""
        ended = await self.box.run(**self.changes(args, listen, **changes))
        assert (ended.code, ended.err) == (0, ""), ended
        return ended.out.splitlines()

    async def start(self, *args: str, listen: str | None = None, **changes: Any) -> "Server":
        """One that says by its first line that it is ready."""
        task = await self.box.create(**self.changes(args, listen, **changes))
        server = Server(task, FifoReader(task.io.stdout))
        await task.start()
        await server.line()
        return server


class Server:
    """A running guest, and what it has printed so far."""

    def __init__(self, task: Task, reader: FifoReader) -> None:
        self.task = task
        self._reader = reader
        self.out = b""

    async def line(self) -> str:
        async with asyncio.timeout(DEADLINE):
            while b"\n" not in self.out:
                data = await self._reader.read()
                assert data, await read_all(self.task.io.stderr)
                self.out += data
        return self.out.partition(b"\n")[0].decode()

    async def rest(self) -> list[str]:
        async with asyncio.timeout(DEADLINE):
            assert (await self.task.wait()).code == 0, self.out
            while data := await self._reader.read():
                self.out += data
        self._reader.close()
        return self.out.decode().splitlines()


@pytest.fixture
def guests(box: Box, network: NetworkNamespace) -> Sockets:
    return Sockets(box, network)


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send, say that this was all, and read to the end."""
    with connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(
    ("family", "host", "seen"), [("1", "127.0.0.1", "peer 127.0.0.1 "), ("2", "::1", "peer ipv6 ")]
)
async def test_wasmedge_serves_tcp(guests: Sockets, family: str, host: str, seen: str) -> None:
    server = await guests.start("wasmedge", "tcp", "80", family)
    assert await server.line() == "ready on 80"
    data = bytes(range(256)) * 400
    echoed = await asyncio.to_thread(lambda: exchange(guests.network.connect(80, host), data))
    assert echoed == data
    ready, peer, done = await server.rest()
    assert peer.startswith(seen)
    assert (ready, done) == ("ready on 80", "done")


@pytest.mark.parametrize(
    ("family", "host", "seen"), [("1", "127.0.0.1", "from 127.0.0.1 "), ("2", "::1", "from ipv6 ")]
)
async def test_wasmedge_serves_udp(guests: Sockets, family: str, host: str, seen: str) -> None:
    server = await guests.start("wasmedge", "udp", "5353", family)
    with guests.network.new_socket(socket.AF_INET6 if family == "2" else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"0123456789", (host, 5353))
        assert await asyncio.to_thread(client.recv, 64) == b"01234567"
        port = client.getsockname()[1]
    _, sender, size = await server.rest()
    assert sender == (f"from 127.0.0.1 {port}" if family == "1" else "from ipv6 ..1 1")
    assert size == "8 bytes, flags 1"


async def test_wasmedge_calls_by_name_with_the_first_version(guests: Sockets) -> None:
    (guests.box.folder / "lower/etc").mkdir()
    (guests.box.folder / "lower/etc/hosts").write_text("127.0.0.1 friend localhost\n::1 friend\n")
    with guests.network.new_socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        waiting = asyncio.create_task(guests.run("wasmedge", "fetch", "friend", str(port)))
        connection, _ = await asyncio.to_thread(listening.accept)
        with connection:
            assert await asyncio.to_thread(connection.recv, 64) == b"hello\n"
            connection.sendall(b"well met\n")
        assert await waiting == [f"peer 4 {port}", "well met"]
    assert await guests.run("wasmedge", "resolve", "friend", "80", "1") == ["1 2 1: 80 127.0.0.1"]
    assert await guests.run("wasmedge", "resolve", "friend", "80", "2") == ["2 2 1: 80 ..1"]
    assert "1 2 1: 80 127.0.0.1" in await guests.run("wasmedge", "resolve", "friend", "80", "0")
    ended = await guests.box.run(**guests.changes(("wasmedge", "resolve", "stranger", "80"), None))
    assert (ended.code, ended.out) == (1, "getaddrinfo: 78\n")  # nobody to ask: AIAGAIN


async def test_names_are_asked_of_the_containers_own_nameserver(guests: Sockets) -> None:
    etc = guests.box.folder / "lower/etc"
    etc.mkdir()
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch example\noptions timeout:5 ndots:1\n")
    sock = guests.network.new_socket(kind=socket.SOCK_DGRAM)
    sock.settimeout(None)
    sock.bind(("127.0.0.1", 53))
    nameserver = Nameserver(sock, {"far.example": "192.0.2.7"})
    try:
        assert await guests.run("wasmedge", "resolve", "far.example", "443", "0") == ["1 2 1: 443 192.0.2.7"]
        assert await guests.run("wasmedge", "resolve", "far", "443", "1") == ["1 2 1: 443 192.0.2.7"]
        ended = await guests.box.run(**guests.changes(("wasmedge", "resolve", "nowhere.example", "80"), None))
        assert ended.out == "getaddrinfo: 84\n"
    finally:
        nameserver.close()
    assert {"far.example", "nowhere.example"} <= set(nameserver.asked)


async def test_an_image_cannot_bring_a_plug_in_for_names(guests: Sockets) -> None:
    """libc looks into the image for what its configuration names; it can read it there, and not map it as code."""
    lower = guests.box.folder / "lower"
    library = next(Path("/lib").glob("*-linux-gnu/libnss_files.so.2"), None) or next(Path("/lib").rglob("libm.so.6"))
    for folder in ("etc", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64"):
        (lower / folder).mkdir(parents=True)
    for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64"):
        shutil.copy(library, lower / folder / "libnss_evil.so.2")
    (lower / "etc/nsswitch.conf").write_text("hosts: evil files\n")
    (lower / "etc/hosts").write_text("192.0.2.9 friend\n")
    assert await guests.run("wasmedge", "resolve", "friend", "80", "1") == ["1 2 1: 80 192.0.2.9"]


async def test_unix_sockets_without_blocking(guests: Sockets) -> None:
    (guests.box.folder / "lower/run").mkdir()
    again = NUMBERS["AGAIN"]
    assert await guests.run("wasmedge", "unix", "/run/s.sock") == [
        f"accept: {again}",
        f"read: {again}",
        "poll 1 1 0",
        "got across",
        "at /run/s.sock",
        "type 2 error 0",
    ]
    assert (guests.box.folder / guests.box.made[-1].container_id / "upper/run/s.sock").is_socket()


async def test_what_became_of_a_connection_and_waiting_for_all_kinds(guests: Sockets) -> None:
    assert await guests.run("wasmedge", "refused", "9") == [f"connect {REFUSED}"]
    assert await guests.run("wasmedge", "wait", "/guest.wasm") == [
        "with the file 1 0 1",
        "with the clock 0",
        "waited 1",
    ]


async def test_wamr(guests: Sockets) -> None:
    for family, host, shown in (("0", "127.0.0.1", "ready 0.0.0.0 81"), ("1", "::1", "ready ipv6 0..0")):
        server = await guests.start("wamr", "tcp", "81", family)
        assert await server.line() == shown
        connection = guests.network.connect(81, host)
        assert await asyncio.to_thread(exchange, connection, b"to and fro") == b"to and fro"
        assert (await server.rest())[1:] == [f"peer {family}", f"closed again: {NUMBERS['BADF']}"]
    server = await guests.start("wamr", "udp", "82")
    with guests.network.new_socket(kind=socket.SOCK_DGRAM) as client:
        client.sendto(b"0123456789", ("127.0.0.1", 82))
        assert await asyncio.to_thread(client.recv, 64) == b"0123456789"
        assert (await server.rest())[1:] == [f"from 127.0.0.1 {client.getsockname()[1]}"]
    assert await guests.run("wamr", "options") == [
        "reuse 1 timeout 1500000 linger 1 7 idle 42 no delay 1 ttl 64 loop 0 member 0"
    ]


async def test_wamr_calls_by_name(guests: Sockets) -> None:
    (guests.box.folder / "lower/etc").mkdir()
    (guests.box.folder / "lower/etc/hosts").write_text("127.0.0.1 friend\n")
    with guests.network.new_socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        waiting = asyncio.create_task(guests.run("wamr", "call", "friend", str(port)))
        connection, _ = await asyncio.to_thread(listening.accept)
        with connection:
            assert await asyncio.to_thread(connection.recv, 64) == b"hello\n"
            connection.sendall(b"well met\n")
        assert await waiting == ["found 1, type 1", f"first 127.0.0.1 {port}", "well met"]


async def test_preview1_finds_a_listener_for_each_port_behind_stdio(guests: Sockets) -> None:
    (guests.box.folder / "lower/note").write_text("a note in the image\n")
    server = await guests.start("listener", listen="8080/tcp,53/udp,80/tcp")
    assert await server.line() == "2 listeners, a note in the image"
    for port, host in ((8080, "::1"), (80, "127.0.0.1")):
        with guests.network.connect(port, host) as client:
            client.sendall(f"port {port}\n".encode())
            assert await asyncio.to_thread(client.recv, 64) == b"welcome\n"
            assert await asyncio.to_thread(client.recv, 64) == b""
    assert (await server.rest())[1:] == ["4: port 8080", "3: port 80", "no listener: -1 1"]
    assert await guests.run("listener") == ["0 listeners, a note in the image", "no listener: -1 1"]
    assert await guests.run("listener", listen="") == ["0 listeners, a note in the image", "no listener: -1 1"]


async def test_a_port_that_is_taken_is_told_at_create(guests: Sockets) -> None:
    with guests.network.new_socket() as taken:
        taken.bind(("127.0.0.1", 8181))
        taken.listen()
        with pytest.raises(FailedPrecondition, match=r"port 8181/tcp: Address already in use"):
            await guests.run("listener", listen="8181/tcp")


async def test_only_what_is_listed_can_be_listened_on(guests: Sockets) -> None:
    connected = f"connect: {REFUSED}"
    free = ["open: 0", "bind: 0", "listen: 0", "bind udp: 0", connected]
    assert await guests.run("wasmedge", "rights", "7000") == free
    assert await guests.run("wasmedge", "rights", "7000", listen="7000/tcp,7000/udp") == free
    half = ["open: 0", "bind: 0", "listen: 0", f"bind udp: {ACCES}", connected]
    assert await guests.run("wasmedge", "rights", "7000", listen="7000/tcp") == half
    none = ["open: 0", f"bind: {ACCES}", f"listen: {ACCES}", f"bind udp: {ACCES}", connected]
    assert await guests.run("wasmedge", "rights", "7000", listen="") == none
    # A port that the kernel chooses is one that nobody has listed either.
    any_port = ["open: 0", "bind: 0", f"listen: {ACCES}", "bind udp: 0", connected]
    assert await guests.run("wasmedge", "rights", "0", listen="7000/tcp") == any_port


async def test_no_network_is_no_sockets(guests: Sockets) -> None:
    nothing = [f"open: {NOTCAPABLE}", f"getaddrinfo: {NOTCAPABLE}"]
    own = {"namespaces": [*OTHERS, {"type": "network"}]}
    assert await guests.run("wasmedge", "rights", "7000", linux=own) == nothing
    assert await guests.run("wasmedge", "rights", "7000", listen="7000/tcp", linux=own) == nothing
    assert await guests.run("listener", listen="80/tcp", linux=own) == ["0 listeners, no note", "no listener: -1 1"]


async def test_the_hosts_network(guests: Sockets) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await guests.start("wasmedge", "tcp", str(port), "1", linux={"namespaces": OTHERS})
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        assert await asyncio.to_thread(exchange, connection, b"host") == b"host"
    assert (await server.rest())[-1] == "done"


async def test_a_network_that_is_younger_than_the_child(guests: Sockets, tmp_path: Path) -> None:
    """A spare child has its own mounts: it does not see what is pinned where mounts are private."""
    expected = ["open: 0", "bind: 0", "listen: 0", "bind udp: 0", f"connect: {REFUSED}"]
    assert await guests.run("wasmedge", "rights", "7000") == expected
    for number in range(3):  # the first may meet no spare child yet
        path = str(tmp_path / f"net{number}")
        netns.make(path)
        try:
            guests.network = NetworkNamespace(path)
            assert await guests.run("wasmedge", "rights", "7000") == expected
        finally:
            netns.remove(path)


@pytest.mark.parametrize(
    ("capabilities", "user", "sysctl", "allowed"),
    [
        (["CAP_NET_BIND_SERVICE"], 0, {}, True),
        ([], 0, {}, False),
        ([], 1000, {"net.ipv4.ip_unprivileged_port_start": "0"}, True),
    ],
)
async def test_low_ports_are_for_those_who_may(
    guests: Sockets, capabilities: list[str], user: int, sysctl: dict[str, str], allowed: bool
) -> None:
    with network_namespace() as fresh:  # its ports below 1024 are root's
        guests.network = fresh
        changes = {
            "process": {"user": {"uid": user, "gid": user}, "capabilities": {"effective": capabilities}},
            "linux": {
                "sysctl": sysctl,
                "cgroupsPath": "",
                "namespaces": [*OTHERS, {"type": "network", "path": fresh.path}],
            },
        }
        out = await guests.run("wasmedge", "rights", "80", listen="80/tcp", **changes)
        assert out[1] == ("bind: 0" if allowed else f"bind: {ACCES}")


BOTH = """
(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_open_v2" (func $open (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "memory" (memory 1 1 shared))
  (export "memory" (memory 0))
  (func (export "wasi_thread_start") (param i32 i32)
    (i32.store (i32.const 16) (call $open (i32.const 1) (i32.const 2) (i32.const 8)))
    (i32.atomic.store (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
  (func (export "_start")
    (if (i32.le_s (call $spawn (i32.const 0)) (i32.const 0)) (then (call $exit (i32.const 99))))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 30000000000)))
    (call $exit (i32.add (i32.mul (i32.load (i32.const 16)) (i32.const 10)) (i32.load (i32.const 8))))))
"""


async def test_a_thread_opens_a_socket(guests: Sockets) -> None:
    (guests.box.folder / "lower/both.wasm").write_text(BOTH)
    assert (await guests.box.run(**guests.changes(("both",), None))).code == 4  # after stdio and /
    none = {"namespaces": [*OTHERS, {"type": "network"}]}
    assert (await guests.box.run(**guests.changes(("both",), None, linux=none))).code == (NOTCAPABLE * 10) & 255


async def test_an_exec_is_in_the_same_network(guests: Sockets) -> None:
    server = await guests.start("wasmedge", "tcp", "83", "1")
    io = make_fifos(str(guests.box.state / "io" / "exec"), stdin=False, terminal=False)
    process = {"args": ["/wamr.wasm", "call", "127.0.0.1", "83", "0"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    other = await server.task.exec("e1", process, io)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_all(io.stdout))
        await other.start()
        assert (await other.wait()).code == 0
    assert out.result() == b"found 1, type 1\nfirst 127.0.0.1 83\nhello\n"
    await other.delete()
    assert (await server.rest())[-1] == "done"


async def test_what_the_spec_must_not_say(guests: Sockets) -> None:
    for wrong in ("http", "0/tcp", "65536", "80/icmp", "80/tcp,", "9" * 5000):
        with pytest.raises(InvalidArgument, match=LISTEN):
            await guests.run("listener", listen=wrong)
    for sysctl, linux in (("net.ipv4.x/../../y", {}), ("net.ipv4.ip_forward", {"namespaces": OTHERS})):
        with pytest.raises(InvalidArgument, match="sysctl"):
            await guests.run("listener", linux={"sysctl": {sysctl: "1"}, **linux})
    missing = {"namespaces": [*OTHERS, {"type": "network", "path": "/run/netns/none-of-ours"}]}
    with pytest.raises(FailedPrecondition, match="join the network"):
        await guests.run("listener", linux=missing)
