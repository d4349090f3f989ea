"""What waits for others is given up when its client says that it will send no more.

That may be a half-close, of a client that reads on, or a client that is gone: which of them, only shows when something
is written to it. What ends by itself (a change, an archive) is answered whole either way. What may wait for long
(events, a build, a container's end) would stay for a client that is gone; so it ends then, in order, as dockerd has it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from functools import partial
from typing import Any, Final, TypeVar

from wherry.server.call import closing
from wherry.server.errors import Canceled
from wherry.server.request import Origin

T = TypeVar("T")
CANCELED: Final = "context canceled"
"""Docker's word for it."""


async def attended(origin: Origin, awaited: Awaitable[T]) -> T:
    """What is awaited, if it comes before the client ends; what is there already comes in any case. Canceled."""
    try:
        async with asyncio.timeout(None) as scope:
            # Not before the next turn of the loop: what needs no waiting for is had by then.
            origin.on_ended = partial(scope.reschedule, 0.0)
            if origin.deserted:
                origin.on_ended()
            return await awaited
    except TimeoutError:
        if not scope.expired():
            raise
        raise Canceled(f"{CANCELED}: the client will send no more, and is not waited for") from None
    finally:
        origin.on_ended = None


async def watched(origin: Origin, documents: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same documents until the client ends: then they end, too."""
    async with closing(documents):
        while True:
            try:
                document = await attended(origin, anext(documents))
            except (StopAsyncIteration, Canceled):
                return
            yield document


async def worked(origin: Origin, messages: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[dict[str, Any], None]:
    """The messages of work that is done for this client alone. It is given up when the client ends, and tells so last;
    Canceled, if it had told nothing yet."""
    began = False
    async with closing(messages):
        while True:
            try:
                message = await attended(origin, anext(messages))
            except StopAsyncIteration:
                return
            except Canceled as error:
                if not began:
                    raise
                yield {"errorDetail": {"message": str(error)}, "error": str(error)}
                return
            began = True
            yield message
