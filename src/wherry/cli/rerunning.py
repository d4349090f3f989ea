"""``wherry run --watch``: a file is run, and run anew at each change of it, the one before having been stopped.

What is new is built while the old one runs: a file that is no module, or can't run here, leaves it running.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from wherry.cli.app import App
from wherry.cli.creating import is_file
from wherry.cli.wasmfile import forget, image_of
from wherry.cli.watching import identity, keeps_on, watch
from wherry.errors import InvalidArgument, NotFound, WherryError

_PATIENCE = 10
"""Seconds that a server has to answer what it has begun."""


def check(image: str, given: dict[str, Any], *, detach: bool) -> None:
    """InvalidArgument: there is nothing to watch, or nobody who would."""
    if not is_file(image):
        raise InvalidArgument(f"--watch wants a .wasm or .wat file, and {image} is none")
    if detach or given["interactive"]:
        raise InvalidArgument("--watch can't be used with " + ("-d" if detach else "-i"))
    if given["cidfile"]:
        raise InvalidArgument("--watch can't be used with --cidfile: each change makes another container")


class Watched:
    """A file that is run again and again; ``run`` is one life of it: it gets a function that is to be told the
    container's ID once it is started, and one that hears of signals, and returns the exit code."""

    def __init__(self, app: App, file: str, run: Callable[[Callable[[str], None], Callable[[int], None]], int]) -> None:
        self._app = app
        self._file = file
        self._run = run
        self._container = ""
        self._changed = threading.Event()
        self._over = threading.Event()
        self._signalled = False
        self._starting = threading.Lock()
        """Held while the container that is to be stopped at a change is not there yet."""

    def run(self) -> int:
        """Until a signal ends it; the last exit code."""
        seen = identity(self._file)
        watcher = threading.Thread(target=watch, args=(self._file, seen, self._over, self._replace, keeps_on))
        watcher.start()
        try:
            while True:
                code = self._once()
                if self._signalled:
                    return code
                self._changed.wait()
                self._remove(self._app)
        finally:
            self._over.set()
            watcher.join()

    def _once(self) -> int:
        self._starting.acquire()
        self._changed.clear()
        self._container = ""
        try:
            code = self._run(self._started, self._hear)
        finally:
            if not self._container:
                self._starting.release()
        if not (self._changed.is_set() or self._signalled):
            print(f"wherry: it ended with {code}: waiting for a change of {self._file}", file=sys.stderr, flush=True)
        return code

    def _started(self, container: str) -> None:
        self._container = container
        self._starting.release()

    def _hear(self, _number: int) -> None:
        self._signalled = True

    def _replace(self) -> None:
        """In the watcher's thread: what the file has become is built, then the present container is stopped."""
        with contextlib.closing(self._app.another()) as app:
            image_of(app, self._file)
            with self._starting, contextlib.suppress(WherryError):  # it may have ended, or be gone
                self._changed.set()
                app.client.call("POST", f"/containers/{self._container}/stop", {"t": _PATIENCE})

    def _remove(self, app: App) -> None:
        with contextlib.suppress(NotFound):  # --rm
            image = app.client.call("GET", f"/containers/{self._container}/json")["Image"]
            app.client.call("DELETE", f"/containers/{self._container}", {"force": True, "v": True})
            forget(app.client, image)
