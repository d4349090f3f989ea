"""How far a pull or push is: a bar for each layer on a terminal, else the lines that matter, to stderr either way."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from wherry.errors import NotFound

Message = Mapping[str, Any]


class Screen(Protocol):
    """Where messages go."""

    def show(self, message: Message) -> None: ...


def follow(messages: Iterable[Message], *, quiet: bool = False) -> dict[str, Any]:
    """Show an engine's messages; what it told programs (``aux``). NotFound: the failure that is its last word."""
    told: dict[str, Any] = {}
    with _screen(quiet=quiet) as screen:
        for message in messages:
            if error := message.get("error"):
                raise NotFound(str(error))
            if isinstance(message.get("aux"), dict):
                told |= message["aux"]
            elif message.get("status") or message.get("stream"):
                screen.show(message)
    return told


@contextmanager
def _screen(*, quiet: bool) -> Iterator[Screen]:
    if quiet:
        yield _Nothing()
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        with _Bars() as bars:
            yield bars


class _Nothing:
    def show(self, message: Message) -> None:
        """Nobody looks."""


class _Lines:
    def show(self, message: Message) -> None:
        """Each state of a layer once; how many bytes it has is for terminals."""
        if "progress" not in message:
            print(line(message), file=sys.stderr, flush=True)


def line(message: Message) -> str:
    """``a1b2c3: Pull complete``."""
    text = str(message.get("status") or message.get("stream") or "").rstrip()
    return f"{message['id']}: {text}" if message.get("id") else text


class _Bars:
    """A line for each layer, changed in place."""

    def __enter__(self) -> "_Bars":
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=Console(stderr=True)
        )
        self._known: dict[str, Any] = {}
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, message: Message) -> None:
        """States of layers change their line; all else is a line above."""
        what = message.get("id")
        if not what or "progressDetail" not in message:
            self._bars.console.print(line(message), markup=False, highlight=False)
            return
        if what not in self._known:
            self._known[what] = self._bars.add_task(line(message), total=None)
        detail = message.get("progressDetail") or {}
        task = self._known[what]
        if detail.get("total"):
            self._bars.update(task, description=line(message), total=detail["total"], completed=detail["current"])
        else:
            self._bars.update(task, description=line(message))
