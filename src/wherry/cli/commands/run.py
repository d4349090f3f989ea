"""``wherry run``: create, start, and stay attached unless ``-d``."""

import contextlib
from collections.abc import Callable
from typing import Any

import click

from wherry.cli import exits
from wherry.cli.app import App
from wherry.cli.attached import Foreground, check_terminal, follow
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.container_options import document, options, streams
from wherry.cli.creating import create
from wherry.cli.detach import checked_keys
from wherry.errors import WherryError


@declare(
    "[OPTIONS] IMAGE|FILE.wasm [ARG...]",
    "Create and run a new container from an image, or from a .wasm or .wat file.",
    options_end_at_argument=True,
    params=[
        click.Option(("-d", "--detach"), is_flag=True, help="Run in the background and print the container's ID."),
        *options(),
        click.Option(
            ("--detach-keys",), callback=checked_keys, metavar="KEYS", help="Keys that detach (ctrl-p,ctrl-q)."
        ),
        click.Option(("--sig-proxy/--no-sig-proxy",), default=True, hidden=True),
        click.Option(("--watch",), is_flag=True, help="Run FILE.wasm anew whenever it changes."),
    ],
)
@click.argument("image", shell_complete=images_known)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(app: App, /, image: str, args: tuple[str, ...], detach: bool, watch: bool, **given: Any) -> int:
    """Every fault before the guest runs ends with docker's codes for it: 125, 126 or 127."""
    try:
        if not watch:
            return _run(app, image, args, detach, given)
        from wherry.cli import rerunning  # hashing and tar, which every other run does without

        rerunning.check(image, given, detach=detach)
        return rerunning.Watched(app, image, lambda *hears: _run(app, image, args, False, given, *hears)).run()
    except exits.CommandError:
        raise
    except WherryError as error:
        raise exits.CommandError(str(error), exits.run_code(str(error))) from error


def _run(
    app: App,
    image: str,
    args: tuple[str, ...],
    detach: bool,
    given: dict[str, Any],
    started: Callable[[str], None] | None = None,
    passed_on: Callable[[int], None] | None = None,
) -> int:
    """``started`` hears the container's ID, ``passed_on`` of signals."""
    attached = streams(given, detach=detach)
    if not detach:
        check_terminal(attached.stdin, given["tty"])
    container = create(app, given, document(app, given, attached, image, args))

    def start() -> None:
        app.client.call("POST", f"/containers/{container}/start")
        if started is not None:
            started(container)

    try:
        if not attached.any:
            start()
            print(container)
            return 0
        condition = "removed" if given["rm"] else "next-exit"
        keys, proxy = given["detach_keys"], given["sig_proxy"]
        return follow(app, container, Foreground(attached, given["tty"], condition, keys, proxy, passed_on), start)
    except (WherryError, KeyboardInterrupt):
        if given["rm"]:
            _forget_unstarted(app, container)
        raise


def _forget_unstarted(app: App, container: str) -> None:
    """What never ran is not removed by its exit. One that runs is left alone: without force the engine refuses."""
    with contextlib.suppress(WherryError):
        app.client.call("DELETE", f"/containers/{container}", {"v": True})
