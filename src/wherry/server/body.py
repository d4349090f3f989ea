"""Request bodies: JSON within a limit, and streams of any length. Both give up on a client that stops sending."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from wherry.errors import InvalidArgument
from wherry.server.errors import TooLarge, TooSlow
from wherry.server.request import Incoming

JSON_LIMIT = 4 << 20
"""Bytes. The largest honest bodies are container configurations: some tens of kilobytes."""
_TOO_LARGE = f"request body too large: at most {JSON_LIMIT >> 20} MiB of JSON are taken"
STALL_TIMEOUT = 30.0
"""Seconds without a byte of a JSON body."""
WHOLE_TIMEOUT = 120.0
"""Seconds until it has to be there: a client may not hold a place for ever by a byte now and then."""
STREAM_STALL_TIMEOUT = 600.0
"""Seconds without a byte of a streamed one: somebody may be typing the tar."""


async def read_body(body: Incoming) -> bytes:
    """The whole body. TooLarge before anything is kept, if its length says so; TooSlow; InvalidArgument: cut short."""
    if (body.length or 0) > JSON_LIMIT:
        raise TooLarge(_TOO_LARGE)
    parts = [body.take()]
    if body.done:
        return parts[0]  # it came with the head, as a short one does
    size = len(parts[0])
    try:
        async with asyncio.timeout(WHOLE_TIMEOUT):
            async for part in chunks(body, STALL_TIMEOUT):
                size += len(part)
                if size > JSON_LIMIT:
                    raise TooLarge(_TOO_LARGE)
                parts.append(part)
    except TimeoutError:
        raise TooSlow(f"the request's body was not whole after {WHOLE_TIMEOUT:g} seconds") from None
    return b"".join(parts)


async def read_json(incoming: Incoming) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object. InvalidArgument, TooLarge, TooSlow."""
    body = await read_body(incoming)
    return parse_json(body) if body.strip() else {}


def parse_json(body: bytes) -> dict[str, Any]:
    """One JSON object. InvalidArgument on all else, also on what Python's parser lets through and nobody can store."""
    try:
        found = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidArgument("invalid JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidArgument(f"invalid JSON: {str(error)[:200]}") from None
    except UnicodeDecodeError:
        raise InvalidArgument("invalid JSON: it is not UTF-8") from None
    except ValueError as error:  # `_refuse_constant`'s, or int()'s, whose words are for programmers
        reason = "a number has too many digits" if "digits" in str(error) else str(error)
        raise InvalidArgument(f"invalid JSON: {reason}") from None
    if not isinstance(found, dict):
        raise InvalidArgument(f"invalid JSON: an object is expected, not {_json_name(found)}")
    if b"\\u0000" in body:
        raise InvalidArgument("invalid JSON: a text has a NUL character")
    if b"\\ud" in body or b"\\uD" in body:
        return _without_lone_surrogates(found)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _json_name(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _without_lone_surrogates(document: dict[str, Any]) -> dict[str, Any]:
    """Lone surrogates cannot be written as UTF-8; Go's decoder makes U+FFFD of them, so do we."""
    text = json.dumps(document, ensure_ascii=False)
    clean = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    result: dict[str, Any] = json.loads(clean)
    return result


async def chunks(body: Incoming, stall: float = STREAM_STALL_TIMEOUT) -> AsyncIterator[bytes]:
    """The body as it comes; ``stall`` in seconds. TooSlow; InvalidArgument: the client stopped before its end."""
    while True:
        try:
            async with asyncio.timeout(stall):
                part = await body.read()
        except TimeoutError:
            raise TooSlow(f"the request's body stopped coming: nothing for {stall:g} seconds") from None
        if not part:
            return
        yield part
