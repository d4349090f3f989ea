"""``wherry manifest inspect`` and what takes an image apart: its raw manifest, its module."""

import json
import sys

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.credentials import Logins, header
from wherry.cli.delivery import deliver
from wherry.client.api import quote


@declare("[OPTIONS] NAME[:TAG|@DIGEST]", "Show an image's manifest or index as a registry has it.")
@click.option("--raw", is_flag=True, help="The very bytes.")
@click.option("--insecure", is_flag=True, hidden=True)
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.argument("name")
@click.pass_obj
def inspect(app: App, /, name: str, raw: bool, **_: object) -> None:
    """Nothing is pulled."""
    login = header(Logins(app.environ).of_image(name))
    response = app.client.open("GET", f"/distribution/{quote(name, b'/:@')}/manifest", headers=login)
    data = app.client.finish(response)
    if raw:
        sys.stdout.buffer.write(data)
    else:
        print(json.dumps(json.loads(data), indent=3, ensure_ascii=False))


@declare("[OPTIONS] IMAGE", "Write the module that an image runs to a file, to stdout unless -o is given.")
@click.option("-o", "--output", metavar="FILE", help="The module's file.")
@click.option("--platform", metavar="OS/ARCH", help="Of this platform's manifest.")
@click.argument("image", shell_complete=images_known)
@click.pass_obj
def export_module(app: App, image: str, output: str | None, platform: str | None) -> None:
    """Byte for byte what went in."""
    deliver(app, refs.image(image, "/module"), {"platform": platform}, output, "write a module")
