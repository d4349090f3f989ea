"""``wherry system df``."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.formatting import render
from wherry.cli.human import human_size

_COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_HEADERS = {"TotalCount": "TOTAL"}


@declare("[OPTIONS]", "Show disk usage.")
@click.option("--format", "style", metavar="FORMAT", help="table, json, or a template such as '{{.Size}}'.")
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.pass_obj
def command(app: App, style: str | None, verbose: bool) -> None:
    """Images, containers, volumes, build cache."""
    print(render(rows(app.client.call("GET", "/system/df")), style, _COLUMNS, _HEADERS), end="")


def rows(usage: Mapping[str, Any]) -> list[dict[str, str]]:
    """What of each kind there is, is used, and could go."""
    images, containers = usage.get("Images") or [], usage.get("Containers") or []
    volumes, cache = usage.get("Volumes") or [], usage.get("BuildCache") or []
    layers = usage.get("LayersSize") or sum(image.get("Size") or 0 for image in images)
    used = sum(image.get("Size") or 0 for image in images if (image.get("Containers") or 0) > 0)
    mounted = [volume for volume in volumes if _uses(volume)]
    running = [item for item in containers if item.get("State") in ("running", "paused", "restarting")]
    return [
        _row("Images", images, [i for i in images if (i.get("Containers") or 0) > 0], layers, max(0, layers - used)),
        _row("Containers", containers, running, _size(containers), _size(containers) - _size(running)),
        _row("Local Volumes", volumes, mounted, _volumes(volumes), _volumes(volumes) - _volumes(mounted)),
        _row("Build Cache", cache, [c for c in cache if c.get("InUse")], _cached(cache), _cached(cache)),
    ]


def _row(kind: str, items: Sequence[Any], active: Sequence[Any], size: int, free: int) -> dict[str, str]:
    share = f" ({100 * free // size}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(len(items)),
        "Active": str(len(active)),
        "Size": human_size(size),
        "Reclaimable": human_size(free) + share,
    }


def _size(containers: Sequence[Mapping[str, Any]]) -> int:
    return sum(item.get("SizeRw") or 0 for item in containers)


def _uses(volume: Mapping[str, Any]) -> bool:
    return ((volume.get("UsageData") or {}).get("RefCount") or 0) > 0


def _volumes(volumes: Sequence[Mapping[str, Any]]) -> int:
    return sum(max(0, (volume.get("UsageData") or {}).get("Size") or 0) for volume in volumes)


def _cached(cache: Sequence[Mapping[str, Any]]) -> int:
    return sum(item.get("Size") or 0 for item in cache if not item.get("Shared"))
