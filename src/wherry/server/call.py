"""One request as route handlers see it, and the answers they give."""

import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import wherry
from wherry.server.body import parse_json, read_body, read_json
from wherry.server.query import Query
from wherry.server.request import Request
from wherry.server.response import PlainResponse, Response, Stream
from wherry.server.router import Route
from wherry.server.versions import NEWEST, ApiVersion

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Api-Version": str(NEWEST),
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": f"Wherry/{wherry.__version__} (linux)",
    }
)
"""What every answer says of the engine; clients negotiate the version by it."""

JSON_TYPE = "application/json"


@dataclass(slots=True)
class Course:
    """How a request fares, for who counts: ``route`` once it has one, ``failed`` if its answer tells an error."""

    route: "ApiRoute | None" = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request that found its route. ``number`` counts the requests of this engine and names this one in the log."""

    number: int
    version: ApiVersion
    parameters: Mapping[str, str]
    query: Query
    request: Request
    course: Course = field(default_factory=Course)

    def __getitem__(self, parameter: str) -> str:
        return self.parameters[parameter]

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object. InvalidArgument."""
        return await read_json(self.request.body)

    async def optional_json(self) -> dict[str, Any]:
        """The same, but ``null`` is an empty object: Go's clients send that for a document they have none of."""
        body = (await read_body(self.request.body)).strip()
        return {} if body in (b"", b"null") else parse_json(body)

    async def stream(self, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Stream:
        """Send the head of an answer whose body comes bit by bit; the client sees it at once."""
        response = Stream(self.request, status, {**HEADERS, "Content-Type": content_type, **(headers or {})})
        await response.begin()
        return response

    async def lines(self, documents: AsyncIterable[Any]) -> Stream:
        """Answer with one JSON document a line, each sent as it comes."""
        async with closing(documents):
            response = await self.stream(JSON_TYPE)
            async for document in documents:
                await response.write(encode(document) + b"\n")
                if "errorDetail" in document:
                    self.course.failed = True
        return response


@asynccontextmanager
async def closing(iterator: object) -> AsyncIterator[None]:
    """Close what is iterated over at once when its reader goes, not when the collector finds it."""
    try:
        yield
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


async def begun(documents: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The same documents; the first was waited for, so that what is wrong from the start is an answer of its own."""
    try:
        first = await anext(documents)
    except StopAsyncIteration:
        return documents
    return _with_first(first, documents)


async def _with_first(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async with closing(rest):
        yield first
        async for document in rest:
            yield document


Handler = Callable[[Call], Awaitable[Response]]
ApiRoute = Route[Handler]


_to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(document: Any) -> bytes:
    """A document as the API sends it."""
    return _to_text(document).encode("utf-8", "replace")


def answer(document: Any, status: int = 200) -> PlainResponse:
    """A JSON answer."""
    return PlainResponse(status, HEADERS, encode(document) + b"\n", JSON_TYPE)


def done(status: int = 204) -> PlainResponse:
    """An answer with nothing in it."""
    return PlainResponse(status, HEADERS)
