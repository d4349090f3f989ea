"""``wherry commit``, ``wherry import``, ``wherry export``, ``wherry diff``."""

import os
import sys

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.delivery import deliver
from wherry.cli.exits import FAILED, CommandError

_KINDS = {0: "C", 1: "A", 2: "D"}
_PIECE = 1 << 20


def _named(name: str) -> dict[str, str | None]:
    """As the API has it; nothing for no name."""
    repository, tag = refs.repository_and_tag(name)
    return {"repo": repository or None, "tag": tag or None}


@declare("[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", "Make an image of a container's changes.")
@click.option("-a", "--author", metavar="NAME", help="Who made it.")
@click.option("-m", "--message", metavar="TEXT", help="What was done.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="A Dockerfile instruction.")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause it meanwhile (on).")
@click.argument("container", shell_complete=containers_known)
@click.argument("name", required=False, default="")
@click.pass_obj
def commit(
    app: App,
    author: str | None,
    message: str | None,
    changes: tuple[str, ...],
    pause: bool,
    container: str,
    name: str,
) -> None:
    """The id of the new image."""
    query = {"container": container, "author": author, "comment": message, "changes": list(changes), "pause": pause}
    print(app.client.call("POST", "/commit", {**query, **_named(name)}, {})["Id"])


@declare("[OPTIONS] FILE|- [REPOSITORY[:TAG]]", "Make an image of an archive of a root filesystem.")
@click.option("-m", "--message", metavar="TEXT", help="What it is.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="A Dockerfile instruction.")
@click.option("--platform", metavar="OS/ARCH", help="What it is for, such as wasi/wasm.")
@click.argument("file")
@click.argument("name", required=False, default="")
@click.pass_obj
def import_(
    app: App, message: str | None, changes: tuple[str, ...], platform: str | None, file: str, name: str
) -> None:
    """The id of the new image."""
    query = {"fromSrc": "-", "message": message, "changes": list(changes), "platform": platform}
    with open(os.dup(sys.stdin.fileno()) if file == "-" else file, "rb") as archive:
        pieces = iter(lambda: archive.read(_PIECE), b"")
        headers = {"Content-Type": "application/x-tar"}
        for line in app.client.stream("POST", "/images/create", {**query, **_named(name)}, pieces, headers):
            if error := line.get("error"):
                raise CommandError(error, FAILED)
            print(line.get("status", ""))


@declare("[OPTIONS] CONTAINER", "Write a container's files as a tar archive, to stdout unless -o is given.")
@click.option("-o", "--output", metavar="FILE", help="The archive's file.")
@click.argument("container", shell_complete=containers_known)
@click.pass_obj
def export(app: App, output: str | None, container: str) -> None:
    """A file is written beside its place, and renamed when it is whole."""
    deliver(app, refs.container(container, "/export"), None, output, "save")


@declare("CONTAINER", "Show what a container changed in its files: A is added, C changed, D deleted.")
@click.argument("container", shell_complete=containers_known)
@click.pass_obj
def diff(app: App, container: str) -> None:
    """A line for each path."""
    for change in app.client.call("GET", refs.container(container, "/changes")) or ():
        print(_KINDS.get(change.get("Kind"), "?"), change.get("Path", ""))
