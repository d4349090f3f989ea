"""``wherry start``: in the background, or attached with ``-a``."""

import click

from wherry.cli import exits, refs
from wherry.cli.app import App
from wherry.cli.attached import Foreground, follow
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.container_options import Streams
from wherry.cli.detach import checked_keys
from wherry.errors import Conflict, InvalidArgument, WherryError


@declare("[OPTIONS] CONTAINER [CONTAINER...]", "Start stopped containers.")
@click.option("-a", "--attach", is_flag=True, help="Attach to its output, and pass signals on.")
@click.option("-i", "--interactive", is_flag=True, help="Attach to its stdin too.")
@click.option("--detach-keys", callback=checked_keys, metavar="KEYS", help="Keys that detach (ctrl-p,ctrl-q).")
@click.argument("containers", nargs=-1, required=True, shell_complete=containers_known)
@click.pass_obj
def command(app: App, containers: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str | None) -> int:
    """Attached, the exit code is the container's."""
    if not (attach or interactive):
        return refs.each(containers, lambda ref: app.client.call("POST", refs.container(ref, "/start")))
    if len(containers) != 1:
        raise InvalidArgument("you cannot start and attach multiple containers at once")
    document = app.client.call("GET", refs.container(containers[0], "/json"))
    if document["State"].get("Running"):
        raise Conflict(f"{containers[0]} runs already: attach to it with `wherry attach {containers[0]}`")
    container, config = document["Id"], document["Config"]
    stdin = interactive and bool(config.get("OpenStdin"))
    removed = (document.get("HostConfig") or {}).get("AutoRemove")
    how = Foreground(
        Streams(stdin, True, True), bool(config.get("Tty")), "removed" if removed else "next-exit", detach_keys
    )
    try:
        return follow(app, container, how, lambda: app.client.call("POST", f"/containers/{container}/start"))
    except exits.CommandError:
        raise
    except WherryError as error:
        raise exits.CommandError(str(error), exits.run_code(str(error))) from error
