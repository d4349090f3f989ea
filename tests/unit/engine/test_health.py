"""Health checks: what docker's rules make of results, and the loop that runs them, with tasks that are coroutines."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest

from tests.fakes.engine import World, until
from tests.fakes.tasks import FakeProcess, FakeTasks
from tests.unit.engine.test_container_request import record
from wherry.core.tasks.fifos import FifoReader
from wherry.engine.containers import health, probes, views
from wherry.engine.containers.health import Policy, Result
from wherry.engine.containers.probes import Probes
from wherry.engine.containers.request import merged, parse
from wherry.errors import InvalidArgument, Unavailable
from wherry.oci.image import Healthcheck, RunConfig

SECOND = 1_000_000_000
POLICY = Policy(("CMD", "x"), 30 * SECOND, SECOND, 10 * SECOND, SECOND, 2)


def after(codes: list[int], *, at: int = 100 * SECOND, policy: Policy = POLICY) -> dict[str, Any]:
    """The health after results that came at a time since the start."""
    found = health.starting()
    for code in codes:
        found = health.judged(found, Result(at, at + 5, code, "out"), policy, started=0)
    return found


@pytest.mark.parametrize(
    ("codes", "status", "streak"),
    [
        ([], "starting", 0),
        ([0], "healthy", 0),
        ([1], "starting", 1),
        ([1, 1], "unhealthy", 2),
        ([0, 1], "healthy", 1),
        ([0, 1, 1, 1], "unhealthy", 3),
        ([1, 1, 0], "healthy", 0),
        ([health.TIMED_OUT, 127], "unhealthy", 2),
    ],
)
def test_what_results_make_of_it(codes: list[int], status: str, streak: int) -> None:
    found = after(codes)
    assert (found["Status"], found["FailingStreak"], len(found["Log"])) == (status, streak, len(codes))


def test_the_start_period_counts_no_failures_until_it_was_healthy() -> None:
    assert after([1, 1, 1], at=SECOND)["FailingStreak"] == 0
    assert after([0, 1, 1], at=SECOND)["Status"] == "unhealthy"
    starting, well = health.starting(), after([0])
    assert POLICY.wait(starting, started=0, now=SECOND) == SECOND
    assert POLICY.wait(starting, started=0, now=11 * SECOND) == 30 * SECOND
    assert POLICY.wait(well, started=0, now=SECOND) == 30 * SECOND


def test_the_last_results_are_kept() -> None:
    found = after([*range(9)])
    assert [entry["ExitCode"] for entry in found["Log"]] == [4, 5, 6, 7, 8]
    assert health.starting(found)["Log"] == found["Log"]
    assert health.ended(found) == {**found, "Status": "unhealthy"}
    assert health.ended(None) is None


def test_defaults_and_none() -> None:
    made = health.policy_of(record(Healthcheck={"Test": ["CMD", "x"]}))
    assert made == Policy(("CMD", "x"), 30 * SECOND, 30 * SECOND, 0, 5 * SECOND, 3)
    for test in (["NONE"], [], ["CMD"]):
        assert health.policy_of(record(Healthcheck={"Test": test})) is None
    assert health.policy_of(record()) is None


def test_commands() -> None:
    wasm = record(Healthcheck={"Test": ["CMD-SHELL", "/c.wasm 'a b'"]})
    assert health.command(health.policy_of(wasm), wasm) == ["/c.wasm", "a b"]
    linux = replace(wasm, kind="linux")
    assert health.command(health.policy_of(linux), linux) == ["/bin/sh", "-c", "/c.wasm 'a b'"]
    other = replace(linux, config={**linux.config, "Shell": ["/bin/ash", "-ec"]})
    assert health.command(health.policy_of(other), other)[:2] == ["/bin/ash", "-ec"]
    broken = record(Healthcheck={"Test": ["CMD-SHELL", "'"]})
    with pytest.raises(InvalidArgument, match="cannot be split into words"):
        health.command(health.policy_of(broken), broken)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"Test": ["FLY", "x"]}, r"Unknown healthcheck type 'FLY' \(expected 'CMD', 'CMD-SHELL' or 'NONE'\)"),
        ({"Test": "x"}, "must be a list"),
        ({"Interval": 5}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Timeout": -1}, "Timeout in Healthcheck cannot be less than 1ms"),
        ({"Retries": -1}, "Retries in Healthcheck cannot be negative"),
        ({"StartPeriod": "x"}, "StartPeriod in Healthcheck must be a whole number"),
        ({"StartInterval": 2**70}, "whole number"),
    ],
)
def test_nonsense_is_refused(config: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        parse({"Image": "x", "Healthcheck": config})


def test_the_users_check_is_completed_by_the_images() -> None:
    image = RunConfig(cmd=("c",), healthcheck=Healthcheck(test=("CMD", "i"), interval=7 * SECOND, retries=9))

    def found(own: dict[str, Any] | None) -> Any:
        return merged(parse({"Image": "x", "Healthcheck": own}).config, image)["Healthcheck"]

    assert found(None) == {"Test": ["CMD", "i"], "Interval": 7 * SECOND, "Retries": 9}
    assert found({"Retries": 2}) == {"Test": ["CMD", "i"], "Interval": 7 * SECOND, "Retries": 2}
    assert found({"Test": ["NONE"]})["Test"] == ["NONE"]


def test_how_it_is_shown() -> None:
    made = record().with_state(status="running", started_at=SECOND)
    shown = {
        status: views.status_text(made.with_state(health={"Status": status}), 4 * SECOND)
        for status in ("starting", "healthy", "unhealthy")
    }
    assert shown == {
        "starting": "Up 3 seconds (health: starting)",
        "healthy": "Up 3 seconds (healthy)",
        "unhealthy": "Up 3 seconds (unhealthy)",
    }
    assert views.status_text(made, 4 * SECOND) == "Up 3 seconds"


# The loop.


async def eventually(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while not (found := await condition()):
            await asyncio.sleep(0.005)
        return found


async def endless(process: FakeProcess) -> int:
    await asyncio.get_running_loop().create_future()
    return 0


class Checks:
    """What checks end with, each in its turn: the next one waits until its code is given."""

    def __init__(self) -> None:
        self._codes: asyncio.Queue[int] = asyncio.Queue()

    def end_with(self, *codes: int) -> None:
        for code in codes:
            self._codes.put_nowait(code)

    async def __call__(self, process: FakeProcess) -> int:
        process.write("stdout", b"checked ")
        process.write("stderr", b"x" * 5000)
        return await self._codes.get()


@pytest.fixture
def checks(tasks: FakeTasks) -> Checks:
    made = Checks()
    tasks.behaviours |= {"check": made, "endless": endless}
    return made


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a run of a container is checked no more."""
    made, watch = asyncio.Event(), Probes._watch

    async def watched(self: Probes, *args: Any) -> None:
        try:
            await watch(self, *args)
        finally:
            made.set()

    monkeypatch.setattr(Probes, "_watch", watched)
    return made


def config(check: str, **more: Any) -> dict[str, Any]:
    every = {"Interval": 5_000_000, "Timeout": 60 * SECOND, "Retries": 2}
    return {"Image": "hello", "Cmd": ["ready"], "Healthcheck": {"Test": ["CMD", "/hello.wasm", check], **every, **more}}


async def test_a_check_that_cannot_be_heard_leaves_nothing(
    checks: Checks, world: World, tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[FifoReader] = []

    def full(path: str) -> FifoReader:
        if path.endswith("stderr"):
            raise Unavailable("cannot open FIFO: too many open files")
        opened.append(FifoReader(path))
        return opened[-1]

    monkeypatch.setattr(probes, "FifoReader", full)
    async with asyncio.timeout(20), world.engine() as engine:
        made = (await engine.create("c", config("check"), None))["Id"]
        await engine.start("c")

        async def failed() -> Any:
            found = (await engine.inspect("c"))["State"]["Health"]["Log"]
            return found if len(found) == 4 else None

        for result in await eventually(failed):
            assert "too many open files" in result["Output"]
        for reader in opened[:4]:
            with pytest.raises(Unavailable, match="closed"):
                await reader.read()
        assert len(tasks.tasks[made].execs) <= 1  # of the check that is on


async def test_a_container_becomes_unhealthy_and_well_again(checks: Checks, over: asyncio.Event, world: World) -> None:
    async with world.engine() as engine:
        made = (await engine.create("c", config("check"), None))["Id"]

        async def status(wanted: str) -> Any:
            found = (await engine.inspect("c"))["State"]["Health"]
            return found if found["Status"] == wanted else None

        def begun() -> int:
            return world.events.actions(made).count("exec_create: /hello.wasm check")

        assert "Health" not in (await engine.inspect("c"))["State"]
        await engine.start("c")
        assert await status("starting")
        checks.end_with(1, 1)
        sick = await eventually(lambda: status("unhealthy"))
        assert sick["FailingStreak"] == 2
        assert sick["Log"][-1]["ExitCode"] == 1
        assert sick["Log"][-1]["Output"].startswith(("checked x", "x"))
        assert sick["Log"][-1]["Output"].endswith("...")
        assert [row["Id"] for row in await engine.list(filters={"health": ["unhealthy"]})] == [made]
        assert await engine.list(filters={"health": ["healthy"]}) == []
        checks.end_with(0)
        await eventually(lambda: status("healthy"))
        assert {"health_status: unhealthy", "health_status: healthy"} <= set(world.events.actions(made))
        await until(lambda: begun() == 4)
        await engine.kill("c")
        assert await status("unhealthy")
        checks.end_with(0)  # the one that is under way: nobody minds any more
        await over.wait()
        assert (await status("unhealthy"), begun()) == ({**sick, "FailingStreak": 0, "Log": ANY}, 4)
        over.clear()
        await engine.start("c")
        checks.end_with(0)
        await eventually(lambda: status("healthy"))
        await engine.remove("c", force=True)
        checks.end_with(0)
        await over.wait()


async def test_a_check_that_takes_too_long_is_ended(checks: Checks, world: World) -> None:
    async with world.engine() as engine:
        await engine.create("c", config("endless", Timeout=2_000_000, Retries=1), None)
        await engine.start("c")

        async def sick() -> Any:
            found = (await engine.inspect("c"))["State"]["Health"]
            return found if found["Status"] == "unhealthy" else None

        (entry, *_) = (await eventually(sick))["Log"]
        assert entry["ExitCode"] == health.TIMED_OUT
        assert entry["Output"] == "Health check exceeded timeout (0.002s)"
        await engine.remove("c", force=True)


async def test_unknown_health_in_a_filter(world: World) -> None:
    async with world.engine() as engine:
        with pytest.raises(InvalidArgument, match="invalid filter 'health=fine'"):
            await engine.list(filters={"health": ["fine"]})
