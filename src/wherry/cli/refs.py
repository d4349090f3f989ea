"""Commands that do the same to several things: each one's name is printed when it is done, each fault is one line."""

import sys
from collections.abc import Callable, Iterable

from wherry.cli.exits import FAILED
from wherry.errors import InvalidArgument, WherryError


def each(refs: Iterable[str], act: Callable[[str], object], *, show: Callable[[object], str] | None = None) -> int:
    """Do ``act`` to every one, also after a fault; the exit code."""
    code = 0
    for ref in refs:
        try:
            result = act(ref)
        except WherryError as error:
            sys.stdout.flush()
            print(f"wherry: {error}", file=sys.stderr)
            code = FAILED
        else:
            print(show(result) if show else ref)
    return code


def container(ref: str, rest: str = "") -> str:
    """The path of a container's resource. InvalidArgument: no reference at all."""
    return f"/containers/{_checked(ref, 'container')}{rest}"


def image(ref: str, rest: str = "") -> str:
    """The path of an image's resource. InvalidArgument: no reference at all."""
    return f"/images/{_checked(ref, 'image')}{rest}"


def volume(name: str) -> str:
    """The path of a volume. InvalidArgument: no name at all."""
    return f"/volumes/{_checked(name, 'volume')}"


def network(ref: str, rest: str = "") -> str:
    """The path of a network. InvalidArgument: no reference at all."""
    return f"/networks/{_checked(ref, 'network')}{rest}"


def repository_and_tag(name: str) -> tuple[str, str]:
    """``REPOSITORY[:TAG]`` taken apart; a colon before a slash belongs to a registry's port."""
    repository, _, tag = name.rpartition(":")
    return (repository, tag) if tag and "/" not in tag and repository else (name, "")


def _checked(ref: str, kind: str) -> str:
    if not ref.strip() or ".." in ref.split("/"):
        raise InvalidArgument(f"invalid {kind} name or ID: {ref!r}")
    return ref
