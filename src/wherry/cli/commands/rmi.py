"""``wherry rmi``."""

import sys

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.exits import FAILED
from wherry.errors import NotFound, WherryError


@declare("[OPTIONS] IMAGE [IMAGE...]", "Remove images.")
@click.option("-f", "--force", is_flag=True, help="Also when a stopped container uses it.")
@click.option("--no-prune", is_flag=True, help="Keep untagged parents.")
@click.argument("images", nargs=-1, required=True, shell_complete=images_known)
@click.pass_obj
def command(app: App, images: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """What was untagged and what was deleted, line by line. With ``-f`` one that is not there is no failure."""
    code = 0
    for ref in images:
        try:
            done = app.client.call("DELETE", refs.image(ref), {"force": force, "noprune": no_prune})
        except WherryError as error:
            sys.stdout.flush()
            print(f"wherry: {error}", file=sys.stderr)
            if not (force and isinstance(error, NotFound)):
                code = FAILED
            continue
        for item in done or ():
            for word, name in item.items():
                print(f"{word}: {name}")
    return code
