"""What a build tells while it runs, as values. How it looks to a client (classic.py) is not decided here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Step ``number`` of ``total`` (from 1) begins: ``text`` is its code, ``stage`` its stage's alias or number."""

    number: int
    total: int
    stage: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """``image_id`` is the digest of the configuration as it is after this step."""

    number: int
    image_id: str
    cached: bool


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a RUN wrote: ``stream`` is ``stdout`` or ``stderr``."""

    number: int
    stream: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TriggersFound:
    """The base image of the last step brought ``count`` ONBUILD triggers, which follow as steps of it."""

    count: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the author should know; ``line`` 0 is the whole file."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Compiling:
    """The image's entry module ``path`` is being compiled; ``text`` is the compiler's own progress, or empty."""

    path: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """The image is stored. ``image_id`` is its configuration's digest, ``manifest`` its manifest's."""

    image_id: str
    manifest: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """``name`` (in docker's short form) now names the image."""

    name: str


@dataclass(frozen=True, slots=True)
class Fetching:
    """A base image is being pulled; ``message`` is the puller's own, in the API's form."""

    message: Mapping[str, Any]


BuildEvent = StepStarted | StepFinished | StepOutput | TriggersFound | Warned | Compiling | Built | Tagged | Fetching
