"""``wherry serve``: a handler's file answers HTTP on a port of this machine, and a changed file its next requests.

The port is this process's own (relay.py). Each version of the file is a container (serving.py): a new one is current
once it has started, the one before then ends what it has begun; one that is broken leaves the old one serving.
"""

import asyncio
import signal
import threading
from typing import Any

import click

from wherry.cli import serving
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.relay import Relay
from wherry.cli.serving import Handler, Version
from wherry.cli.watching import Identity, identity, keeps_on, watch

_PATIENCE = 60
"""Seconds that a version which was replaced has for what it has begun."""
_LAST_PATIENCE = 10
"""The same for the last one, when all is over."""


@declare(
    "[OPTIONS] FILE.wasm [ARG...]",
    "Answer HTTP with a .wasm or .wat file, and with its changes at once.",
    options_end_at_argument=True,
)
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=8080, help="Of this machine (8080; 0 is any).")
@click.option("--address", default="127.0.0.1", metavar="ADDRESS", help="Where to listen (127.0.0.1).")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set an environment variable.")
@click.option("-v", "--volume", multiple=True, metavar="SOURCE:TARGET[:ro]", help="Mount a folder.")
@click.option("--deadline", metavar="TIME", help="Of a request: 30s, 500ms (60s).")
@click.option("--concurrency", type=int, metavar="N", help="Requests that are served at once (16).")
@click.argument("file", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(app: App, /, file: str, args: tuple[str, ...], **given: Any) -> int:
    """Serve until a signal; a second one does not wait for what is being answered."""
    return asyncio.run(_Serving(app, Handler(file, args, given)).run())


class _Serving:
    def __init__(self, app: App, handler: Handler) -> None:
        self._app = app
        self._handler = handler
        self._relay = Relay()
        self._current: Version | None = None
        self._ending: dict[asyncio.Task[None], Version] = {}

    async def run(self) -> int:
        """Serve and watch until a signal."""
        stopped, at_once = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: (at_once if stopped.is_set() else stopped).set())
        given = self._handler.given
        try:
            port = await self._relay.listen(given["address"], given["port"])
            seen = identity(self._handler.file)
            self._take(await asyncio.to_thread(serving.start, self._app, self._handler))
            print(f"serving {self._handler.file} at http://{given['address']}:{port}/", flush=True)
            await self._watch(stopped, seen)
        finally:
            await self._end(at_once)
        return 0

    async def _watch(self, stopped: asyncio.Event, seen: Identity | None) -> None:
        """Until ``stopped``: a version that is being made by then is taken, so that it is ended too."""
        loop, over = asyncio.get_running_loop(), threading.Event()

        def changed() -> None:
            version = serving.start(self._app, self._handler)
            loop.call_soon_threadsafe(self._take, version)
            print(f"serving {self._handler.file} anew", flush=True)

        watching = asyncio.create_task(asyncio.to_thread(watch, self._handler.file, seen, over, changed, keeps_on))
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        over.set()
        await watching

    def _take(self, new: Version) -> None:
        """New connections are this version's from now on."""
        old, self._current = self._current, new
        self._relay.target = new.address
        # It ends with its container, and holds up nobody who ends before.
        threading.Thread(target=serving.follow, args=(self._app, new), daemon=True).start()
        if old is not None:
            self._let_end(old, _PATIENCE)

    def _let_end(self, version: Version, patience: int) -> None:
        ending = asyncio.create_task(asyncio.to_thread(serving.end, self._app, version, patience))
        self._ending[ending] = version
        ending.add_done_callback(self._ending.pop)

    async def _end(self, at_once: asyncio.Event) -> None:
        """Take nothing new, answer what was begun within the patience, unless a second signal says no; remove all."""
        self._relay.close()
        if self._current is not None:
            self._let_end(self._current, _LAST_PATIENCE)
        over = asyncio.create_task(at_once.wait())
        while self._ending and not over.done():
            done, _ = await asyncio.wait((*self._ending, over), return_when="FIRST_COMPLETED", timeout=_LAST_PATIENCE)
            if not done:
                break
        over.cancel()
        for version in list(self._ending.values()):
            await asyncio.to_thread(serving.kill, self._app, version)
        await asyncio.gather(*self._ending)
        await self._relay.finish()
