"""A container's streams: attach, logs, stats."""

import asyncio
import importlib
from collections.abc import Sequence

from wherry.engine.attach import DEFAULT_DETACH_KEYS, AttachOptions
from wherry.engine.containers.containers import Containers, LogQuery
from wherry.engine.containers.logbook import Batch
from wherry.errors import InvalidArgument
from wherry.server.call import ApiRoute, Call, closing
from wherry.server.heed import watched
from wherry.server.hijack import stream_type, take_over
from wherry.server.response import Response
from wherry.server.router import Kind, Route
from wherry.wire import stdcopy

_CTRL_KEYS = {chr(code).lower(): bytes([code - 64]) for code in range(ord("A"), ord("Z") + 1)}
_CTRL_KEYS |= {"@": b"\x00", "[": b"\x1b", "\\": b"\x1c", "]": b"\x1d", "^": b"\x1e", "_": b"\x1f"}


class StreamRoutes:
    """The handlers of those routes of ``/containers`` that carry stdio or go on for long."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def table(self) -> Sequence[ApiRoute]:
        return (
            Route("POST", "/containers/{ref}/attach", self.attach),
            Route("GET", "/containers/{ref}/attach/ws", self.attach_websocket, Kind.STREAM),
            Route("GET", "/containers/{ref}/logs", self.logs, Kind.STREAM),
            Route("GET", "/containers/{ref}/stats", self.stats, Kind.STREAM),
        )

    async def attach(self, call: Call) -> Response:
        return await take_over(call, await self._containers.attach(call["ref"], _attach_options(call)))

    async def attach_websocket(self, call: Call) -> Response:
        await asyncio.to_thread(importlib.import_module, "wherry.server.websocket")
        from wherry.server import websocket

        websocket.check_handshake(call)
        return await websocket.join(call, await self._containers.attach(call["ref"], _attach_options(call)))

    async def logs(self, call: Call) -> Response:
        query = call.query
        wanted = LogQuery(
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            since=query.nanoseconds("since"),
            until=query.nanoseconds("until"),
            tail=_tail(query.text("tail")),
            follow=query.flag("follow"),
            timestamps=query.flag("timestamps"),
            details=query.flag("details"),
        )
        if not (wanted.stdout or wanted.stderr):
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        ref = call["ref"]
        tty = await self._containers.is_tty(ref)
        output = await self._containers.logs(ref, wanted)
        if wanted.follow:
            output = watched(call.request.connection, output)
        async with closing(output):
            response = await call.stream(stream_type(call.version, tty=tty))
            async for batch in output:
                await response.write(_framed(batch, tty=tty))
        return response

    async def stats(self, call: Call) -> Response:
        query = call.query
        stream = query.flag("stream", default=True)
        figures = await self._containers.stats(call["ref"], stream=stream, one_shot=query.flag("one-shot"))
        return await call.lines(watched(call.request.connection, figures) if stream else figures)


def _framed(batch: Batch, *, tty: bool) -> bytes:
    if tty:
        return b"".join(data for _, data in batch)
    return stdcopy.encode_all(batch)


def _attach_options(call: Call) -> AttachOptions:
    query = call.query
    return AttachOptions(
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        stream=query.flag("stream"),
        logs=query.flag("logs"),
        detach_keys=detach_keys(query.text("detachKeys")),
    )


def _tail(text: str) -> int | None:
    """``all``, nothing, and what is no number mean everything, as docker has it."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def detach_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that a terminal sends; "" is docker's default. InvalidArgument."""
    if not text:
        return DEFAULT_DETACH_KEYS
    keys = []
    for key in text.split(","):
        control = key.removeprefix("ctrl-")
        if control != key and control in _CTRL_KEYS:
            keys.append(_CTRL_KEYS[control])
        elif len(key) == 1 and key.isascii():
            keys.append(key.encode())
        else:
            raise InvalidArgument(f"Invalid detach keys ({text[:60]}): Unknown character: '{key[:20]}'")
    return b"".join(keys)
