"""``wherry network create``, ``ls``, ``rm``, ``connect``, ``disconnect``; ``prune`` and ``inspect`` lie elsewhere.

``wherry port`` is here too.
"""

from typing import Any

import click

from wherry.cli import network_values, refs
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.formatting import render
from wherry.cli.nouns import short_id
from wherry.cli.values import filters, key_values
from wherry.errors import InvalidArgument, NotFound

_COLUMNS = ("ID", "Name", "Driver", "Scope")
_HEADERS = {"ID": "NETWORK ID", "CreatedAt": "CREATED AT"}


@declare("[OPTIONS] NETWORK", "Create a network.")
@click.option("-d", "--driver", metavar="DRIVER", default="bridge", help="The driver (bridge).")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Its addresses, such as 10.1.0.0/16.")
@click.option("--gateway", "gateways", multiple=True, metavar="IP", help="The host's address in it.")
@click.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="Where containers' addresses are taken from.")
@click.option("--internal", is_flag=True, help="No way out of it.")
@click.option("--attachable", is_flag=True, hidden=True)
@click.option("--ipv6", is_flag=True, help="IPv6 too, of a --subnet of its own, or one that is made up.")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Label it.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.argument("network")
@click.pass_obj
def create(app: App, /, network: str, **given: Any) -> None:
    """Prints its ID."""
    body = {
        "Name": network,
        "Driver": given["driver"],
        "Internal": given["internal"],
        "Attachable": given["attachable"],
        "EnableIPv6": given["ipv6"],
        "IPAM": {"Config": network_values.ipam(given["subnets"], given["ranges"], given["gateways"])},
        "Options": key_values(given["options"], "driver option"),
        "Labels": key_values(given["labels"]),
    }
    print(app.client.call("POST", "/networks/create", None, body)["Id"])


@declare("[OPTIONS]", "List networks.")
@click.option("-f", "--filter", "conditions", multiple=True, metavar="KEY=VALUE", help="Only those: driver=bridge.")
@click.option("--format", "style", metavar="FORMAT", help="table, json, or a template such as '{{.Name}}'.")
@click.option("--no-trunc", "whole", is_flag=True, help="Whole IDs.")
@click.option("-q", "--quiet", is_flag=True, help="Only IDs.")
@click.pass_obj
def ls(app: App, conditions: tuple[str, ...], style: str | None, whole: bool, quiet: bool) -> None:
    """By name."""
    found = app.client.call("GET", "/networks", {"filters": filters(conditions) or None})
    items = sorted(found, key=lambda item: str(item["Name"]))
    if quiet and not style:
        print("".join(f"{short_id(item['Id'], whole=whole)}\n" for item in items), end="")
        return
    print(render([_row(item, whole) for item in items], style, _COLUMNS, _HEADERS), end="")


def _row(item: dict[str, Any], whole: bool) -> dict[str, Any]:
    labels = item.get("Labels") or {}
    return {
        "ID": short_id(item["Id"], whole=whole),
        "Name": item["Name"],
        "Driver": item["Driver"],
        "Scope": item["Scope"],
        "Internal": str(item["Internal"]).lower(),
        "IPv6": str(item["EnableIPv6"]).lower(),
        "CreatedAt": item["Created"],
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda key: labels.get(key, ""),
    }


@declare("[OPTIONS] NETWORK [NETWORK...]", "Remove networks that no container is in.")
@click.option("-f", "--force", is_flag=True, help="One that is not there is no error.")
@click.argument("networks", nargs=-1, required=True)
@click.pass_obj
def rm(app: App, networks: tuple[str, ...], force: bool) -> int:
    """By name or ID."""

    def remove(ref: str) -> None:
        try:
            app.client.call("DELETE", refs.network(ref))
        except NotFound:
            if not force:
                raise

    return refs.each(networks, remove)


@declare("[OPTIONS] NETWORK CONTAINER", "Put a container into a network.")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name that it is found by in it.")
@click.option("--ip", metavar="IP", default="", help="Its address there.")
@click.option("--ip6", metavar="IP", default="", help="Its address of IPv6.")
@click.option("--driver-opt", "options", multiple=True, metavar="KEY=VALUE", hidden=True)
@click.argument("network")
@click.argument("container", shell_complete=containers_known)
@click.pass_obj
def connect(
    app: App, network: str, container: str, aliases: tuple[str, ...], ip: str, ip6: str, options: tuple[str, ...]
) -> None:
    """Now, and whenever it runs."""
    _, endpoints = network_values.networks((network,), aliases, ip, "", ip6)
    endpoint = {**endpoints.get(network, {}), "DriverOpts": key_values(options, "driver option")}
    body = {"Container": container, "EndpointConfig": endpoint}
    app.client.call("POST", refs.network(network, "/connect"), None, body)


@declare("[OPTIONS] NETWORK CONTAINER", "Take a container out of a network.")
@click.option("-f", "--force", is_flag=True, help="A container that is gone is no error.")
@click.argument("network")
@click.argument("container", shell_complete=containers_known)
@click.pass_obj
def disconnect(app: App, network: str, container: str, force: bool) -> None:
    """It stays in the others."""
    app.client.call("POST", refs.network(network, "/disconnect"), None, {"Container": container, "Force": force})


@declare("CONTAINER [PORT[/PROTOCOL]]", "Show where the host has a container's ports.")
@click.argument("container", shell_complete=containers_known)
@click.argument("port", required=False)
@click.pass_obj
def port(app: App, container: str, port: str | None) -> None:
    """One line a place."""
    found = app.client.call("GET", refs.container(container, "/json"))["NetworkSettings"]["Ports"] or {}
    if port is None:
        lines = [f"{inner} -> {_place(place)}" for inner, places in found.items() for place in places or ()]
        print("".join(f"{line}\n" for line in sorted(lines, key=_by_number)), end="")
        return
    number, _, protocol = port.partition("/")
    if not number.isdigit():
        raise InvalidArgument(f"invalid port {port!r}: a number is wanted, with /udp or /tcp behind it")
    places = found.get(f"{number}/{protocol or 'tcp'}")
    if not places:
        raise NotFound(f"no public port '{port}' published for {container}")
    print("".join(f"{_place(place)}\n" for place in places), end="")


def _place(place: dict[str, str]) -> str:
    address = place["HostIp"]
    return f"[{address}]:{place['HostPort']}" if ":" in address else f"{address}:{place['HostPort']}"


def _by_number(line: str) -> tuple[int, str]:
    return int(line.partition("/")[0]), line
