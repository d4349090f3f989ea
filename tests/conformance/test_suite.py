"""wasi-testsuite's preview 1 programs, asked anew (see suite.py): under wherry's WASI, and under wasmtime's own, which
shows that it is the suite that is asked and not what wherry happens to do."""

from pathlib import Path

import pytest

from tests.conformance.guests import Guests, Result
from tests.conformance.suite import CASES, Case


def check(case: Case, result: Result) -> None:
    assert (result.stdout, result.stderr, result.message, result.code) == (case.stdout, "", "", case.code)


def test_all_of_the_suite_is_there() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 72


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_under_wherry(guests: Guests, tmp_path: Path, case: Case) -> None:
    preopens = [("/", tmp_path, True)] if case.rootfs else []
    check(case, guests.run(guests.zig(case.program), case.args, environ=case.environ, preopens=preopens))


@pytest.mark.parametrize("case", [case for case in CASES if not case.oracle], ids=lambda case: case.name)
def test_under_the_oracle(guests: Guests, tmp_path: Path, case: Case) -> None:
    preopens = [("/", tmp_path, True)] if case.rootfs else []
    check(case, guests.native(guests.zig(case.program), case.args, environ=case.environ, preopens=preopens))
