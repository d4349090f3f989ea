"""The Task service where the kernel refuses what it needs: each call is answered, and nothing is left of it."""

import errno
import gc
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wherry.errors import FailedPrecondition
from wherry.linux import cgroups
from wherry.shim import usage
from wherry.shim.reactor import Reactor
from wherry.shim.service import TaskService
from wherry.wire import task as api


class Call:
    """A call, and what it was answered."""

    def __init__(self, method: str, request: Any) -> None:
        self.request = SimpleNamespace(service=api.SERVICE, method=method, payload=request.encode())
        self.answers: list[Any] = []

    reply: Callable[..., None]

    def fail(self, error: BaseException) -> None:
        self.answers.append(error)


class Modules:
    """Finds a module only when it is told to, as if it had to be compiled."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def find(self, path: str, done: Any, *, fuel: bool = False) -> None:
        self.waiting.append(done)


class Nursery:
    def spawn(self, new: Any, cgroup: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("what", ["spawn", "page", "cgroup"])
def test_a_refusal_after_a_compilation_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if what == "page":
        monkeypatch.setattr(usage.os, "memfd_create", refuse)
    if what == "cgroup":
        monkeypatch.setattr(cgroups, "create", refuse)
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/m.wasm").touch()
    spec = {"ociVersion": "1.1.0", "process": {"args": ["/m.wasm"], "cwd": "/"}, "root": {"path": "rootfs"},
            "linux": {"cgroupsPath": "/x"} if what == "cgroup" else {}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(spec))
    modules: Any = Modules()
    parts: Any = (Nursery(), None, cgroups.Hierarchies("", frozenset(), {}), SimpleNamespace(arrived=lambda _: None))
    service = TaskService(Reactor(), modules, *parts, lambda: None)
    gc.collect()  # what earlier tests left open shall not go in between
    before = sorted(os.listdir("/proc/self/fd"))
    call: Any = Call("Create", api.CreateTaskRequest(id="c", bundle=str(tmp_path)))
    service.dispatch(call)
    assert (call.answers, list(service.containers)) == ([], ["c"])
    modules.waiting.pop()("/compiled", None)
    (error,) = call.answers
    assert isinstance(error, FailedPrecondition)
    assert "cannot create the task: " in str(error)
    assert service.containers == {}
    assert sorted(os.listdir("/proc/self/fd")) == before
