"""``wherry stop`` and ``wherry restart``."""

from collections.abc import Callable

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import Command
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known


def _stopping(help_: str) -> Callable[[Callable[..., int]], Command]:
    """A command that stops containers, whatever it does with them then."""

    def decorate(function: Callable[..., int]) -> Command:
        made = click.argument("containers", nargs=-1, required=True, shell_complete=containers_known)(function)
        made = click.option("-s", "--signal", metavar="SIGNAL", help="Instead of the container's own stop signal.")(
            made
        )
        period = ("-t", "--timeout", "--time", "seconds")
        made = click.option(*period, type=int, metavar="SECONDS", help="Time until SIGKILL (10).")(made)
        return declare("[OPTIONS] CONTAINER [CONTAINER...]", help_)(made)

    return decorate


@_stopping("Stop running containers: their stop signal, and after a while SIGKILL.")
@click.pass_obj
def command(app: App, containers: tuple[str, ...], seconds: int | None, signal: str | None) -> int:
    """One that is stopped already is no fault."""
    return _post(app, "/stop", containers, seconds, signal)


@_stopping("Restart containers.")
@click.pass_obj
def restart(app: App, containers: tuple[str, ...], seconds: int | None, signal: str | None) -> int:
    """One that is stopped is started."""
    return _post(app, "/restart", containers, seconds, signal)


def _post(app: App, action: str, containers: tuple[str, ...], seconds: int | None, signal: str | None) -> int:
    query = {"t": seconds, "signal": signal}
    return refs.each(containers, lambda ref: app.client.call("POST", refs.container(ref, action), query))
