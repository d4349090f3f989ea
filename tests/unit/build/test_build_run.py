"""RUN on a wasm platform, with a runner that writes into the snapshot's own folder: no mounting, no guest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.build.building import WASM, Workshop, context
from wherry.build.events import StepOutput
from wherry.build.request import RunStep
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.errors import Internal, InvalidArgument, NotFound, Unimplemented, WherryError

FILES = {"tool.wasm": WASM, "text": b"no module"}


@dataclass
class FakeRunner:
    """Does ``work`` on the topmost folder of the snapshot."""

    work: Callable[[Path], Any] = lambda _: None
    code: int = 0
    steps: list[RunStep] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hang: bool = False

    async def run(self, step: RunStep, output: Callable[[str, bytes], None]) -> int:
        self.steps.append(step)
        self.entered.set()
        output("stdout", b"hi\n")
        await asyncio.to_thread(self.work, Path(step.layers[0]))
        if self.hang:
            await asyncio.Event().wait()
        return self.code


@pytest.fixture(params=["overlay", "copy"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    driver = OverlaySnapshotter if request.param == "overlay" else CopySnapshotter
    made.with_(snapshots=driver(made.database, str(tmp_path / "snapshots")))
    yield made
    made.close()


def actives(shop: Workshop) -> list[str]:
    return [info.key for info in shop.services.snapshots.walk() if info.kind != "committed"]


def make(folder: Path) -> None:
    (folder / "made").write_bytes(b"M")
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "x").write_bytes(b"X")


async def test_run_makes_a_layer(shop: Workshop) -> None:
    runner = FakeRunner(make)
    shop.with_(runner=runner)
    text = """FROM scratch
ARG SECRET=s
ENV A=1
COPY tool.wasm /bin/tool.wasm
WORKDIR /bin
RUN ["tool.wasm#go", "$A"]
RUN /bin/tool.wasm $A 'b c'
COPY --from=0 /made /again
"""
    text = text.replace("COPY --from=0", "FROM scratch\nCOPY --from=0")
    result = await shop.build(context(text, FILES), platform="wasi/wasm")
    assert shop.files(result) == {"again": b"M"}
    first, second = runner.steps
    assert (first.argv, first.cwd) == (("tool.wasm#go", "$A"), "/bin")
    assert second.argv == ("/bin/tool.wasm", "1", "b c")
    assert set(first.env) == {"A=1", "SECRET=s"}
    assert first.platform.is_wasm
    assert [event.data for event in shop.events if isinstance(event, StepOutput)] == [b"hi\n", b"hi\n"]
    assert actives(shop) == []
    assert shop.nothing_left()
    await shop.build(context(text, FILES), platform="wasi/wasm")
    assert len(runner.steps) == 2
    assert shop.cached.count(False) == 2


async def test_run_layers_are_reproducible_and_may_remove(shop: Workshop) -> None:
    shop.with_(runner=FakeRunner(make))
    text = "FROM scratch\nCOPY . /\nRUN /tool.wasm\n"
    first = await shop.build(context(text, FILES), platform="wasi/wasm")
    second = await shop.build(context(text, FILES), platform="wasi/wasm", no_cache=True)
    assert first == second
    assert shop.files(first)["sub/x"] == b"X"


async def test_a_run_that_changes_nothing_makes_no_layer(shop: Workshop) -> None:
    shop.with_(runner=FakeRunner())
    result = await shop.build(context("FROM scratch\nCOPY . /\nRUN /tool.wasm\n", FILES), platform="wasi/wasm")
    assert len(result.config.diff_ids) == 1
    assert [step.empty_layer for step in result.config.history] == [False, True]


async def test_an_undecided_platform_is_told_by_the_program(shop: Workshop) -> None:
    runner = FakeRunner()
    shop.with_(runner=runner)
    await shop.build(context("FROM scratch\nCOPY . /\nRUN /tool.wasm\n", FILES))
    assert runner.steps[0].platform.is_wasm


@pytest.mark.parametrize(
    ("step", "kind", "told"),
    [
        ("RUN /nope.wasm", NotFound, 'exec: "/nope.wasm": stat /nope.wasm: no such file or directory'),
        ("RUN /text", InvalidArgument, 'exec: "/text": exec format error'),
        ("RUN $EMPTY", InvalidArgument, "RUN has no command left"),
        ("RUN --mount=type=cache,target=/c /tool.wasm", Unimplemented, "type=cache is not offered by this engine"),
        ("RUN --mount=type=ssh /tool.wasm", Unimplemented, "type=ssh is not offered"),
        ("RUN --mount=type=tmpfs /tool.wasm", InvalidArgument, "needs a target"),
        ("RUN --mount=type=tmpfs,target=/ /tool.wasm", InvalidArgument, 'invalid mount target "/"'),
        ("RUN --mount=type=bind,source=no,target=/c /tool.wasm", NotFound, '"/no": not found'),
        ("RUN --mount=type=secret,id=s,required /tool.wasm", InvalidArgument, "secret s: not found"),
        ("RUN --security=insecure /tool.wasm", InvalidArgument, "security.insecure is not allowed"),
        ("RUN --network=host /tool.wasm", InvalidArgument, "network.host is not allowed"),
        ("RUN <<E\nx\nE", Unimplemented, "a here-document needs a shell"),
    ],
)
async def test_refusals(shop: Workshop, step: str, kind: type[WherryError], told: str) -> None:
    shop.with_(runner=FakeRunner())
    with pytest.raises(kind, match=told.replace(".", r"\.")) as caught:
        await shop.build(context(f"FROM scratch\nCOPY . /\n{step}\n", FILES), platform="wasi/wasm")
    assert str(caught.value).startswith("Dockerfile:3: RUN ")


async def test_failure_leaves_nothing(shop: Workshop) -> None:
    text = "FROM scratch\nCOPY . /\nRUN /tool.wasm a\n"
    shop.with_(runner=FakeRunner(make, code=3))
    with pytest.raises(InvalidArgument, match=r'process "/tool\.wasm a" did not complete successfully: exit code: 3'):
        await shop.build(context(text, FILES), platform="wasi/wasm", tags=("x",))
    broken = FakeRunner()
    broken.work = lambda _: (_ for _ in ()).throw(Internal("no shim"))
    shop.with_(runner=broken)
    with pytest.raises(Internal, match="no shim"):
        await shop.build(context(text, FILES), platform="wasi/wasm", tags=("x",))
    assert actives(shop) == []
    assert shop.nothing_left()
    assert not list(shop.services.images.walk())


async def test_cancelling_leaves_nothing(shop: Workshop) -> None:
    runner = FakeRunner(make, hang=True)
    shop.with_(runner=runner)
    task = asyncio.create_task(shop.build(context("FROM scratch\nCOPY . /\nRUN /tool.wasm\n", FILES)))
    await runner.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert actives(shop) == []
    assert shop.nothing_left()


async def test_cancelling_at_any_moment_leaves_nothing(shop: Workshop) -> None:
    shop.with_(runner=FakeRunner(make))
    text = "FROM scratch\nCOPY . /\nWORKDIR /w\nRUN /tool.wasm\nENV A=1\n"
    for turns in (*range(0, 60, 3), *range(60, 400, 40)):
        task = asyncio.create_task(shop.build(context(text, FILES), platform="wasi/wasm", no_cache=True))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert actives(shop) == []
        assert shop.nothing_left()
