"""``wherry inspect``: everything the engine knows of containers and images."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import Command
from wherry.cli.command import command as declare
from wherry.cli.exits import FAILED
from wherry.cli.gofunctions import to_json
from wherry.cli.gotemplate import parse
from wherry.errors import InvalidArgument, NotFound, WherryError

# In the order in which a name is looked for.
_PATHS: dict[str, Callable[[str], str]] = {
    "container": lambda ref: refs.container(ref, "/json"),
    "image": lambda ref: refs.image(ref, "/json"),
    "network": refs.network,
    "volume": lambda ref: f"/volumes/{ref}",
}


def _find(app: App, ref: str, kinds: Sequence[str], size: bool) -> Any:
    for kind in kinds:
        try:
            return app.client.call("GET", _PATHS[kind](ref), {"size": size or None})
        except NotFound:
            if len(kinds) == 1:
                raise
    raise NotFound(f"No such object: {ref}")


def _inspect(app: App, names: Sequence[str], kinds: Sequence[str], style: str | None, size: bool) -> int:
    """What was found is printed even when something was not, as docker does."""
    template = None if style in (None, "", "json") else parse(str(style))
    found, faults = [], []
    for name in names:
        try:
            found.append(_find(app, name, kinds, size))
        except WherryError as error:
            faults.append(str(error))
    if template:
        for document in found:
            print(template.render(document))
    elif style == "json":
        print(to_json(found))
    else:
        print(json.dumps(found, indent=4, ensure_ascii=False))
    sys.stdout.flush()
    for fault in faults:
        print(f"wherry: {fault}", file=sys.stderr)
    return FAILED if faults else 0


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option(
            "-f", "--format", "style", metavar="FORMAT", help="json, or a template such as '{{.State.Status}}'."
        ),
        click.option("-s", "--size", is_flag=True, help="Sizes of containers too."),
        click.argument("names", nargs=-1, required=True),
    ):
        function = decorate(function)
    return function


@declare("[OPTIONS] NAME|ID [NAME|ID...]", "Show everything about containers, images and other objects.")
@_options
@click.option("--type", "kind", metavar="KIND", help="container, image, network or volume.")
@click.pass_obj
def command(app: App, names: tuple[str, ...], style: str | None, size: bool, kind: str | None) -> int:
    """A name may be of any kind."""
    if kind and kind not in _PATHS:
        raise InvalidArgument(f"{kind!r} is not a valid value for --type: use {', '.join(_PATHS)}")
    return _inspect(app, names, (kind,) if kind else tuple(_PATHS), style, size)


def _of_kind(kind: str) -> Command:
    @declare(f"[OPTIONS] {kind.upper()} [{kind.upper()}...]", f"Show everything about one or more {kind}s.")
    @_options
    @click.pass_obj
    def inspect(app: App, names: tuple[str, ...], style: str | None, size: bool) -> int:
        return _inspect(app, names, (kind,), style, size)

    return inspect


container_inspect = _of_kind("container")
network_inspect = _of_kind("network")
volume_inspect = _of_kind("volume")


@declare("[OPTIONS] IMAGE [IMAGE...]", "Show everything about one or more images.")
@_options
@click.option("--raw", is_flag=True, help="The manifest or index itself, byte for byte.")
@click.option("--platform", metavar="OS/ARCH", help="With --raw: the manifest of this platform.")
@click.pass_obj
def image_inspect(
    app: App, names: tuple[str, ...], style: str | None, size: bool, raw: bool, platform: str | None
) -> int:
    """With ``--raw`` what a digest is the digest of."""
    if not raw:
        return _inspect(app, names, ("image",), style, size)
    for name in names:
        sys.stdout.buffer.write(app.client.text("GET", refs.image(name, "/raw"), {"platform": platform}))
    return 0
