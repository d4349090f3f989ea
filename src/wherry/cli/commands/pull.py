"""``wherry pull``."""

import base64
import json
from collections.abc import Sequence

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.creating import pull
from wherry.errors import InvalidArgument, NotFound

_KEYS = "X-Wherry-Trusted-Keys"


@declare("[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry.")
@click.option("-a", "--all-tags", is_flag=True, help="All tags of the repository.")
@click.option(
    "--key", "keys", metavar="FILE", multiple=True, help="A public key (PEM) to verify with; may be repeated."
)
@click.option("--platform", metavar="OS/ARCH", help="Platform of the image, such as wasi/wasm.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--verify", is_flag=True, help="Only if it is signed by --key, or by a key of the trust policy.")
@click.argument("name")
@click.pass_obj
def command(
    app: App, name: str, platform: str | None, quiet: bool, all_tags: bool, verify: bool, keys: Sequence[str]
) -> None:
    """Progress goes to stderr, the name to stdout."""
    if keys and not verify:
        raise InvalidArgument("--key needs --verify: without it no signature is asked for")
    pull(app, name, platform, quiet=quiet, all_tags=all_tags, more=_asked(keys) if verify else None)
    print(name)


def _asked(keys: Sequence[str]) -> dict[str, str]:
    """The header that asks for a signature. NotFound: a key cannot be read."""
    return {_KEYS: base64.b64encode(json.dumps([_read(key) for key in keys]).encode()).decode("ascii")}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError as error:
        raise NotFound(f"cannot read key {path}: {error.strerror}") from None
