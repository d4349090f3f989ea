"""C programs on wasi-libc: files as C sees them, the same as under wasmtime's own WASI; exit codes; terminals."""

import os
from pathlib import Path

import pytest

from tests.conformance.guests import PROGRAMS, Guests
from tests.zig import compile_with_names


def test_files_are_as_under_the_oracle(guests: Guests, tmp_path: Path) -> None:
    module = guests.zig("libc.c")
    (ours := tmp_path / "ours").mkdir()
    (theirs := tmp_path / "theirs").mkdir()
    mine = guests.run(module, ["one", "zwei drei", "ü"], preopens=[("/", ours, True)])
    oracle = guests.native(module, ["one", "zwei drei", "ü"], preopens=[("/", theirs, True)])
    assert mine.stdout.splitlines() == oracle.stdout.splitlines()
    assert (mine.code, mine.stderr) == (7, "")
    assert "argument zwei drei" in mine.stdout
    names = [sorted(path.relative_to(root) for path in root.rglob("*")) for root in (ours, theirs)]
    assert names[0] == names[1]
    assert (ours / "text.txt").read_text() == (theirs / "text.txt").read_text()


@pytest.mark.parametrize("code", [0, 1, 125, 126, 127, 134, 255])
def test_every_exit_code_arrives(guests: Guests, code: int) -> None:
    assert guests.run(guests.zig("libc.c"), ["exit", str(code)]).code == code


def test_abort_is_a_trap_with_the_names_of_functions(guests: Guests, tmp_path: Path) -> None:
    result = guests.run(compile_with_names(PROGRAMS / "libc.c", tmp_path / "libc.wasm"), ["abort"])
    assert result.code == 134
    assert result.stderr.startswith("wasm trap: wasm `unreachable` instruction executed\nwasm backtrace:\n")
    assert "!abort" in result.stderr


def test_environment(guests: Guests, tmp_path: Path) -> None:
    result = guests.run(guests.zig("libc.c"), environ=["A=1", "HOME=/root/é"], preopens=[("/", tmp_path, True)])
    assert "HOME=/root/é" in result.stdout.splitlines()


def test_a_file_is_no_terminal(guests: Guests) -> None:
    assert guests.run(guests.zig("libc.c"), ["isatty"]).stdout == "0 0 0\n"


def test_a_terminal_is_one(guests: Guests) -> None:
    main, side = os.openpty()
    try:
        result = guests.run(guests.zig("libc.c"), ["isatty"], stdin=Path(os.ttyname(side)))
        assert result.stdout == "1 0 0\n"
    finally:
        os.close(main)
        os.close(side)


def test_stdin_to_stdout(guests: Guests, tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    (tmp_path / "in").write_text(text)
    assert guests.run(guests.zig("libc.c"), ["cat"], stdin=tmp_path / "in").stdout == text


def test_a_guest_without_preopens_finds_no_files(guests: Guests) -> None:
    result = guests.run(guests.zig("libc.c"), ["show", "/etc/passwd", "rel"])
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["/etc/passwd", "rel"]
    assert "root" not in result.stdout
