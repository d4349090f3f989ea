"""The program ``wherryd``: reads what it was told, holds its root, serves until it is told to stop.

Exit codes: 0 after a stop, 1 when it cannot serve, 2 when the command line is wrong. Errors are one line on stderr.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import wherry
from wherry.core.metadata.lock import RootLock
from wherry.daemon import folders, state, wiring
from wherry.daemon.config import DaemonConfig, parse
from wherry.daemon.journal import ERROR, JournalFormatter, is_journal
from wherry.daemon.loop import Loop
from wherry.daemon.passed import notify, passed
from wherry.daemon.reload import Reloader
from wherry.daemon.tls import server_context
from wherry.engine.engine import Engine
from wherry.engine.progress import innermost
from wherry.errors import InvalidArgument, WherryError
from wherry.linux import memory
from wherry.server.api import application
from wherry.server.app import Server

_NEW_OBJECTS: Final = 20_000
"""Made and not gone since the collector looked last: then it looks again."""

log = logging.getLogger("wherryd")
STOP_DEADLINE = 15.0
"""Seconds after which a stop that hangs is cut short; everything durable is safe against that, as against SIGKILL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run wherryd and return its exit code."""
    told = sys.argv[1:] if arguments is None else arguments
    try:
        config = parse(told, os.environ, os.geteuid())
    except InvalidArgument as error:
        return _complain(error, 1 if "--validate" in told else 2)
    if config.validate:
        return _validate(config)
    _log_to_stderr(config.log_level, to_journal=is_journal(os.environ))
    _raise_file_limit()
    try:
        folders.private_folder(config.root, config.uid)
        with RootLock(config.root):
            state.make(config.state, config.root, config.uid)
            state.sweep(os.path.dirname(config.state), time.time())
            try:
                with asyncio.Runner(loop_factory=Loop) as runner:
                    runner.run(serve(config, os.environ, partial(parse, told, os.environ, config.uid)))
            finally:
                state.remove(config.state)
    except WherryError as error:
        return _complain(error, 1)
    except BaseExceptionGroup as group:
        known, unknown = group.split(WherryError)
        if known is None or unknown is not None:
            raise
        return _complain(innermost(known), 1)
    return 0


def _validate(config: DaemonConfig) -> int:
    """Look at all that is told, serve nothing."""
    try:
        wiring.check(config)
        folders.group_id(config.group)
        if config.tls:
            server_context(config.tls)
    except WherryError as error:
        return _complain(error, 1)
    sys.stdout.write("configuration OK\n")
    return 0


async def serve(config: DaemonConfig, environ: Mapping[str, str], parse_again: Callable[[], DaemonConfig]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again. Containers go on when it returns."""
    stop, hangup = _stop_signal(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    tls = server_context(config.tls) if config.tls else None
    listeners = folders.listen(config.addresses, config.uid, config.group, partial(passed, environ, os.getpid()))
    try:
        async with wiring.services(config, environ) as services, Engine(services) as engine:
            await engine.recover()
            async with Server(application(engine), [listener.sock for listener in listeners], tls):
                where = ", ".join(listener.address for listener in listeners)
                log.info("wherryd %s serves %s from %s", wherry.__version__, where, config.root)
                notify(environ, "READY=1")
                gc.collect()
                gc.freeze()  # what is there by now stays: no collection need look at it again
                gc.set_threshold(_NEW_OBJECTS)
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(memory.gather)
                async with asyncio.TaskGroup() as group:
                    reloading = group.create_task(_reload(hangup, Reloader(config, parse_again, engine)))
                    await stop.wait()
                    reloading.cancel()
                notify(environ, "STOPPING=1")
                log.info("stopping; containers go on")
    finally:
        folders.close(listeners)


async def _reload(hangup: asyncio.Event, reloader: Reloader) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        await reloader.reload()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin() -> None:
        if not stop.is_set():
            timer = threading.Timer(STOP_DEADLINE, os._exit, (1,))
            timer.daemon = True
            timer.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin)
    return stop


def _raise_file_limit() -> None:
    """Each container holds some descriptors: take as many as may be had without asking."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_to_stderr(level: str, *, to_journal: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(JournalFormatter() if to_journal else formatter)
    logging.basicConfig(handlers=[handler], level=level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _complain(error: BaseException, code: int) -> int:
    sys.stderr.write(f"{ERROR if is_journal(os.environ) else ''}wherryd: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
