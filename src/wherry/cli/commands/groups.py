"""Docker's management groups: ``wherry container ls`` is ``wherry ps``, from the same module."""

from collections.abc import Mapping

import click

from wherry.cli.command import Entry, LazyGroup
from wherry.cli.root import CONTAINER, IMAGE, MANIFEST, NETWORK, SYSTEM, VOLUME


@click.pass_context
def _show_help(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _group(name: str, help_: str, entries: Mapping[str, Entry]) -> LazyGroup:
    return LazyGroup(name, help=help_, entries=entries, invoke_without_command=True, callback=_show_help)


container = _group("container", "Manage containers.", CONTAINER)
image = _group("image", "Manage images.", IMAGE)
manifest = _group("manifest", "Manage manifests at registries.", MANIFEST)
system = _group("system", "Manage the engine.", SYSTEM)
network = _group("network", "Manage networks.", NETWORK)
volume = _group("volume", "Manage volumes.", VOLUME)
