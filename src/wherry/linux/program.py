"""Running another program to its end: what it is given on stdin, what it said, within a time."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wherry.errors import FailedPrecondition, Unavailable


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended; ``code`` as the shell counts, a signal's is negative."""

    code: int
    output: bytes
    complaints: bytes


async def run(
    command: Sequence[str],
    stdin: bytes,
    environ: Mapping[str, str],
    timeout: float,
    *,
    named: str,
    folder: str | None = None,
    inherited: Sequence[int] = (),
) -> Ended:
    """Run it with that environment and no other, in ``folder``, with the descriptors ``inherited``; ``timeout`` in
    seconds, then it is killed.

    FailedPrecondition: it cannot be run; Unavailable: it took too long, told with what it is ``named``.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=inherited
        )
    except OSError as error:
        raise FailedPrecondition(f"cannot run {command[0]}: {error.strerror}") from None
    try:
        async with asyncio.timeout(timeout):
            output, complaints = await child.communicate(stdin)
    except TimeoutError:
        raise Unavailable(f"{named} took over {timeout:g} seconds") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return Ended(child.returncode or 0, output, complaints)
