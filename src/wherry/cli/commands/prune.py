"""``wherry container prune``, and of images, networks, volumes and the whole system: each asks first."""

from collections.abc import Callable
from typing import Any

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.exits import FAILED
from wherry.cli.human import human_size
from wherry.cli.values import filters
from wherry.errors import InvalidArgument

_Wanted = dict[str, list[str]]


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.option("-f", "--force", is_flag=True, help="Do not ask."),
        click.option("--filter", "conditions", multiple=True, metavar="KEY=VALUE", help="Only those: until=24h."),
        click.pass_obj,
    ):
        function = decorate(function)
    return function


def _agreed(question: str, force: bool) -> bool:
    return force or click.confirm(f"WARNING! This will remove {question}.\nAre you sure you want to continue?")


@declare("[OPTIONS]", "Remove all stopped containers.")
@_options
def container_prune(app: App, force: bool, conditions: tuple[str, ...]) -> int:
    """Containers."""
    if not _agreed("all stopped containers", force):
        return FAILED
    return _finish(_prune(app, "Containers", filters(conditions)))


@declare("[OPTIONS]", "Remove unused images.")
@click.option("-a", "--all", "everything", is_flag=True, help="Not only untagged ones: all that no container uses.")
@_options
def image_prune(app: App, force: bool, conditions: tuple[str, ...], everything: bool) -> int:
    """Images."""
    what = "all images without a container" if everything else "all dangling images"
    if not _agreed(what, force):
        return FAILED
    return _finish(_prune_images(app, filters(conditions), everything))


@declare("[OPTIONS]", "Remove volumes that no container has.")
@click.option("-a", "--all", "everything", is_flag=True, help="Not only anonymous ones.")
@_options
def volume_prune(app: App, force: bool, conditions: tuple[str, ...], everything: bool) -> int:
    """Volumes."""
    what = "all local volumes not used by at least one container"
    if not _agreed(what if everything else what.replace("all", "anonymous", 1), force):
        return FAILED
    return _finish(_prune(app, "Volumes", {**filters(conditions), **({"all": ["true"]} if everything else {})}))


@declare("[OPTIONS]", "Remove networks that no container uses.")
@_options
def network_prune(app: App, force: bool, conditions: tuple[str, ...]) -> int:
    """Networks; they take no space."""
    if not _agreed("all custom networks not used by at least one container", force):
        return FAILED
    _prune(app, "Networks", filters(conditions))
    return 0


@declare("[OPTIONS]", "Remove stopped containers, unused networks and images, and the build cache.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also images that have a name.")
@click.option("--volumes", is_flag=True, help="Also anonymous volumes that no container has.")
@_options
def system_prune(app: App, force: bool, conditions: tuple[str, ...], everything: bool, volumes: bool) -> int:
    """Containers first: they hold images and volumes."""
    what = "all stopped containers, unused networks, unused images and unused build cache"
    if not _agreed(what + (", anonymous volumes" if volumes else ""), force):
        return FAILED
    wanted = filters(conditions)
    if volumes and "until" in wanted:
        raise InvalidArgument('the "until" filter is not supported with "--volumes"')
    freed = _prune(app, "Containers", wanted)
    _prune(app, "Networks", wanted)
    freed += _prune_images(app, wanted, everything)
    freed += _prune(app, "Volumes", wanted) if volumes else 0
    cache = app.client.call("POST", "/build/prune", {"all": everything or None, "filters": wanted or None}) or {}
    return _finish(freed + (cache.get("SpaceReclaimed") or 0))


def _prune(app: App, noun: str, wanted: _Wanted) -> int:
    """Remove ``Containers``, say, and tell what went; the bytes that came free."""
    answer = app.client.call("POST", f"/{noun.lower()}/prune", {"filters": wanted or None})
    if deleted := answer.get(f"{noun}Deleted"):
        print(f"Deleted {noun}:")
        for item in deleted:
            lines = [f"{word.lower()}: {name}" for word, name in item.items()] if isinstance(item, dict) else [item]
            print(*lines, sep="\n")
        print()
    return int(answer.get("SpaceReclaimed") or 0)


def _prune_images(app: App, wanted: _Wanted, everything: bool) -> int:
    return _prune(app, "Images", {**wanted, "dangling": [str(not everything).lower()]})


def _finish(freed: int) -> int:
    print(f"Total reclaimed space: {human_size(freed)}")
    return 0
