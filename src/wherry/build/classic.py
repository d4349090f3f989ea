"""Build events as the classic builder's JSON messages (``POST /build``). Pure: values in, dicts out.

Source: the stream of https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageBuild
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any

from wherry.build.events import (
    BuildEvent,
    Built,
    Compiling,
    Fetching,
    StepFinished,
    StepOutput,
    StepStarted,
    Tagged,
    TriggersFound,
    Warned,
)
from wherry.build.request import StepFailed
from wherry.errors import WherryError

Message = dict[str, Any]


def messages(event: BuildEvent) -> Iterator[Message]:
    """The messages for one event, in order."""
    for text in _lines(event):
        yield {"stream": text}
    if isinstance(event, Built):
        yield {"aux": {"ID": event.image_id}}
    elif isinstance(event, Fetching):
        yield dict(event.message)


def failure(error: WherryError) -> Message:
    """The last message of a build that failed."""
    code = {"code": error.code} if isinstance(error, StepFailed) else {}
    return {"errorDetail": {**code, "message": str(error)}, "error": str(error)}


def short(image_id: str) -> str:
    """The twelve digits that docker shows of a digest."""
    return image_id.rpartition(":")[2][:12]


@singledispatch
def _lines(event: BuildEvent) -> Iterator[str]:
    return iter(())


@_lines.register
def _(event: StepStarted) -> Iterator[str]:
    yield f"Step {event.number}/{event.total} : {event.text}"
    yield "\n"


@_lines.register
def _(event: StepFinished) -> Iterator[str]:
    if event.cached:
        yield " ---> Using cache\n"
    yield f" ---> {short(event.image_id)}\n"


@_lines.register
def _(event: StepOutput) -> Iterator[str]:
    yield event.data.decode("utf-8", "replace")


@_lines.register
def _(event: TriggersFound) -> Iterator[str]:
    yield f"# Executing {event.count} build trigger{'s' if event.count != 1 else ''}\n"


@_lines.register
def _(event: Warned) -> Iterator[str]:
    yield f"[Warning] {event.text}\n"


@_lines.register
def _(event: Compiling) -> Iterator[str]:
    yield f" ---> {event.text or f'Compiling {event.path}'}\n"


@_lines.register
def _(event: Built) -> Iterator[str]:
    yield f"Successfully built {short(event.image_id)}\n"


@_lines.register
def _(event: Tagged) -> Iterator[str]:
    yield f"Successfully tagged {event.name}\n"
