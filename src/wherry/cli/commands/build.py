"""``wherry build``: sends the context to the classic builder and shows what it says."""

import base64
import json
import os
import sys
from typing import Any

import click

from wherry.cli.app import App
from wherry.cli.buildcontext import Context, folder_context, stdin_context
from wherry.cli.command import command as declare
from wherry.cli.credentials import Logins
from wherry.cli.credentials import headers as registry_headers
from wherry.cli.exits import FAILED, CommandError
from wherry.cli.layers import line
from wherry.cli.values import key_values
from wherry.errors import InvalidArgument, Unimplemented

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


@declare("[OPTIONS] PATH | -", "Build an image from a Dockerfile.")
@click.option("-t", "--tag", multiple=True, metavar="NAME[:TAG]", help="Name the image.")
@click.option("-f", "--file", metavar="FILE", help="The Dockerfile (PATH/Dockerfile); - reads it from stdin.")
@click.option("--build-arg", multiple=True, metavar="NAME[=VALUE]", help="Set a build argument, or pass one on.")
@click.option("--target", metavar="STAGE", help="Build only up to this stage.")
@click.option("--platform", metavar="OS/ARCH,...", help="Platform, such as wasi/wasm; several make an index.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Label the image.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--pull", is_flag=True, help="Look for newer base images.")
@click.option("--iidfile", metavar="FILE", help="Write the image's ID to a file.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's ID.")
@click.option("--rm/--no-rm", default=True, hidden=True)
@click.option("--force-rm", is_flag=True, hidden=True)
@click.option("--progress", hidden=True)
@click.option("--network", metavar="MODE", help="Network of RUN steps: default, none or host.")
@click.option("--secret", multiple=True, metavar="id=ID[,src=FILE|env=NAME]", help="A secret for RUN --mount.")
@click.option("--cache-from", multiple=True, metavar="IMAGE", help="Take layers of this image where they fit.")
@click.argument("path")
@click.pass_obj
def command(app: App, /, path: str, **given: Any) -> None:
    """Errors of the build are the builder's own words, and exit code 1."""
    context = _context(path, given["file"])
    query = {
        "t": given["tag"],
        "dockerfile": context.dockerfile,
        "buildargs": _arguments(app, given["build_arg"]),
        "labels": key_values(given["label"]),
        "target": given["target"],
        "platform": given["platform"],
        "nocache": given["no_cache"],
        "pull": given["pull"] or None,
        "rm": given["rm"],
        "forcerm": given["force_rm"] or None,
        "networkmode": given["network"],
        "cachefrom": json.dumps(given["cache_from"]) if given["cache_from"] else None,
        "q": given["quiet"],
    }
    logins = registry_headers(Logins(app.environ).all())
    headers = {"Content-Type": "application/x-tar", **_secrets(app, given["secret"]), **logins}
    image = ""
    for message in app.client.stream("POST", "/build", query, context.pieces, headers):
        image = _show(message, quiet=given["quiet"]) or image
    if given["quiet"] and image:
        print(image)
    if given["iidfile"] and image:
        with open(given["iidfile"], "w", encoding="ascii") as file:
            file.write(image)


def _context(path: str, dockerfile: str | None) -> Context:
    if path == "-":
        return stdin_context(sys.stdin.buffer, dockerfile)
    if path.startswith(_REMOTE):
        raise Unimplemented(f"cannot build from {path}: only a local folder or - (stdin) can be a context")
    return folder_context(path, dockerfile, sys.stdin.buffer)


def _arguments(app: App, items: tuple[str, ...]) -> dict[str, str | None]:
    """A name alone takes its value from the environment; null, when it is not set there, leaves the ARG's default."""
    found: dict[str, str | None] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not name:
            raise InvalidArgument(f"invalid build argument {item!r}: expected NAME[=VALUE]")
        found[name] = value if separator else app.environ.get(name)
    return found


def _secrets(app: App, items: tuple[str, ...]) -> dict[str, str]:
    """The header that carries them, each from its file or variable; by default the variable, then the file, of its id's
    name. InvalidArgument."""
    found: dict[str, str] = {}
    for item in items:
        fields = dict(part.partition("=")[::2] for part in item.split(","))
        name = fields.get("id") or os.path.basename(fields.get("src") or fields.get("source") or "")
        if not name or fields.keys() - {"id", "src", "source", "env", "type"}:
            raise InvalidArgument(f"invalid secret {item!r}: expected id=ID[,src=FILE|env=NAME]")
        found[name] = base64.b64encode(_secret(app, name, fields)).decode()
    if not found:
        return {}
    return {"X-Wherry-Build-Secrets": base64.b64encode(json.dumps(found).encode()).decode()}


def _secret(app: App, name: str, fields: dict[str, str]) -> bytes:
    path, variable = fields.get("src") or fields.get("source"), fields.get("env") or fields.get("id", "")
    if path is None and variable in app.environ:
        return app.environ[variable].encode(errors="surrogateescape")
    if path is None and "env" in fields:
        raise InvalidArgument(f"secret {name}: the environment has no {variable}")
    try:
        with open(path or name, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgument(f"secret {name}: {path or name}: {error.strerror}") from None


def _show(message: dict[str, Any], *, quiet: bool) -> str:
    """Print one message of the builder; the image's ID if it brings one. CommandError: the build failed."""
    if error := message.get("error"):
        sys.stdout.flush()
        raise CommandError(error, FAILED)
    stream = message.get("stream", "")
    if quiet:
        # With q the builder sends the ID alone, as text.
        return stream.strip() or str((message.get("aux") or {}).get("ID") or "")
    if stream:
        print(stream, end="", flush=True)
    elif message.get("status") and "progress" not in message:
        print(line(message), flush=True)
    return str((message.get("aux") or {}).get("ID") or "")
