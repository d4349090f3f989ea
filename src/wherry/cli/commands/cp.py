"""``wherry cp``: files between a container and here, or archives of them to stdout and from stdin."""

import os
import posixpath
import sys
from typing import Any

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.copying import Unpacker, archive_of, document_of, landing
from wherry.cli.human import human_size
from wherry.errors import InvalidArgument, NotFound

_STAT = "x-docker-container-path-stat"
_TAR = {"Content-Type": "application/x-tar"}
_IS_FOLDER = 1 << 31
_PIECE = 1 << 20


@declare(
    "[OPTIONS] CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH",
    "Copy files between a container and here.",
)
@click.option("-a", "--archive", is_flag=True, help="Keep owners.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what the source links to.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
@click.argument("source")
@click.argument("target")
@click.pass_obj
def command(app: App, archive: bool, follow_link: bool, quiet: bool, source: str, target: str) -> None:
    """One of the two is in a container."""
    (from_, inside), (to, outside) = _split(source), _split(target)
    if from_ and to:
        raise InvalidArgument("copying between containers is not supported")
    if not from_ and not to:
        raise InvalidArgument("must specify at least one container source")
    if from_:
        size = _out(app, from_, inside, outside, archive=archive, follow=follow_link)
    else:
        size = _in(app, inside, to, outside, archive=archive, follow=follow_link)
    if size is not None and not quiet and sys.stderr.isatty():
        print(f"Successfully copied {human_size(size)} to {target}", file=sys.stderr)


def _split(text: str) -> tuple[str, str]:
    """``CONTAINER:PATH``; a path that begins with a dot or a slash is one of here, whatever it has in it."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")) or "/" in container:
        return "", text
    if not path:
        raise InvalidArgument(f"a path is missing after {text!r}")
    return container, path


def _look(app: App, container: str, path: str) -> dict[str, Any] | None:
    """What is there; None if nothing is."""
    try:
        response = app.client.open("HEAD", refs.container(container, "/archive"), {"path": path})
    except NotFound:
        # The body of a HEAD's answer tells nothing: it may be the container that is not there.
        app.client.call("GET", refs.container(container, "/json"))
        return None
    document = document_of(response.headers.get(_STAT, ""))
    app.client.finish(response)
    return document


def _out(app: App, container: str, path: str, target: str, *, archive: bool, follow: bool) -> int | None:
    if follow:
        found = _look(app, container, path)
        path = (found or {}).get("linkTarget") or path
    response = app.client.open("GET", refs.container(container, "/archive"), {"path": path})
    try:
        if target == "-":
            for piece in response:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return None
        found = document_of(response.headers.get(_STAT, ""))
        is_folder = bool(int(found.get("mode") or 0) & _IS_FOLDER)
        contents = path.endswith("/.") or path == "."
        base = posixpath.basename(posixpath.normpath(path).rstrip("/"))
        folder, name = landing(target, base, is_folder=is_folder, contents=contents)
        unpacker = Unpacker(folder, name, owners=archive)
        unpacker.take(response)
        return unpacker.size
    finally:
        response.close()


def _in(app: App, source: str, container: str, path: str, *, archive: bool, follow: bool) -> int | None:
    if source == "-":
        if sys.stdin.isatty():
            raise InvalidArgument("an archive is expected on stdin, but stdin is a terminal")
        pieces = iter(lambda: sys.stdin.buffer.read(_PIECE), b"")
        _put(app, container, path, pieces, archive)
        return None
    source = os.path.realpath(source) + ("/." if source.endswith("/.") else "") if follow else source
    if not os.path.lexists(source):
        raise NotFound(f"no such file or directory: {source}")
    is_folder = os.path.isdir(source) and (source.endswith(("/", "/.")) or not os.path.islink(source))
    folder, name = _destination(app, container, path, source, is_folder)
    size = 0 if is_folder else os.lstat(source).st_size
    _put(app, container, folder, archive_of(source.rstrip("/") or "/", name), archive)
    return size


def _destination(app: App, container: str, path: str, source: str, is_folder: bool) -> tuple[str, str]:
    """The folder to unpack in, and the name that the source gets there."""
    found = _look(app, container, path)
    if found and found.get("linkTarget"):
        path = str(found["linkTarget"])
        found = _look(app, container, path)
    if found and int(found.get("mode") or 0) & _IS_FOLDER:
        contents = is_folder and source.endswith("/.")
        return path, "." if contents else os.path.basename(os.path.abspath(source))
    if found and is_folder:
        raise InvalidArgument("cannot copy directory")
    if path.endswith("/") and not is_folder:
        raise NotFound(f"no such directory: {path}")
    clean = posixpath.normpath(posixpath.join("/", path))
    return posixpath.dirname(clean), posixpath.basename(clean)


def _put(app: App, container: str, path: str, pieces: Any, archive: bool) -> None:
    query = {"path": path, "noOverwriteDirNonDir": True, "copyUIDGID": archive or None}
    response = app.client.open("PUT", refs.container(container, "/archive"), query, pieces, _TAR)
    app.client.finish(response)
