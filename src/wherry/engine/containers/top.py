"""`docker top`: the processes of a container as the host sees them, by the host's own ps."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wherry.errors import FailedPrecondition, InvalidArgument

_DEFAULT: Final = "-ef"
_LONGEST: Final = 64 << 20
_COMMANDS: Final = ("CMD", "COMMAND")


async def top(pids: Sequence[int], ps_args: str, programs: Mapping[int, str]) -> dict[str, Any]:
    """``ps_args`` are ps's own ("-ef" if empty). ``programs`` says what to call processes whose own command line does
    not tell: a module's host is a clone of the shim. InvalidArgument: ps refuses them, or they leave the PID out."""
    try:
        words = shlex.split(ps_args or _DEFAULT)
    except ValueError as error:
        raise InvalidArgument(f"invalid ps arguments: {error}") from None
    try:
        process = await asyncio.create_subprocess_exec(
            "ps",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise FailedPrecondition("docker top needs ps: install procps") from None
    output, fault = await process.communicate()
    if process.returncode:
        text = fault.decode("utf-8", "replace").strip().partition("\n")[0]
        raise InvalidArgument(f"ps: {text[:200]}")
    return parse(output[:_LONGEST].decode("utf-8", "replace"), frozenset(pids), programs)


def parse(text: str, pids: frozenset[int], programs: Mapping[int, str]) -> dict[str, Any]:
    """The rows of ``pids`` in ps's table. InvalidArgument: it has no column PID."""
    lines = text.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise InvalidArgument("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows = (line.split(maxsplit=len(titles) - 1) for line in lines[1:])
    kept = [row for row in rows if len(row) > column and row[column].isdigit() and int(row[column]) in pids]
    filled = [row + [""] * (len(titles) - len(row)) for row in kept]
    if titles[-1] in _COMMANDS:
        filled = [[*row[:-1], programs.get(int(row[column]), row[-1])] for row in filled]
    return {"Titles": titles, "Processes": filled}
