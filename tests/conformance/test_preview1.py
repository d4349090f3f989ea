"""Preview 1 called directly from C: each case holds under wherry's WASI, and under wasmtime's own, which is the oracle.

Modelled on what wasi-testsuite asks (https://github.com/WebAssembly/wasi-testsuite).
"""

from pathlib import Path

import pytest

from tests.conformance.guests import Guests

CASES = (
    "read_write vectors append sizes times folders open_flags interesting_paths symlinks links renames readdir "
    "renumber preopens polling misc"
).split()
# What wasmtime's host does otherwise there.
DIFFERENT = {
    "vectors": "reads and writes only the first buffer that is not empty",
    "folders": "does not remove a folder called with a trailing slash below a folder that is no preopen",
    "polling": "does not tell how many bytes of a file can be read",
    "misc": "traps on an unknown clock",
}


@pytest.mark.parametrize("case", CASES)
def test_holds_under_wherry(guests: Guests, tmp_path: Path, case: str) -> None:
    result = guests.run(guests.zig("preview1.c"), [case], preopens=[("/", tmp_path, True)])
    assert (result.stdout, result.stderr, result.message, result.code) == ("", "", "", 0)


@pytest.mark.parametrize("case", [case for case in CASES if case not in DIFFERENT])
def test_holds_under_the_oracle(guests: Guests, tmp_path: Path, case: str) -> None:
    result = guests.native(guests.zig("preview1.c"), [case], preopens=[("/", tmp_path, True)])
    assert (result.stdout, result.stderr, result.code) == ("", "", 0)
