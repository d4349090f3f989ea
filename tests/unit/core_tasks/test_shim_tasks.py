"""The driver against shims that are made up here: groups, lost connections, shims that lie, hang and die."""

import asyncio
import json
import os
import shutil
import socket
import stat
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nonblocking import nothing_blocks
from wherry import errors
from wherry.core.tasks.bundle import Bundles, Record
from wherry.core.tasks.shim_tasks import RuntimeTable, ShimTasks, TasksConfig
from wherry.core.tasks.tasks import NewTask, TaskEvent, TaskIO
from wherry.wire import events, task, ttrpc, wellknown
from wherry.wire.protobuf import Message

DEADLINE = 30
WHERRY, OTHER = "io.containerd.wherry.v1", "io.containerd.other.v1"
SCRIPT = """#!/bin/sh
for last; do :; done
echo "$last" >> {folder}/calls
if [ "$last" = start ]; then {start}; else {delete}; fi
"""


class FakeShim:
    """A Task service on a socket. ``answers`` may replace a method by a function of its request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tasks: dict[str, int] = {}
        self.calls: list[str] = []
        self.answers: dict[str, Callable[[Any], Message]] = {}
        self.silent: set[str] = set()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = asyncio.Event()

    async def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def die(self, *, listening: bool = False) -> None:
        """Lose all connections, and unless ``listening`` the socket."""
        assert self._server is not None
        if not listening:
            self._server.close()
            self.path.unlink(missing_ok=True)
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            await writer.wait_closed()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        wire = ttrpc.ServerConnection()
        try:
            while data := await reader.read(65536):
                for request in wire.receive_data(data):
                    if (answer := self._answer(wire, request)) is not None:
                        writer.write(answer)
        except (ConnectionError, errors.InvalidArgument):
            writer.close()

    def _answer(self, wire: ttrpc.ServerConnection, request: ttrpc.Request) -> bytes | None:
        self.calls.append(request.method)
        if request.method in self.silent:
            return None
        body = task.METHODS[request.method][0].decode(request.payload)
        try:
            answer = self.answers.get(request.method, getattr(self, f"do_{request.method.lower()}", None))
            assert answer is not None
            return wire.send_response(request.stream_id, answer(body).encode())
        except errors.WherryError as error:
            return wire.send_error(request.stream_id, error)

    def do_create(self, request: task.CreateTaskRequest) -> Message:
        self.tasks[request.id] = task.CREATED
        return task.CreateTaskResponse(pid=42)

    def do_state(self, request: task.ProcessRequest) -> Message:
        if request.id not in self.tasks:
            raise errors.NotFound(f"no task {request.id}")
        return task.StateResponse(id=request.id, pid=42, status=self.tasks[request.id])

    def do_start(self, request: task.ProcessRequest) -> Message:
        self.tasks[request.id] = task.RUNNING
        return task.StartResponse(pid=42)

    def do_kill(self, request: task.KillRequest) -> Message:
        self.tasks[request.id] = task.STOPPED
        return wellknown.Empty()

    def do_wait(self, request: task.ProcessRequest) -> Message:
        return task.WaitResponse(exit_status=5)

    def do_delete(self, request: task.ProcessRequest) -> Message:
        self.tasks.pop(request.id)
        return task.DeleteResponse(exit_status=5)

    def do_shutdown(self, request: task.ShutdownRequest) -> Message:
        return wellknown.Empty()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shim = FakeShim(folder / "shim.sock")
        self.script(f"printf unix://{self.shim.path}")

    def script(self, start: str, delete: str = "printf '\\020\\005'") -> None:
        """What the shims' binaries do; by default `delete` prints an exit status of 5."""
        for name in ("containerd-shim-wherry-v1", "containerd-shim-other-v1"):
            path = self.folder / name
            path.write_text(SCRIPT.format(folder=self.folder, start=start, delete=delete))
            path.chmod(0o755)

    def runs(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []

    async def open(self) -> ShimTasks:
        table = RuntimeTable([str(self.folder)])
        environ = {"PATH": os.environ["PATH"]}
        return await ShimTasks.open(TasksConfig(str(self.folder / "state"), table, environ, "test", "/bin/true"))

    def left(self) -> list[str]:
        return os.listdir(self.folder / "state" / "tasks")

    async def forward(self, event: Message, namespace: str = "test") -> int:
        """Send an event as a shim does; the status it was answered with."""
        payload = (
            event.encode() if isinstance(event, events.ForwardRequest) else events.wrap(event, namespace, 7).encode()
        )
        return await self.ask_events(events.SERVICE, events.FORWARD, payload)

    async def ask_events(self, service: str, method: str, payload: bytes) -> int:
        reader, writer = await asyncio.open_unix_connection(self.folder / "state" / "events.ttrpc")
        client = ttrpc.ClientConnection()
        writer.write(client.send_request(service, method, payload)[1])
        found: list[ttrpc.Response] = []
        while not found:
            found = client.receive_data(await reader.read(65536))
        writer.close()
        await writer.wait_closed()
        return found[0].status.code


def new(name: str, runtime: str = WHERRY) -> NewTask:
    return NewTask(name, runtime, {"ociVersion": "1.0.2"}, [], TaskIO())


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path("/tmp") / f"wt-{uuid.uuid4().hex[:8]}"
    (path / "state").mkdir(parents=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def bench(folder: Path) -> AsyncIterator[Bench]:
    made = Bench(folder)
    await made.shim.listen()
    yield made
    await made.shim.die()


@pytest.fixture
async def tasks(bench: Bench) -> AsyncIterator[ShimTasks]:
    opened = await bench.open()
    with nothing_blocks(["wherry.core"]):
        yield opened
        await opened.close()


async def test_a_group_is_started_once(bench: Bench, tasks: ShimTasks) -> None:
    made = await asyncio.gather(*(tasks.create(new(f"c{number}")) for number in range(5)))
    assert bench.runs() == ["start"]
    assert sorted(bench.shim.tasks) == ["c0", "c1", "c2", "c3", "c4"]
    for each in made:
        await each.start()
        assert (await each.wait()).code == 5
        await each.delete()
    assert bench.left() == []
    assert "Shutdown" not in bench.shim.calls  # the next create finds it warm
    await tasks.create(new("again"))
    assert bench.runs() == ["start"]


async def test_a_task_made_in_two_halves(bench: Bench, tasks: ShimTasks) -> None:
    staged = await asyncio.to_thread(tasks.stage, new("one"))
    assert bench.left() == ["one"]
    with pytest.raises(errors.AlreadyExists):
        await tasks.create(new("one"))
    made = await staged.create()
    assert (await made.state()).status == "created"
    await staged.discard()  # too late: it is a task
    assert bench.left() == ["one"]
    await made.delete()
    await (await asyncio.to_thread(tasks.stage, new("two"))).discard()
    assert bench.left() == []
    assert "two" not in bench.shim.tasks


async def test_an_empty_group_is_told_to_end_when_the_engine_goes(bench: Bench) -> None:
    tasks = await bench.open()
    made = await tasks.create(new("one"))
    await tasks.close()
    assert "Shutdown" not in bench.shim.calls
    tasks = await bench.open()
    made = await tasks.load("one")
    await made.delete()
    await tasks.close()
    await tasks.close()
    assert bench.shim.calls[-1] == "Shutdown"


async def test_a_bundle_that_is_let_go_is_in_nobodys_way_and_used_again(bench: Bench, tasks: ShimTasks) -> None:
    retired = bench.folder / "state" / "retired"
    for _ in range(3):  # the same id again, before the one before is swept
        await (await tasks.create(new("one"))).delete()
    assert bench.left() == []
    assert any(name.startswith("one-") for name in os.listdir(retired))
    await tasks.close()
    assert os.listdir(retired) == []


def test_only_a_bundle_that_nobody_touched_is_used_again(tmp_path: Path) -> None:
    bundles = Bundles(str(tmp_path / "tasks"))
    bundles.open()
    record = Record("r", "/shim", TaskIO())

    def cycle(spec: dict[str, Any], touch: Callable[[Path], object] = lambda _: None) -> int:
        path = Path(bundles.create("one", spec, record))
        assert sorted(os.listdir(path)) == ["config.json", "rootfs", "task.json"]
        assert json.loads((path / "config.json").read_bytes()) == spec
        assert bundles.record("one") == record
        touch(path)
        inode = path.stat().st_ino
        bundles.retire("one")()
        return inode

    first = cycle({"long": "x" * 9000})
    assert cycle({"short": 1}) == first
    assert cycle({}, lambda path: (path / "address").write_text("a")) == first
    assert os.listdir(tmp_path / "retired") == []  # it was removed
    cycle({}, lambda path: (path / "rootfs" / "left").mkdir())
    assert os.listdir(tmp_path / "retired") == []
    cycle({"again": True})
    shutil.rmtree(tmp_path / "retired")  # somebody else's doing: one is made
    cycle({"made": True}, lambda _: (tmp_path / "retired").mkdir())
    cycle({})
    bundles.close()
    assert os.listdir(tmp_path / "retired") == []
    cycle({"left": "by a killed engine"})
    Bundles(str(tmp_path / "tasks")).open()
    assert os.listdir(tmp_path / "retired") == []


async def test_other_shims_are_started_each_and_shut_down(bench: Bench, tasks: ShimTasks) -> None:
    made = await tasks.create(new("one", OTHER))
    await made.start()
    await made.delete()
    assert bench.runs() == ["start"]
    assert bench.shim.calls[-2:] == ["Delete", "Shutdown"]
    assert bench.left() == []


async def test_a_group_that_ended_unseen_is_started_again(bench: Bench, tasks: ShimTasks) -> None:
    await (await tasks.create(new("one"))).delete()
    await bench.shim.die()
    await bench.shim.listen()
    bench.shim.silent.clear()
    assert (await (await tasks.create(new("two"))).state()).status == "created"
    assert bench.left() == ["two"]


async def test_a_group_that_dies_during_create_is_tried_once_more(bench: Bench, tasks: ShimTasks) -> None:
    await tasks.create(new("one"))
    bench.shim.silent.add("Create")
    creating = asyncio.ensure_future(tasks.create(new("two")))
    async with asyncio.timeout(DEADLINE):
        while bench.shim.calls.count("Create") < 2:
            await asyncio.sleep(0)
        bench.shim.silent.clear()
        await bench.shim.die(listening=True)
        await creating
    assert bench.shim.calls.count("Create") == 3
    assert sorted(bench.left()) == ["one", "two"]


async def test_a_lost_connection_is_made_again(bench: Bench, tasks: ShimTasks) -> None:
    made = await tasks.create(new("one"))
    await made.start()
    bench.shim.silent.add("Wait")
    waiting = asyncio.ensure_future(made.wait())
    async with asyncio.timeout(DEADLINE):
        while "Wait" not in bench.shim.calls:
            await asyncio.sleep(0)
        bench.shim.silent.clear()
        await bench.shim.die(listening=True)
        assert (await waiting).code == 5
        assert (await made.state()).status == "running"
    assert bench.left() == ["one"]


async def test_a_shim_that_forgot_its_task_is_as_good_as_dead(bench: Bench, tasks: ShimTasks) -> None:
    made, other = await tasks.create(new("one")), await tasks.create(new("two"))
    heard = tasks.events()
    bench.shim.silent.add("Wait")
    waiting = asyncio.ensure_future(made.wait())
    async with asyncio.timeout(DEADLINE):
        while "Wait" not in bench.shim.calls:
            await asyncio.sleep(0)
        del bench.shim.tasks["one"]
        bench.shim.silent.clear()
        bench.shim.answers["Wait"] = bench.shim.do_state
        await bench.shim.die(listening=True)
        assert (await waiting).code == 5  # what `delete` printed
        event = await anext(heard)
    assert (event.topic, event.container_id, event.fields["exit_status"]) == ("/tasks/exit", "one", 5)
    assert (await other.state()).status == "created"
    assert bench.left() == ["two"]
    assert (await made.delete()).code == 5


async def test_a_dead_shim_takes_all_its_tasks_along(bench: Bench, tasks: ShimTasks) -> None:
    made = [await tasks.create(new(f"c{number}")) for number in range(3)]
    bench.shim.silent.add("Wait")
    waiting = [asyncio.ensure_future(each.wait()) for each in made]
    bench.script("exit 1", "printf ''")
    async with asyncio.timeout(DEADLINE):
        while bench.shim.calls.count("Wait") < 3:
            await asyncio.sleep(0)
        await bench.shim.die()
        assert [status.code for status in await asyncio.gather(*waiting)] == [137] * 3
    assert bench.runs().count("delete") == 3
    assert bench.left() == []
    with pytest.raises(errors.Unavailable):
        await made[0].state()


async def test_an_exit_that_was_told_is_told_once(bench: Bench, tasks: ShimTasks) -> None:
    made = await tasks.create(new("one"))
    heard = tasks.events()
    ended = wellknown.Timestamp(seconds=1000)
    assert await bench.forward(events.TaskExit(container_id="one", id="one", exit_status=3, exited_at=ended)) == 0
    await bench.shim.die()
    async with asyncio.timeout(DEADLINE):
        got = [await anext(heard), await anext(heard)]
        assert [event.topic for event in got] == ["/tasks/exit", "/tasks/delete"]
        assert got[0] == TaskEvent("/tasks/exit", "one", got[0].fields, 7e-9)
        assert got[0].fields["exited_at"] == 1000.0
        assert await made.wait() == await made.delete()
        assert (await made.wait()).code == 3


async def test_a_delete_that_fails_buries_too(bench: Bench, tasks: ShimTasks) -> None:
    made = await tasks.create(new("one"))
    bench.script("exit 1", "echo broken >&2; exit 1")
    await bench.shim.die()
    async with asyncio.timeout(DEADLINE):
        assert (await made.wait()).code == 137
    assert bench.left() == []


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        ("echo oh no >&2; exit 3", errors.Internal, "containerd-shim-other-v1 start failed: oh no"),
        ("exit 3", errors.Internal, "it said nothing"),
        ("echo hello", errors.Internal, "printed no address but"),
        ("printf unix:///nonexistent/socket", errors.Unavailable, "no shim answers at /nonexistent/socket"),
        ("printf '\\377'", errors.Internal, "printed no address"),
        ("yes | head -c 300000", errors.WherryError, ""),
        ("kill -9 $$", errors.Internal, "it said nothing"),
    ],
)
async def test_starts_that_fail(
    bench: Bench, tasks: ShimTasks, start: str, kind: type[errors.WherryError], message: str
) -> None:
    bench.script(start)
    with pytest.raises(kind) as raised:
        await tasks.create(new("one", OTHER))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert bench.left() == []
    assert bench.runs() == ["start", "delete"]


async def test_a_binary_that_cannot_be_run(bench: Bench, tasks: ShimTasks) -> None:
    (bench.folder / "containerd-shim-other-v1").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(errors.FailedPrecondition, match=r"cannot run .*Exec format error"):
        await tasks.create(new("one", OTHER))
    assert bench.left() == []


async def test_what_the_shim_says_of_create_is_passed_on(bench: Bench, tasks: ShimTasks) -> None:
    def refuse(request: task.CreateTaskRequest) -> Message:
        raise errors.InvalidArgument("no good")

    bench.shim.answers["Create"] = refuse
    for runtime in (WHERRY, OTHER):
        with pytest.raises(errors.InvalidArgument, match="no good"):
            await tasks.create(new("one", runtime))
        assert bench.left() == []
    assert bench.runs() == ["start", "delete", "start", "delete"]


async def test_peers_that_do_not_speak_ttrpc(folder: Path, bench: Bench, tasks: ShimTasks) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(babble, folder / "babble.sock")
    bench.script(f"printf unix://{folder}/babble.sock")
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(errors.Unavailable):
            await tasks.create(new("one", OTHER))
    assert bench.left() == []
    server.close()


async def test_events_of_others_and_nonsense(bench: Bench, tasks: ShimTasks) -> None:
    heard = tasks.events()
    assert await bench.forward(events.TaskOOM(container_id="x"), namespace="moby") == 0
    assert await bench.ask_events(events.SERVICE, "Forward", b"\xff") == 3
    assert await bench.ask_events(events.SERVICE, "Forward", b"") == 3
    assert await bench.ask_events(events.SERVICE, "Backward", b"") == 12
    assert await bench.ask_events("x" * 5000, "y", b"") == 12
    unknown = events.Envelope(namespace="test", event=wellknown.Any(type_url="containerd.events.ImageCreate"))
    assert await bench.forward(events.ForwardRequest(envelope=unknown)) == 0
    assert await bench.forward(events.ForwardRequest(envelope=events.Envelope(namespace="test"))) == 3
    assert await bench.forward(events.TaskOOM(container_id="mine")) == 0
    async with asyncio.timeout(DEADLINE):
        assert (await anext(heard)).container_id == "mine"


async def test_talkers_on_the_events_socket_that_never_listen(bench: Bench, tasks: ShimTasks) -> None:
    path = str(bench.folder / "state" / "events.ttrpc")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    raw = socket.socket(socket.AF_UNIX)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, path)
    request = ttrpc.ClientConnection().send_request("s" * 4000, "m", b"")[1]

    async def talk() -> None:
        while True:
            await loop.sock_sendall(raw, request * 100)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(talk(), DEADLINE)
    raw.close()
    assert await bench.forward(events.TaskOOM(container_id="x")) == 0


async def test_events_end_when_the_tasks_are_closed(bench: Bench) -> None:
    tasks = await bench.open()
    first, second = tasks.events(), tasks.events()
    await first.aclose()  # type: ignore[attr-defined]
    await bench.forward(events.TaskOOM(container_id="x"))
    waiting = asyncio.ensure_future(anext(second))
    assert (await waiting).topic == "/tasks/oom"
    await tasks.close()
    assert [event async for event in first] == []
    assert [event async for event in second] == []
    assert [event async for event in second] == []
    assert [event async for event in tasks.events()] == []


async def test_a_slow_shim_is_not_a_dead_one(bench: Bench, folder: Path) -> None:
    tasks = await bench.open()
    await tasks.create(new("one"))
    await tasks.close()
    tasks = await bench.open()

    def busy(request: task.ProcessRequest) -> Message:
        raise errors.Unavailable("deadline exceeded")

    bench.shim.answers["State"] = busy
    with pytest.raises(errors.Unavailable, match="deadline"):
        await tasks.load("one")
    assert bench.left() == ["one"]
    assert bench.runs() == ["start"]
    bench.shim.answers.clear()
    assert (await (await tasks.load("one")).state()).pid == 42
    await tasks.close()


async def test_no_place_to_listen(folder: Path) -> None:
    long = folder / ("x" * 120)
    long.mkdir()
    with pytest.raises(errors.ResourceExhausted, match="cannot listen at"):
        await ShimTasks.open(TasksConfig(str(long), RuntimeTable([])))
    (folder / "file").write_text("")
    with pytest.raises(errors.ResourceExhausted, match="cannot use"):
        await ShimTasks.open(TasksConfig(str(folder / "file"), RuntimeTable([])))


async def test_what_a_shim_is_started_with(bench: Bench, tasks: ShimTasks) -> None:
    program = "import json, os, sys; json.dump([os.getcwd(), dict(os.environ), sys.argv[2:]], open(sys.argv[1], 'w'))"
    bench.script(f'{sys.executable} -c "{program}" {bench.folder}/seen "$@"; printf unix://{bench.shim.path}')
    special = NewTask("one", OTHER, {}, [], TaskIO(), environ={"EXTRA": "1"})
    await tasks.create(special)
    cwd, environ, arguments = json.loads((bench.folder / "seen").read_text())
    assert cwd == str(bench.folder / "state" / "tasks" / "one")
    assert environ["TTRPC_ADDRESS"] == str(bench.folder / "state" / "events.ttrpc")
    assert (environ["NAMESPACE"], environ["EXTRA"]) == ("test", "1")
    assert arguments[:4] == ["-namespace", "test", "-address", environ["TTRPC_ADDRESS"]]
    assert arguments[-3:] == ["-id", "one", "start"]
