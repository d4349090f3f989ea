"""What the kernel itself lets a guest's process do with sockets, whatever code runs in it."""

import _thread
import errno
import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.linux.test_seccomp import ALLOW, REFUSED, call, run
from wherry.linux import bpf, landlock, seccomp
from wherry.linux.syscalls import X86_64
from wherry.shim import policy

OUTCOMES = dict[str, int]


def outcome(action: Callable[[], object]) -> int:
    """0 or the errno."""
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0


def confined(root: Path, tcp: landlock.TcpRules, program: bytes, actions: dict[str, Callable[[], object]]) -> OUTCOMES:
    """The outcome of each action in a process that has shut itself in as a guest's does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            landlock.confine(str(root), tcp=tcp)
            seccomp.install(program)
            os.write(writing, json.dumps({name: outcome(action) for name, action in actions.items()}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        told: OUTCOMES = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def attempts(port: int, other: int, path: Path) -> dict[str, Callable[[], object]]:
    def bind(port: int, kind: int = socket.SOCK_STREAM) -> None:
        with socket.socket(socket.AF_INET, kind) as made:
            made.bind(("127.0.0.1", port))

    def connect() -> None:
        with socket.socket() as made:
            made.connect(("127.0.0.1", other))

    def unix() -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path / "s"))

    return {
        "bind listed": lambda: bind(port),
        "bind other": lambda: bind(other),
        "bind any": lambda: bind(0),
        "udp": lambda: bind(0, socket.SOCK_DGRAM),
        "connect": connect,
        "unix": unix,
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
        "pair": socket.socketpair,
    }


def test_without_sockets_there_is_no_way_to_make_one(tmp_path: Path) -> None:
    plain, *_ = policy.programs()
    actions = attempts(free_port(), free_port(), tmp_path)
    told = confined(tmp_path, landlock.TcpRules((), connect=False), plain, actions)
    assert set(told.values()) == {errno.EPERM}


def test_listed_ports_and_no_others(tmp_path: Path) -> None:
    assert landlock.abi_version() >= 4
    _, sockets, *_ = policy.programs()
    port, other = free_port(), free_port()
    told = confined(tmp_path, landlock.TcpRules((0, port), connect=True), sockets, attempts(port, other, tmp_path))
    assert told == {
        "bind listed": 0,
        "bind other": errno.EACCES,
        "bind any": 0,
        "udp": 0,
        "connect": errno.ECONNREFUSED,
        "unix": 0,
        "netlink": errno.EPERM,
        "packet": errno.EPERM,
        "vsock": errno.EPERM,
        "pair": errno.EPERM,
    }


def test_any_port_but_no_calls(tmp_path: Path) -> None:
    _, sockets, *_ = policy.programs()
    port, other = free_port(), free_port()
    told = confined(tmp_path, landlock.TcpRules(None, connect=False), sockets, attempts(port, other, tmp_path))
    assert (told["bind listed"], told["bind other"], told["connect"]) == (0, 0, errno.EACCES)


@pytest.mark.parametrize("family", range(64))
def test_families_by_the_filter(family: int) -> None:
    conditions = {**policy.CONDITIONS, **policy.SOCKET_CONDITIONS}
    program = bpf.assemble(
        policy.ALLOWED | policy.SOCKET_CALLS, conditions, refused=policy.REFUSED, numbers=X86_64, machine="x86_64"
    )
    assert run(program, call(X86_64["socket"], family, 1)) == (ALLOW if family in (1, 2, 10) else REFUSED)
    assert run(program, call(X86_64["socketpair"], family, 1)) == REFUSED
    assert struct.calcsize("HBBI") * 4096 > len(program)


def test_only_a_filter_for_threads_lets_them_be_made_and_never_a_process(tmp_path: Path) -> None:
    plain, _, threads, _ = policy.programs()

    def start() -> None:
        done = threading.Lock()
        done.acquire()
        try:
            _thread.start_new_thread(done.release, ())
        except RuntimeError:
            raise OSError(errno.EPERM, "no thread") from None
        done.acquire()

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)

    attempted = {"thread": start, "fork": fork}
    rules = landlock.TcpRules((), connect=False)
    assert confined(tmp_path, rules, plain, attempted) == {"thread": errno.EPERM, "fork": errno.EPERM}
    assert confined(tmp_path, rules, threads, attempted) == {"thread": 0, "fork": errno.EPERM}
