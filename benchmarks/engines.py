"""Engines of a run alone: a private wherryd, and a private dockerd where there is one."""

import contextlib
import io
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks import proc
from benchmarks.engine_api import EngineApi
from benchmarks.programs import Programs, wherry
from wherry.daemon import config
from wherry.errors import FailedPrecondition

_DOCKERFILE = 'FROM scratch\nCOPY {0}.wasm /{0}.wasm\nENTRYPOINT ["/{0}.wasm"]\n'


# $0 are registries' configurations; a registry ends with dockerd.
_INSIDE: Final = """ip link set lo up
IFS=:
for file in $0; do setpriv --pdeathsig KILL docker-registry serve "$file" & done
exec "$@"
"""
_APART: Final = ("unshare", "--net", "--mount")
"""Network and mount namespaces of its own: an engine's bridge, firewall rules and mounts go with it."""


@contextlib.contextmanager
def wherryd(folder: str, environ: Mapping[str, str], *, apart: bool = False) -> Iterator["Wherryd"]:
    """A wherryd on a root of its own, ``apart`` with networks of its own; stopped with all its containers and its shim
    in the end."""
    socket_path = os.path.join(folder, "wherry.sock")
    options = ["--root", os.path.join(folder, "wherry"), "--host", f"unix://{socket_path}"]
    command = [*(_APART if apart else ()), sys.executable, "-P", "-m", "wherry.daemon", *options]
    with proc.Background(command, os.path.join(folder, "wherryd.log"), environ) as background:
        engine = Wherryd(background.pid, socket_path, os.path.join(folder, "wherry"), folder, environ)
        background.until(engine.api.answers, 30, "wherryd does not come up")
        try:
            yield engine
        finally:
            for container in engine.api.call("GET", "/containers/json?all=1"):
                engine.api.remove(container["Id"])
    shutil.rmtree(config.parse(options, {}, os.geteuid()).state, ignore_errors=True)


class Wherryd:
    """A running engine: ``root`` holds its store."""

    def __init__(self, pid: int, socket_path: str, root: str, folder: str, environ: Mapping[str, str]) -> None:
        self.pid = pid
        self.root = root
        self.api = EngineApi(socket_path)
        self.environ = {**environ, "WHERRY_HOST": f"unix://{socket_path}"}
        self._folder = folder

    def build(self, name: str, module: str) -> None:
        """The three-line image of a module, by the CLI."""
        context = os.path.join(self._folder, f"context-{name}")
        os.makedirs(context)
        shutil.copy(module, os.path.join(context, f"{name}.wasm"))
        with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as file:
            file.write(_DOCKERFILE.format(name))
        proc.run([*wherry(), "build", "-t", name, context], self.environ, f"building the image {name}")


@contextlib.contextmanager
def dockerd(
    folder: str, environ: Mapping[str, str], programs: Programs, *, serving: Sequence[str] = ()
) -> Iterator[EngineApi]:
    """A dockerd with its default settings and the image ``hello``, apart, with a docker-registry in its network by each
    of the configurations ``serving``. FailedPrecondition: there is none, or it does not come up."""
    missing = [name for name in ("dockerd", "runc", "unshare") if shutil.which(name, path=_path(environ)) is None]
    if missing or os.geteuid() != 0:
        raise FailedPrecondition(f"no {' and no '.join(missing)} here" if missing else "dockerd needs root")
    base = os.path.join(folder, "docker")
    os.makedirs(base)
    socket_path = os.path.join(base, "docker.sock")
    command = [
        *_APART,
        "sh",
        "-c",
        _INSIDE,
        ":".join(serving),
        "dockerd",
        "--data-root",
        f"{base}/data",
        "--exec-root",
        f"{base}/exec",
    ]
    command += ["--pidfile", f"{base}/pid", "--config-file", f"{base}/none.json", "--host", f"unix://{socket_path}"]
    with open(f"{base}/none.json", "w", encoding="utf-8") as file:
        file.write("{}")
    with proc.Background(command, f"{base}/log", {**environ, "PATH": _path(environ)}) as background:
        api = EngineApi(socket_path)
        background.until(api.answers, 60, "dockerd does not come up")
        api.import_image("hello", rootfs(programs.native), "/hello")
        yield api


@contextlib.contextmanager
def both(
    folder: str, environ: Mapping[str, str], programs: Programs
) -> Iterator[tuple["Wherryd", Mapping[str, EngineApi], str]]:
    """A wherryd apart and, where one comes up, a dockerd: the first, what to ask of each by name, and why there is only
    one, if there is."""
    with contextlib.ExitStack() as stack:
        engines: dict[str, EngineApi] = {}
        with contextlib.suppress(FailedPrecondition):
            engines["dockerd"] = stack.enter_context(dockerd(folder, environ, programs))
        why = "" if engines else "no dockerd here"
        engine = stack.enter_context(wherryd(folder, environ, apart=True))
        yield engine, {**engines, "wherryd": engine.api}, why


def _path(environ: Mapping[str, str]) -> str:
    return environ.get("PATH", "") + ":/usr/sbin:/sbin"


def rootfs(native: str) -> bytes:
    """A tar with the one program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(native, "hello")
    return buffer.getvalue()
