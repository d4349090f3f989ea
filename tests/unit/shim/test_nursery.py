"""Children that do not come to be: nothing of them is left, neither a descriptor nor a process."""

import errno
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wasmtime

import wherry.shim.modules
from wherry.errors import FailedPrecondition, InvalidArgument, Unavailable, WherryError
from wherry.linux import cgroups
from wherry.linux.steps import Area
from wherry.shim import nursery as nurseries
from wherry.shim.birth import REQUEST, REST, Command, Requested, Sandbox
from wherry.shim.modules import Modules
from wherry.shim.nursery import Newborn, Nursery
from wherry.shim.reactor import Reactor
from wherry.shim.stdio import Paths, Stdio
from wherry.shim.usage import Page
from wherry.shim.zygote import Zygote
from wherry.wasm.program import Traits

NO_CGROUP = cgroups.Cgroup({})
AREA = Area()
FILTERS = (b"", b"", b"", b"")


def newborn(reactor: Reactor, *args: str, network: str = "") -> Newborn:
    sandbox = Sandbox("/rootfs", (), (), False, "", 0, network)
    command = Command("/m.wasm", "", args, (), "/", False, None, 0, 0, (), None, frozenset(), ())
    stdio = Stdio(reactor, Paths("", "", "", False))
    return Newborn("c", sandbox, command, "/m", stdio, Page(), lambda *_: None, lambda _: None)


def let_go(new: Newborn) -> None:
    new.stdio.after_clone()
    new.stdio.release()
    new.page.close()


@contextmanager
def nothing_left() -> Iterator[None]:
    gc.collect()  # what earlier tests left open shall not go in between
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


def refuse(*_: object, **__: object) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_what_is_too_long_to_tell_is_refused_before_anything_is_made() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        leader: Any = SimpleNamespace(pid=os.getpid())
        with nothing_left():
            new = newborn(reactor, "x" * (1 << 18))
            with pytest.raises(InvalidArgument, match="256 KiB"):
                nursery.spawn(new, NO_CGROUP)
            with pytest.raises(InvalidArgument, match="256 KiB"):
                nursery.spawn_beside(new, leader, NO_CGROUP)
            let_go(new)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


@pytest.mark.parametrize("what", ["pipe2", "zygote"])
def test_a_kernel_that_refuses(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        monkeypatch.setattr(Zygote, "bury", lambda _: None)
        theirs.close()
        if what == "pipe2":
            pipes = iter([os.pipe2])
            monkeypatch.setattr(nurseries.os, "pipe2", lambda flags: next(pipes, refuse)(flags))
        with nothing_left():
            new = newborn(reactor)
            with pytest.raises(OSError, match="Too many open files"):
                nursery.spawn(new, NO_CGROUP)
            let_go(new)


def test_a_zygote_is_sent_to_rest_if_it_is_there() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        nursery = Nursery(Reactor(), Zygote(0, ours, AREA), refuse, FILTERS)
        nursery.rest()
        assert Requested(*REQUEST.unpack(theirs.recv(1 << 10))) == Requested(REST, *[0] * 13)
        theirs.close()
        nursery.rest()  # neither an error nor another zygote


def test_one_timer_looks_after_the_spares_however_many_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        timers: list[tuple[float, Any]] = []
        reactor: Any = SimpleNamespace(later=lambda seconds, callback: timers.append((seconds, callback)))
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        monkeypatch.setattr(nursery, "_ask", lambda *_: None)
        monkeypatch.setattr(nursery, "_abandon", lambda _: None)
        now = [100.0]
        monkeypatch.setattr(nurseries.time, "monotonic", lambda: now[0])
        for _ in range(5):  # containers, each of which takes the spare
            nursery._spares.clear()
            nursery._want(0)
            timers.remove((nurseries._REFILL_AFTER, nursery._refill))
            nursery._refill()
            now[0] += 1
        assert timers == [(nurseries._KEPT_FOR, nursery._drop_if_idle)]
        timers.clear()
        nursery._drop_if_idle()
        assert timers == [(nurseries._KEPT_FOR - 1, nursery._drop_if_idle)]
        assert len(nursery._spares) == 1
        timers.clear()
        now[0] += nurseries._KEPT_FOR
        nursery._drop_if_idle()
        assert (timers, nursery._spares) == ([], [])


@pytest.mark.parametrize("refused", ["open", "pidfd_open"])
def test_a_further_process_without_descriptors_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        leader: Any = SimpleNamespace(pid=os.getpid())
        with nothing_left():
            new = newborn(reactor)
            with monkeypatch.context() as patch:
                patch.setattr(nurseries.os, refused, refuse)
                with pytest.raises(OSError, match="Too many open files"):
                    nursery.spawn_beside(new, leader, cgroups.Cgroup({"": str(tmp_path)}))
            let_go(new)


def test_a_spare_that_died_is_waited_for_and_nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nurseries, "_REFILL_AFTER", 600.0)  # no other spare comes meanwhile
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        with nothing_left():
            new = newborn(reactor)
            nursery._refill()
            (spare,) = nursery._spares
            _, descriptors, *_ = socket.recv_fds(theirs, 4096, 8)
            os.write(descriptors[0], b"P" + pid.to_bytes(4, "little"))
            for fd in descriptors:
                os.close(fd)
            nursery._spares[:] = [
                nurseries._Spare(new.sandbox.flags | nursery._user_namespace, frozenset({"/m"}), *tuple(spare)[2:])
            ]
            process = nursery.spawn(new, NO_CGROUP)
            _, descriptors, *_ = socket.recv_fds(theirs, 4096, 8)
            for fd in descriptors:
                os.close(fd)

            def look() -> None:
                # The second is not there either, and hears so; the first is waited for.
                if process.reaped and not os.path.exists(f"/proc/{pid}/status"):
                    reactor.stop()
                else:
                    reactor.later(0.01, look)

            look()
            reactor.run()
            let_go(new)
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)


def test_what_is_known_of_modules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        monkeypatch.setattr(nurseries, "traits_of", lambda _: Traits())
        most = nurseries.MOST_PROGRAMS
        for number in range(2 * most):
            nursery._has_loaded(f"/m{number}")
        nursery._has_loaded(f"/m{most}")  # the oldest, and now the latest
        nursery._has_loaded("/new")
        assert (
            nursery._modules
            == frozenset(nursery._loaded)
            == {f"/m{n}" for n in range(most, 2 * most)} - {f"/m{most + 1}"} | {"/new"}
        )
        monkeypatch.setattr(nurseries, "_MOST_TRAITS", 3)
        new = newborn(reactor)
        for number in range(10):
            nursery._traits_of(Newborn(*new[:3], f"/m{number}", *new[4:]), beside=False)
            assert len(nursery._traits) <= 4
        let_go(new)


def test_files_of_compiled_modules_are_remembered_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = Modules(Reactor(), [os.path.dirname(os.path.dirname(wasmtime.__file__))], str(tmp_path))
    monkeypatch.setattr(wherry.shim.modules, "_MOST_KNOWN", 3)
    monkeypatch.setattr(modules._caches[False], "find", lambda digest: f"/compiled/{digest}")
    module = tmp_path / "m.wasm"
    found: list[str] = []
    for text in "abcdef":
        module.write_text(text)
        modules.find(str(module), lambda path, _: found.append(path))
        assert len(modules._compiled) <= 3
    assert len(set(found)) == 6


def test_a_compiler_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[WherryError | None] = []
    reactor = Reactor()
    module = tmp_path / "m.wasm"
    module.touch()
    modules = Modules(reactor, [os.path.dirname(os.path.dirname(wasmtime.__file__))], str(tmp_path / "cache"))
    monkeypatch.setattr(os, "posix_spawn", refuse)
    with nothing_left():
        modules.find(str(module), lambda _, error: heard.append(error))
    assert isinstance(heard[0], Unavailable)
    assert "cannot run the compiler" in str(heard[0])


def test_a_network_that_is_not_there() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        reactor = Reactor()
        nursery = Nursery(reactor, Zygote(0, ours, AREA), refuse, FILTERS)
        with nothing_left():
            new = newborn(reactor, network="/nowhere")
            with pytest.raises(FailedPrecondition, match="cannot join the network /nowhere"):
                nursery.spawn(new, NO_CGROUP)
            let_go(new)
