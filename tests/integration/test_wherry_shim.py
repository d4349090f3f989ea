"""Guests in the real shim: what they see of the sandbox, and how each way of ending is told."""

import asyncio
import hashlib
import os
import signal
from pathlib import Path

import pytest

from tests.fifos import read_all, read_to_end
from tests.integration.shim_box import DEADLINE, Box, open_box
from tests.zig import compile_with_names
from wherry.core.tasks.fifos import FifoReader, FifoWriter, make_fifos
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.linux import mounts

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_with_names(DATA / "shim_guest.c", tmp_path_factory.mktemp("guest") / "guest.wasm")


def shim_of(pid: int) -> int:
    """The server that a task's process is a child of."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def zygote_of(shim: int) -> int:
    """The guests were cloned from it, and have its name: it is the one in the shim's own namespaces."""
    children = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
    found = [pid for pid in children if os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{shim}/ns/pid")]
    (zygote,) = [pid for pid in found if Path(f"/proc/{pid}/comm").read_text() == "wherry-zygote\n"]
    return int(zygote)


@pytest.mark.parametrize("code", [0, 1, 126, 134, 137, 255])
async def test_every_exit_code_arrives(box: Box, code: int) -> None:
    assert (await box.run("exit", str(code))).code == code


async def test_a_trap_is_134_with_its_story_on_stderr(box: Box) -> None:
    ended = await box.run("trap")
    assert ended.code == 134
    assert ended.err.startswith("wasm trap: wasm `unreachable` instruction executed\n")
    assert "wasm backtrace:" in ended.err
    assert "main" in ended.err


async def test_endless_recursion_is_a_trap_like_any_other(box: Box) -> None:
    ended = await box.run("recurse")
    assert (ended.code, ended.err.splitlines()[0]) == (134, "wasm trap: call stack exhausted")


async def test_the_guest_sees_its_image_and_nothing_else(box: Box) -> None:
    assert (await box.run("list", "/")).out == "guest.wasm\n"
    ended = await box.run("look", "/etc/passwd", "/proc/self/maps", "/../../etc/passwd", "../etc/passwd", "/dev/null")
    refusals = {"No such file or directory", "Operation not permitted", "Capabilities insufficient"}
    assert {line.partition(": ")[2] for line in ended.out.splitlines()} <= refusals
    ended = await box.run("links")
    assert "outside: made" not in ended.out
    assert "opened" not in ended.out


async def test_environment_working_directory_and_volumes(box: Box, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "note").write_text("from the host\n")
    mounts = [
        {"destination": "/data/rw", "type": "bind", "source": str(shared), "options": ["rbind", "rw"]},
        {"destination": "/ro", "type": "bind", "source": str(shared), "options": ["rbind", "ro"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]},
    ]
    coloured = {"args": ["/guest.wasm", "env", "COLOUR"], "env": ["COLOUR=red"]}
    assert (await box.run(process=coloured)).out == "red\n"
    ended = await box.run("look", "/ro/note", "/data/rw/note", mounts=mounts)
    assert ended.out == "/ro/note: from the host\n/data/rw/note: from the host\n"
    ended = await box.run("put", "/ro/x", "/data/rw/x", "/scratch/x", "/y", mounts=mounts)
    assert ended.out.splitlines()[1:] == ["/data/rw/x: ok", "/scratch/x: ok", "/y: ok"]
    assert "ok" not in ended.out.splitlines()[0]
    assert (shared / "x").read_text() == "written\n"
    process = {"args": ["/guest.wasm", "look", "note"], "cwd": "/data/rw"}
    assert (await box.run(process=process, mounts=mounts)).out == "note: from the host\n"


async def test_a_volume_that_was_mounted_a_moment_ago(box: Box, tmp_path: Path) -> None:
    """A spare child, cloned before, would see the empty folder below it."""
    linux = {"cgroupsPath": ""}
    for number in range(3):  # the first may meet no spare child yet
        folder = tmp_path / f"volume{number}"
        folder.mkdir()
        assert (await box.run("exit", "0", linux=dict(linux))).code == 0
        mounts.mount("tmpfs", str(folder), "tmpfs", 0)
        try:
            (folder / "note").write_text("there\n")
            volume = {"destination": "/v", "type": "bind", "source": str(folder), "options": ["rbind"]}
            ended = await box.run("look", "/v/note", mounts=[volume], linux=dict(linux))
            assert ended.out == "/v/note: there\n"
        finally:
            mounts.umount(str(folder), 0)


async def test_a_read_only_root_stays_as_it_is(box: Box) -> None:
    ended = await box.run("put", "/x", root={"readonly": True})
    assert "ok" not in ended.out
    assert not (box.folder / box.made[0].container_id / "upper/x").exists()


async def test_writes_stay_in_the_containers_own_layer(box: Box) -> None:
    assert (await box.run("put", "/x")).out == "/x: ok\n"
    assert (await box.run("look", "/x")).out == "/x: No such file or directory\n"
    assert (box.folder / box.made[0].container_id / "upper/x").read_text() == "written\n"


async def test_a_guests_memory_ends_below_its_containers_limit(box: Box) -> None:
    ended = await box.run("eat", linux={"resources": {"memory": {"limit": 48 << 20}}, "cgroupsPath": "/wherrytest/eat"})
    assert (ended.code, ended.out[:13]) == (3, "no more after")


async def test_a_container_over_its_memory_limit_is_killed_and_that_is_told(box: Box) -> None:
    events = box.tasks.events()
    scratch = {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1g"]}
    limits = {"resources": {"memory": {"limit": 48 << 20}}, "cgroupsPath": "/wherrytest/oom"}
    ended = await box.run("fill", "/scratch/x", mounts=[scratch], linux=limits)
    assert ended.code == 137
    topics = []
    async with asyncio.timeout(DEADLINE):
        async for event in events:
            topics.append(event.topic)
            if event.topic == "/tasks/exit":
                break
    assert topics[-2:] == ["/tasks/oom", "/tasks/exit"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGUSR1])
async def test_signals_end_a_spinning_guest(box: Box, number: signal.Signals) -> None:
    task = await box.create("spin")
    reader = FifoReader(task.io.stdout)
    await task.start()
    async with asyncio.timeout(DEADLINE):
        assert await reader.read() == b"spinning\n"
        await task.kill(number)
        assert (await task.wait()).code == 128 + number
    reader.close()


async def test_a_terminal_has_both_ends(box: Box) -> None:
    task = await box.create("tty", stdin=True, terminal=True, process={"args": ["/guest.wasm", "tty"]})
    reader, writer = FifoReader(task.io.stdout), FifoWriter(task.io.stdin)
    await task.start()
    seen = b""
    async with asyncio.timeout(DEADLINE):
        while b"tty 1 1" not in seen:
            seen += await reader.read()
        await task.resize(100, 40)
        await writer.write(b"hello\n")
        while b"got hello" not in seen:
            seen += await reader.read()
        await writer.write(b"\x04")
        assert (await task.wait()).code == 5
        while data := await reader.read():
            seen += data
    writer.close()
    reader.close()
    assert seen.count(b"hello\r\n") == 2  # echoed by the terminal, and by the guest


async def test_another_module_runs_in_the_same_sandbox(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    io = make_fifos(str(box.state / "io" / "exec"), stdin=False, terminal=False)
    process = {"args": ["/guest.wasm", "put", "/from-exec"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    other = await task.exec("e1", process, io)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        out = group.create_task(read_to_end(FifoReader(io.stdout)))
        err = group.create_task(read_to_end(FifoReader(io.stderr)))
        await other.start()
        assert (await other.wait()).code == 0
    assert (out.result(), err.result()) == (b"/from-exec: ok\n", b"")
    assert (box.folder / task.container_id / "upper/from-exec").exists()
    await other.delete()
    with pytest.raises(NotFound, match="no such file"):
        await task.exec("e2", process | {"args": ["/nope"]}, io)
    assert (await task.state()).status == "running"


async def test_its_end_is_told_though_another_process_was_about_to_be_born_in_it(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    zygote = zygote_of(shim_of(task.pid))
    os.kill(zygote, signal.SIGSTOP)
    io = make_fifos(str(box.state / "io" / "exec"), stdin=False, terminal=False)
    process = {"args": ["/guest.wasm", "args"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    try:
        async with asyncio.timeout(DEADLINE):
            late = asyncio.create_task(task.exec("e1", process, io))
            await asyncio.sleep(0)  # its call is sent before the next one
            await task.kill(signal.SIGKILL)
            assert (await task.wait()).code == 137
    finally:
        os.kill(zygote, signal.SIGCONT)
    with pytest.raises(WherryError):
        await late
    assert (await box.run("exit", "3")).code == 3


async def test_an_idle_shim_gives_back_the_code_it_does_not_need(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    shim = shim_of(task.pid)
    pids = (shim, zygote_of(shim))
    before = [mapped_of_files(pid) for pid in pids]
    async with asyncio.timeout(DEADLINE):
        while not all(mapped_of_files(pid) < most / 2 for pid, most in zip(pids, before, strict=True)):
            await asyncio.sleep(0.1)
    assert (await task.state()).status == "running"
    assert (await box.run("exit", "3")).code == 3
    io = make_fifos(str(box.state / "io" / "exec"), stdin=False, terminal=False)
    with pytest.raises(NotFound, match="no such file"):
        await task.exec("e", {"args": ["/nope"], "cwd": "/", "user": {"uid": 0, "gid": 0}}, io)


def mapped_of_files(pid: int) -> int:
    """KiB of files, code mostly, that a process has mapped."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("RssFile:")[2].split()[0])


async def test_what_is_no_module_is_refused_in_one_line(box: Box) -> None:
    (box.folder / "lower/text.wasm").write_text("#include <stdio.h>\n")
    (box.folder / "lower/import.wat").write_text('(module (import "env" "magic" (func)) (func (export "_start")))')
    for path, message in (("/text.wasm", "not a WebAssembly module"), ("/import.wat", "env.magic")):
        with pytest.raises(InvalidArgument, match=message) as raised:
            await box.create(process={"args": [path]})
        assert "\n" not in str(raised.value)
    with pytest.raises(InvalidArgument, match="is a directory"):
        await box.create(process={"args": ["/"]})
    assert (await box.run("exit", "0")).code == 0


async def test_a_guest_that_dies_at_its_start_section_has_started(box: Box) -> None:
    (box.folder / "lower/start.wat").write_text('(module (func $s unreachable) (start $s) (func (export "_start")))')
    ended = await box.run(process={"args": ["/start.wat"]})
    assert (ended.code, ended.err.splitlines()[0]) == (134, "wasm trap: wasm `unreachable` instruction executed")


async def test_output_nobody_read_yet_is_kept_through_the_guests_end(box: Box) -> None:
    task = await box.create("exit", "7")
    waiting = await box.create("look", "/guest.wasm", "/none")
    for started in (task, waiting):
        await started.start()
        async with asyncio.timeout(DEADLINE):
            await started.wait()
    async with asyncio.timeout(DEADLINE):
        assert b"/none: No such file or directory\n" in await read_all(waiting.io.stdout)


async def test_a_dead_zygote_is_replaced_and_nobody_suffers(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    os.kill(zygote_of(shim_of(task.pid)), signal.SIGKILL)
    assert (await box.run("exit", "5")).code == 5
    assert (await task.state()).status == "running"


async def test_a_dead_shim_takes_its_guests_along_and_is_told(box: Box) -> None:
    task = await box.create("spin")
    await task.start()
    os.kill(shim_of(task.pid), signal.SIGKILL)
    async with asyncio.timeout(DEADLINE):
        assert (await task.wait()).code == 137
    assert (await box.run("exit", "3")).code == 3  # a new server takes over


async def test_compiled_code_that_was_replaced_in_place_is_loaded_anew(guest: Path, tmp_path: Path) -> None:
    """As by a restored backup: the name and the inode are the same, and the shim has the old code mapped."""
    cache = tmp_path / "cache"
    async with open_box(guest, cache, tmp_path) as box:
        assert (await box.run("exit", "3")).code == 3
        (code,) = cache.glob(f"{hashlib.sha256(guest.read_bytes()).hexdigest()}*.cwasm")
        leave = '(import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32)))'
        run = '(func (export "_start") (call $e (i32.const 9)))'
        (tmp_path / "lower/other.wat").write_text(f'(module {leave} (memory (export "memory") 1) {run})')
        before = set(cache.glob("*.cwasm"))
        assert (await box.run(process={"args": ["/other.wat"]})).code == 9
        (other,) = set(cache.glob("*.cwasm")) - before
        inode = code.stat().st_ino
        code.write_bytes(other.read_bytes())
        code.with_suffix(".info").write_bytes(other.with_suffix(".info").read_bytes())
        assert code.stat().st_ino == inode
        assert (await box.run("exit", "3")).code == 9
