"""``wherry volume create``, ``ls``, ``rm``; ``prune`` and ``inspect`` lie with their kind."""

import click

from wherry.cli import refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.formatting import render
from wherry.cli.values import filters, key_values

_COLUMNS = ("Driver", "Name")
_HEADERS = {"Name": "VOLUME NAME"}


@declare("[OPTIONS] [VOLUME]", "Create a volume.")
@click.option("-d", "--driver", metavar="DRIVER", default="local", help="The driver (local).")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Label it.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.option("--name", metavar="NAME", hidden=True)
@click.argument("volume", required=False)
@click.pass_obj
def create(
    app: App, driver: str, labels: tuple[str, ...], options: tuple[str, ...], name: str | None, volume: str | None
) -> None:
    """One that is there already is no error."""
    body = {
        "Name": volume or name or "",
        "Driver": driver,
        "Labels": key_values(labels),
        "DriverOpts": key_values(options, "driver option"),
    }
    print(app.client.call("POST", "/volumes/create", None, body)["Name"])


@declare("[OPTIONS]", "List volumes.")
@click.option("-f", "--filter", "conditions", multiple=True, metavar="KEY=VALUE", help="Only those: dangling=true.")
@click.option("--format", "style", metavar="FORMAT", help="table, json, or a template such as '{{.Name}}'.")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.pass_obj
def ls(app: App, conditions: tuple[str, ...], style: str | None, quiet: bool) -> None:
    """By name."""
    items = app.client.call("GET", "/volumes", {"filters": filters(conditions) or None}).get("Volumes") or []
    if quiet and not style:
        print("".join(f"{item['Name']}\n" for item in items), end="")
        return
    rows = [
        {
            "Driver": item["Driver"],
            "Name": item["Name"],
            "Mountpoint": item["Mountpoint"],
            "Scope": item["Scope"],
            "Labels": ",".join(f"{key}={value}" for key, value in sorted((item.get("Labels") or {}).items())),
        }
        for item in items
    ]
    print(render(rows, style, _COLUMNS, _HEADERS), end="")


@declare("[OPTIONS] VOLUME [VOLUME...]", "Remove volumes that no container has.")
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument("volumes", nargs=-1, required=True)
@click.pass_obj
def rm(app: App, volumes: tuple[str, ...], force: bool) -> int:
    """With all that is in them."""
    return refs.each(volumes, lambda name: app.client.call("DELETE", refs.volume(name), {"force": force}))
