"""``wherry tag``."""

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known


@declare("IMAGE NAME[:TAG]", "Give an image another name.")
@click.argument("image", shell_complete=images_known)
@click.argument("name")
@click.pass_obj
def command(app: App, image: str, name: str) -> None:
    """A colon before a slash belongs to a registry's port."""
    repository, tag = refs.repository_and_tag(name)
    app.client.call("POST", refs.image(image, "/tag"), {"repo": repository, "tag": tag})
