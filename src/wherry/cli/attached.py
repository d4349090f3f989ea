"""Running with the container in the foreground: attach, wait, start, the loop, and the exit code that comes of it.

The order matters: attached before the start, so that no byte is missed, and waiting before the start, so that an exit
cannot be missed either.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wherry.cli import detach, exits, terminal
from wherry.cli.app import App
from wherry.cli.container_options import Streams
from wherry.cli.session import Hooks, Session
from wherry.client.api import Hijacked
from wherry.client.connection import Response
from wherry.errors import WherryError


class Foreground(NamedTuple):
    """How to be attached. ``condition`` is the wait's: ``next-exit``, ``removed`` or ``not-running``; ``passed_on``
    hears of each signal that goes to the container."""

    streams: Streams
    tty: bool
    condition: str
    detach_keys: str | None = None
    sig_proxy: bool = True
    passed_on: Callable[[int], None] | None = None


def follow(app: App, container: str, how: Foreground, start: Callable[[], None] | None = None) -> int:
    """Attach, start if asked to, and stay until the container exits; its exit code, or 0 after a detach.

    Signals that come before the start are passed on after it.
    """
    check_terminal(how.streams.stdin, how.tty)
    path = f"/containers/{container}"
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(terminal.SignalWatch(watched(how.sig_proxy, how.tty)))
        hijacked = app.client.hijack(f"{path}/attach", {"stream": True, **_selected(how.streams)})
        stack.callback(hijacked.duplex.close)
        wait = app.client.open("POST", f"{path}/wait", {"condition": how.condition})
        stack.callback(wait.close)
        if start:
            start()
        hooks = Hooks(lambda number: _forward(app, path, number, how.passed_on), lambda: resize(app, path))
        if not interact(hijacked, watch, hooks, how.streams.stdin, how.tty, how.detach_keys, wait):
            return 0
        return _exit_code(app.client.finish(wait))


def interact(
    hijacked: Hijacked,
    watch: terminal.SignalWatch,
    hooks: Hooks,
    stdin: bool,
    tty: bool,
    keys: str | None,
    wait: Response | None = None,
) -> bool:
    """The loop itself, with the terminal raw where it has to be; False when the user detached."""
    matcher = None
    with contextlib.ExitStack() as stack:
        if tty and stdin:
            matcher = detach.DetachMatcher(detach.parse_keys(detach.DEFAULT if keys is None else keys))
            if sys.stdin.isatty():
                stack.enter_context(terminal.raw_mode())
        if tty:
            hooks.on_resize()
        finished = Session(hijacked, watch, hooks, stdin=0 if stdin else None, matcher=matcher, wait=wait).run()
    if not finished:
        print("read escape sequence", file=sys.stderr)
    return finished


def check_terminal(stdin: bool, tty: bool) -> None:
    """CommandError: a terminal was asked for, and stdin is none (docker's words and code)."""
    if stdin and tty and not sys.stdin.isatty():
        raise exits.CommandError("the input device is not a TTY", exits.FAILED)


def watched(sig_proxy: bool, tty: bool) -> Iterable[signal.Signals]:
    """The signals that a session takes over."""
    return (*(terminal.PROXIED if sig_proxy else ()), *((signal.SIGWINCH,) if tty else ()))


def resize(app: App, path: str) -> None:
    """Tell the engine this terminal's size. A container that is just gone is no reason to fail."""
    if size := terminal.size():
        with contextlib.suppress(WherryError):
            app.client.call("POST", f"{path}/resize", {"w": size[0], "h": size[1]})


def _selected(streams: Streams) -> dict[str, object]:
    return {"stdin": streams.stdin, "stdout": streams.stdout, "stderr": streams.stderr}


def _forward(app: App, path: str, number: int, passed_on: Callable[[int], None] | None) -> None:
    if passed_on is not None:
        passed_on(number)
    # It may have ended a moment ago: the wait tells.
    with contextlib.suppress(WherryError):
        app.client.call("POST", f"{path}/kill", {"signal": signal.Signals(number).name})


def _exit_code(body: bytes) -> int:
    """The wait's answer: ``{"StatusCode": 0, "Error": {"Message": ""}}``."""
    try:
        answer = json.loads(body)
        code, error = int(answer["StatusCode"]), answer.get("Error") or {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise exits.CommandError("the engine went away while the container ran (see its log)", exits.ENGINE) from None
    if error.get("Message"):
        raise exits.CommandError(f"error waiting for the container: {error['Message']}", exits.ENGINE)
    return code
