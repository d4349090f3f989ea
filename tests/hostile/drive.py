"""Runs the attempts in containers of a hostile shim, as whoever runs this: ``drive.py whole|bare FOLDER``; prints JSON.

``first`` is the first container of a group, whose child was cloned for it; ``spare`` one whose child was there before;
``exec`` another module in a container; ``user`` one of another user than root; ``online`` one whose module imports
sockets, in the host's network; ``threads`` one whose module imports threads.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

from tests.fifos import read_to_end
from wherry.core.tasks.fifos import FifoReader, make_fifos
from wherry.core.tasks.runtimes import RuntimeTable
from wherry.core.tasks.shim_tasks import ShimTasks, TasksConfig
from wherry.core.tasks.tasks import NewTask
from wherry.errors import NotFound
from wherry.linux.syscalls import syscall
from wherry.oci.mount import Mount

HERE = Path(__file__).parent
SHIM = """#!{python}
import sys
sys.path[:0] = {path!r}
from wherry.shim import __main__, command
command._BOOTSTRAP = (
    "import sys;w=sys.argv[1:];sys.path[:0]=[{here!r},*w[0].split(':')];sys.argv.append({variant!r});"
    "import hostile_child;from wherry.shim.serve import main;main(*w)"
)
sys.exit(__main__.main())
"""
MODULE = '(module (memory (export "memory") 1) (func (export "_start")))'
WITH_SOCKETS = """(module
    (import "wasi_snapshot_preview1" "sock_shutdown" (func (param i32 i32) (result i32)))
    (memory (export "memory") 1) (func (export "_start")))"""
WITH_THREADS = """(module
    (import "wasi" "thread-spawn" (func (param i32) (result i32)))
    (import "env" "memory" (memory 1 2 shared)) (export "memory" (memory 0))
    (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start")))"""
DEADLINE = 120
TRIES = 20
PORT = 28399
NAMESPACES = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
ONLINE = {"dev.wherry.listen": f"{PORT}/tcp", "dev.wherry.cap-drop": "network"}


class Driver:
    def __init__(self, tasks: ShimTasks, folder: Path, variant: str) -> None:
        self.tasks, self.folder, self.variant = tasks, folder, variant
        self.secret = folder / "secret"
        self.abstract = f"wherry-{os.getpid()}"
        self.listener = 0

    def words(self, module: str = "/guest.wat") -> list[str]:
        numbers = (str(self.listener), str(PORT))
        return [module, self.variant, str(os.getpid()), str(self.secret), self.abstract, *numbers]

    async def create(self, name: str, words: list[str], *, uid: int = 0, **changes):
        lower, upper, work = self.folder / "lower", self.folder / name / "upper", self.folder / name / "work"
        for path in (upper, work):
            path.mkdir(parents=True)
        mounts = [
            {"destination": "/ro", "type": "bind", "source": str(self.folder / "volume"), "options": ["rbind", "ro"]},
            {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "mode=1777"]},
        ]
        granted = ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"]
        spec = {
            "ociVersion": "1.1.0",
            "process": {"args": words, "cwd": "/", "user": {"uid": uid, "gid": uid},
                        "capabilities": {"effective": granted, "permitted": granted, "bounding": granted}},
            "root": {"path": "rootfs"},
            "mounts": mounts,
            "linux": {"namespaces": [*NAMESPACES, {"type": "network"}], **changes.pop("linux", {})},
        }  # fmt: skip
        options = (f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}")
        io = make_fifos(str(self.folder / "io" / name), stdin=True, terminal=False)
        new = NewTask(name, "io.containerd.wherry.v1", spec | changes, [Mount("overlay", "overlay", options)], io)
        return await self.tasks.create(new)

    async def run(self, task) -> dict:
        out, err, code = await ended(task, task.io)
        await task.delete()
        return {**answers(out), "": {"code": code, "stderr": err.decode(), "pid": task.pid}}

    async def spare(self, neighbour: int) -> dict:
        """The answers of a container whose process was there before it."""
        for number in range(TRIES):
            before = await spares_beside(neighbour)
            task = await self.create(f"spare{number}", self.words())
            if task.pid in before:
                return await self.run(task)
            await task.delete()
        raise AssertionError(f"none of {TRIES} containers was made of a spare")

    async def exec(self, name: str) -> dict:
        task = await self.create(name, ["/guest.wat", "wait"])
        await task.start()
        io = make_fifos(str(self.folder / "io" / "exec"), stdin=False, terminal=False)
        process = {"args": self.words(), "cwd": "/", "user": {"uid": 0, "gid": 0}}
        other = await task.exec("e1", process, io)
        out, err, code = await ended(other, io)
        await other.delete()
        await task.kill(signal.SIGKILL)
        await task.wait()
        await task.delete()
        return {**answers(out), "": {"code": code, "stderr": err.decode()}}


async def ended(process, io) -> tuple[bytes, bytes, int]:
    # Before the start: of one that has ended by then no reader would ever see a writer.
    readers = [FifoReader(path) for path in (io.stdout, io.stderr)]
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out, err = (group.create_task(read_to_end(reader)) for reader in readers)
        await process.start()
        status = await process.wait()
    return out.result(), err.result(), status.code


def answers(out: bytes) -> dict:
    return dict(line.split("\t") for line in out.decode().splitlines())


def prepare(folder: Path, variant: str) -> None:
    """The image, a volume, a secret beside them, and the shim."""
    for name in ("lower", "volume", "state", "io", "bin"):
        (folder / name).mkdir(mode=0o700)
    (folder / "lower").chmod(0o755)
    for name, text in (("guest", MODULE), ("sockets", WITH_SOCKETS), ("threads", WITH_THREADS)):
        (folder / f"lower/{name}.wat").write_text(text)
    (folder / "lower/way-out").symlink_to("/proc/1/root/etc/passwd")
    (folder / "volume/note").write_text("note")
    (folder / "volume").chmod(0o755)
    (folder / "volume/program").write_bytes(Path("/bin/true").read_bytes())
    (folder / "volume/program").chmod(0o755)
    (folder / "secret").write_text("secret")
    if os.geteuid() == 0:
        for path in (folder / "lower/zero", folder / "volume/zero"):
            os.mknod(path, 0o020666, os.makedev(1, 5))
    shim = folder / "bin/containerd-shim-wherry-v1"
    path = [entry for entry in sys.path if entry]
    shim.write_text(SHIM.format(python=sys.executable, path=path, here=str(HERE), variant=variant))
    shim.chmod(0o755)


async def drive(variant: str, folder: Path) -> dict:
    prepare(folder, variant)
    path = [str(folder / "bin"), *os.environ["PATH"].split(":")]
    environ = {"PATH": ":".join(path), "WHERRY_CACHE": str(folder / "compiled"), "XDG_RUNTIME_DIR": str(folder)}
    config = TasksConfig(str(folder / "state"), RuntimeTable(path), environ, namespace="hostile", publisher="/bin/true")
    tasks = await ShimTasks.open(config)
    driver = Driver(tasks, folder, variant)
    give_a_key()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket() as tcp:
        listening.bind("\0" + driver.abstract)
        listening.listen()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        driver.listener = tcp.getsockname()[1]
        found = {"first": await driver.run(await driver.create("first", driver.words()))}
        waiting = await driver.create("waiting", ["/guest.wat", "wait"])
        await waiting.start()
        found["limits"] = Path(f"/proc/{waiting.pid}/limits").read_text()
        found["status"] = Path(f"/proc/{waiting.pid}/status").read_text()
        found["spare"] = await driver.spare(waiting.pid)
        found["exec"] = await driver.exec("beside")
        found["user"] = (
            await driver.run(await driver.create("user", driver.words(), uid=65534)) if not os.geteuid() else {}
        )
        online = {"linux": {"namespaces": NAMESPACES}, "annotations": ONLINE}
        found["online"] = await driver.run(await driver.create("online", driver.words("/sockets.wat"), **online))
        found["threads"] = await driver.run(await driver.create("threads", driver.words("/threads.wat")))
        found["compiled"] = [path.stat().st_ino for path in (folder / "compiled").glob("*.cwasm")]
        if not os.geteuid():
            limited = {"cgroupsPath": f"/wherrytest/bomb{os.getpid()}", "resources": {"pids": {"limit": 20}}}
            found["bomb"] = await driver.run(await driver.create("bomb", ["/guest.wat", "bomb"], linux=limited))
        found["native"] = await driver.run(await driver.create("native", ["/guest.wat", "native"]))
    with contextlib.suppress(NotFound):
        await waiting.kill(signal.SIGKILL)
        await waiting.wait()
    await waiting.delete()
    await tasks.close()
    return found


def give_a_key() -> None:
    """A secret in the session keyring of whoever starts the shim."""
    words = (ctypes.c_char_p(b"user"), ctypes.c_char_p(b"wherry-host-secret"), ctypes.c_char_p(b"secret"))
    syscall("add_key", *words, ctypes.c_size_t(6), ctypes.c_int(-3))


async def spares_beside(pid: int) -> set[int]:
    """The children of ``pid``'s parent, once there is one in namespaces that is not ``pid``."""
    server = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    own = os.readlink("/proc/self/ns/pid")
    async with asyncio.timeout(DEADLINE):
        while True:
            children = {int(word) for word in Path(f"/proc/{server}/task/{server}/children").read_text().split()}
            with contextlib.suppress(OSError):
                found = {child for child in children - {pid} if os.readlink(f"/proc/{child}/ns/pid") != own}
                if found:
                    return found
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(sys.argv[1], Path(sys.argv[2])))))
