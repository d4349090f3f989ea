"""wasi-testsuite's preview 1 programs, asked anew (see tests/conformance/suite.py), each run as a container."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.guests import PROGRAMS
from tests.conformance.suite import CASES, Case
from tests.integration.shim_box import Box, open_box
from tests.zig import compile_wasm

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    """One shim for all; its image has each program."""
    folder = tmp_path_factory.mktemp("suite")
    programs = {
        name: compile_wasm(PROGRAMS / name, folder / f"{Path(name).stem}.wasm", "-w")
        for name in sorted({case.program for case in CASES})
    }
    image = tmp_path_factory.mktemp("box")
    async with open_box(next(iter(programs.values())), folder / "compiled", image) as made:
        for module in programs.values():
            module.rename(image / "lower" / module.name)
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_as_a_container(box: Box, case: Case) -> None:
    module = f"/{Path(case.program).stem}.wasm"
    ended = await box.run(process={"args": [module, *case.args], "env": list(case.environ)})
    assert (ended.out, ended.err, ended.code) == (case.stdout, "", case.code)
