"""Random arguments and memories for every WASI function, as many as CI has time for.

For more: ``python -m tests.fuzz``.
"""

from pathlib import Path

import pytest

from tests.conformance.fixtures import guests
from tests.conformance.guests import Guests
from tests.fuzz.guest import DIALECTS, functions, wat
from tests.fuzz.inputs import made
from tests.fuzz.running import fault, run
from wherry.wasm.wasi import sock_table

__all__ = ["guests"]

RUNS = 240
SHARES = 8


@pytest.mark.parametrize("dialect", range(DIALECTS))
def test_every_function_can_be_called(dialect: int) -> None:
    text = wat(dialect)
    assert all(f"(call ${function.name} " in text for function in functions(dialect) if function.params)


def test_every_dialect_of_sockets_has_its_turn() -> None:
    assert {function for dialect in range(DIALECTS) for function in functions(dialect)} >= set(sock_table.FUNCTIONS)


def test_a_seed_is_always_the_same_run() -> None:
    assert made(7) == made(7) != made(8)


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_but_an_ending_or_a_trap(guests: Guests, tmp_path: Path, share: int) -> None:
    for seed in range(share, RUNS, SHARES):
        wrong = fault(run(guests, tmp_path, seed), tmp_path)
        assert not wrong, f"seed {seed}: {wrong}"
