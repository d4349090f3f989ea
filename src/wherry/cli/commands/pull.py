"""``wherry pull``."""

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.creating import pull


@declare("[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry.")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option("--platform", metavar="OS/ARCH", help="Platform of the image, such as wasi/wasm.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.argument("name")
@click.pass_obj
def command(app: App, name: str, platform: str | None, quiet: bool, all_tags: bool) -> None:
    """Progress goes to stderr, the name to stdout."""
    pull(app, name, platform, quiet=quiet, all_tags=all_tags)
    print(name)
