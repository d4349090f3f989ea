"""``wherry save`` and ``wherry load``: images as archives."""

import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.delivery import deliver
from wherry.cli.exits import FAILED, CommandError
from wherry.cli.layers import line
from wherry.errors import InvalidArgument

_PIECE = 1024 * 1024


@declare("[OPTIONS] IMAGE [IMAGE...]", "Save images to a tar archive, to stdout unless -o is given.")
@click.option("-o", "--output", metavar="FILE", help="The archive's file.")
@click.option("--platform", metavar="PLATFORM", default="", help="This platform alone, of images for several.")
@click.argument("images", nargs=-1, required=True, shell_complete=images_known)
@click.pass_obj
def command(app: App, images: tuple[str, ...], output: str | None, platform: str) -> None:
    """A file is written beside its place, and renamed when it is whole."""
    deliver(app, "/images/get", {"names": list(images), "platform": platform or None}, output, "save")


@declare("[OPTIONS]", "Load images from a tar archive: -i FILE, or stdin.")
@click.option("-i", "--input", "archive", metavar="FILE", help="The archive's file.")
@click.option("--platform", metavar="PLATFORM", default="", help="This platform alone, of images for several.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.pass_obj
def load(app: App, archive: str | None, quiet: bool, platform: str) -> None:
    """What was loaded, name by name."""
    if archive:
        with open(archive, "rb") as file:
            _load(app, file, {"quiet": quiet, "platform": platform or None})
    elif sys.stdin.isatty():
        raise InvalidArgument("requested load from stdin, but stdin is a terminal: use -i FILE")
    else:
        _load(app, sys.stdin.buffer, {"quiet": quiet, "platform": platform or None})


def _load(app: App, file: BinaryIO, query: Mapping[str, Any]) -> None:
    pieces = iter(lambda: file.read(_PIECE), b"")
    headers = {"Content-Type": "application/x-tar"}
    for message in app.client.stream("POST", "/images/load", query, pieces, headers):
        if error := message.get("error"):
            raise CommandError(error, FAILED)
        if not query["quiet"] and message.get("id") and "progress" not in message:
            print(line(message), file=sys.stderr, flush=True)
        if stream := message.get("stream"):
            print(stream, end="", flush=True)
