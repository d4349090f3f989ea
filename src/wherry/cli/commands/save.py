"""``wherry save`` and ``wherry load``: images as archives."""

import os
import sys
import tempfile
from collections.abc import Iterable
from typing import BinaryIO

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import images as images_known
from wherry.cli.exits import FAILED, CommandError
from wherry.errors import FailedPrecondition, InvalidArgument

_PIECE = 1024 * 1024


@declare("[OPTIONS] IMAGE [IMAGE...]", "Save images to a tar archive, to stdout unless -o is given.")
@click.option("-o", "--output", metavar="FILE", help="The archive's file.")
@click.argument("images", nargs=-1, required=True, shell_complete=images_known)
@click.pass_obj
def command(app: App, images: tuple[str, ...], output: str | None) -> None:
    """A file is written beside its place, and renamed when it is whole."""
    if not output and sys.stdout.isatty():
        raise FailedPrecondition("cowardly refusing to save to a terminal: use -o FILE, or redirect")
    response = app.client.open("GET", "/images/get", {"names": list(images)})
    try:
        if output:
            write(output, response)
        else:
            for piece in response:
                sys.stdout.buffer.write(piece)
    finally:
        response.close()


def write(output: str, pieces: Iterable[bytes]) -> None:
    """Write a file beside its place, and rename it when it is whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(output)}.", dir=os.path.dirname(output) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o600)
        os.replace(temporary, output)
    except BaseException:  # also Ctrl-C: half a file must not stay
        os.unlink(temporary)
        raise


@declare("[OPTIONS]", "Load images from a tar archive: -i FILE, or stdin.")
@click.option("-i", "--input", "archive", metavar="FILE", help="The archive's file.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.pass_obj
def load(app: App, archive: str | None, quiet: bool) -> None:
    """What was loaded, name by name."""
    if archive:
        with open(archive, "rb") as file:
            _load(app, file, quiet)
    elif sys.stdin.isatty():
        raise InvalidArgument("requested load from stdin, but stdin is a terminal: use -i FILE")
    else:
        _load(app, sys.stdin.buffer, quiet)


def _load(app: App, file: BinaryIO, quiet: bool) -> None:
    pieces = iter(lambda: file.read(_PIECE), b"")
    headers = {"Content-Type": "application/x-tar"}
    for message in app.client.stream("POST", "/images/load", {"quiet": quiet}, pieces, headers):
        if error := message.get("error"):
            raise CommandError(error, FAILED)
        if stream := message.get("stream"):
            print(stream, end="", flush=True)
