"""Creating a container: the image found, pulled or made of a file, and the ID written where it was asked for."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from wherry.cli.app import App
from wherry.errors import Conflict, InvalidArgument, NotFound

_MODULE_MAGIC = b"\0asm"
_FETCHED = ("No such image", "does not match the specified platform")
"""What an engine says when an image, or this platform of it, may be had from a registry."""


def is_file(image: str) -> bool:
    """Whether this IMAGE means a file: it is written as a path, or it is there and is, or calls itself, a module."""
    if image.startswith(("/", "./", "../")):
        return True
    if not os.path.isfile(image):
        return False
    with contextlib.suppress(OSError), open(image, "rb") as file:
        return image.endswith((".wasm", ".wat")) or file.read(len(_MODULE_MAGIC)) == _MODULE_MAGIC
    return False


def create(app: App, given: dict[str, Any], body: dict[str, Any]) -> str:
    """The new container's ID. Raises what the engine says, and what `_id_file` does."""
    with _id_file(given["cidfile"]) as note:
        made = _create(app, given, body)
        note(made)
    return made


@contextlib.contextmanager
def _id_file(path: str | None) -> Iterator[Callable[[str], object]]:
    """What writes the ID. The file is made before the container, as docker does it, and goes if that is not made.
    Conflict: it exists; InvalidArgument: it cannot be made."""
    if not path:
        yield lambda _: None
        return
    try:
        file = open(path, "x", encoding="ascii")  # noqa: SIM115 - closed below
    except FileExistsError:
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()  # docker's words, and so its exit code
        raise InvalidArgument(f"failed to create the container ID file: open {path}: {why}") from None
    with file:
        try:
            yield file.write
        except BaseException:  # also Ctrl-C: no file may name a container that is not there
            os.unlink(path)
            raise


def _create(app: App, given: dict[str, Any], body: dict[str, Any]) -> str:
    if is_file(body["Image"]):
        # Imported only here: hashing and tar would cost every other run a tenth of its time.
        from wherry.cli.wasmfile import image_of

        body["Image"] = image_of(app, body["Image"])
    query = {"name": given["name"], "platform": given["platform"]}
    if given["pull"] == "always":
        pull(app, body["Image"], given["platform"], quiet=given["quiet"])
    try:
        answer = app.client.call("POST", "/containers/create", query, body)
    except NotFound as error:
        if given["pull"] != "missing" or not any(words in str(error) for words in _FETCHED):
            raise
        pull(app, body["Image"], given["platform"], quiet=given["quiet"])
        answer = app.client.call("POST", "/containers/create", query, body)
    for warning in answer.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    return str(answer["Id"])


def pull(
    app: App,
    image: str,
    platform: str | None,
    *,
    quiet: bool,
    all_tags: bool = False,
    more: Mapping[str, str] | None = None,
) -> None:
    """Fetch an image; its progress goes to stderr. ``more`` are headers. NotFound and the like: what the engine or the
    registry said."""
    # Imported only here: what is there already is run without them.
    from wherry.cli.credentials import Logins, header
    from wherry.cli.layers import follow
    from wherry.cli.refs import repository_and_tag

    name, at, tag = image.partition("@")  # a digest stands in the tag's place
    if not at:
        name, tag = repository_and_tag(name)
        tag = tag or ("" if all_tags else "latest")
    if all_tags and tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    query = {"fromImage": name, "tag": tag or None, "platform": platform}
    login = {**header(Logins(app.environ).of_image(image)), **(more or {})}
    follow(app.client.stream("POST", "/images/create", query, None, login), quiet=quiet)
