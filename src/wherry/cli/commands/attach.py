"""``wherry attach``: this terminal's streams to a running container."""

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.attached import Foreground, follow
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.container_options import Streams
from wherry.cli.detach import checked_keys
from wherry.errors import Conflict


@declare("[OPTIONS] CONTAINER", "Attach to a running container.")
@click.option("--no-stdin", is_flag=True, help="Do not attach stdin.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the container (default).")
@click.option("--detach-keys", callback=checked_keys, metavar="KEYS", help="Keys that detach (ctrl-p,ctrl-q).")
@click.argument("container", shell_complete=containers_known)
@click.pass_obj
def command(app: App, container: str, no_stdin: bool, sig_proxy: bool, detach_keys: str | None) -> int:
    """Stays until the container exits; its exit code."""
    document = app.client.call("GET", refs.container(container, "/json"))
    state, config = document["State"], document["Config"]
    for field, words in (("Paused", "a paused container, unpause it first"), ("Restarting", "a restarting container")):
        if state.get(field):
            raise Conflict(f"you cannot attach to {words}")
    if not state.get("Running"):
        raise Conflict("you cannot attach to a stopped container, start it first")
    stdin = bool(config.get("OpenStdin")) and not no_stdin
    how = Foreground(Streams(stdin, True, True), bool(config.get("Tty")), "not-running", detach_keys, sig_proxy)
    return follow(app, document["Id"], how)
