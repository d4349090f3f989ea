"""``wherry update``: limits and the restart policy of containers, running ones too."""

from typing import Any

import click

from wherry.cli import refs, values
from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.human import parse_size
from wherry.errors import InvalidArgument

_SIZES = {"memory": "Memory", "memory_reservation": "MemoryReservation", "memory_swap": "MemorySwap"}
_NUMBERS = {
    "cpu_shares": "CpuShares",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "pids_limit": "PidsLimit",
    "blkio_weight": "BlkioWeight",
}
_TEXTS = {"cpuset_cpus": "CpusetCpus", "cpuset_mems": "CpusetMems"}


@declare("[OPTIONS] CONTAINER [CONTAINER...]", "Change the limits and the restart policy of containers.")
@click.option("-m", "--memory", metavar="SIZE", help="Memory limit, such as 64m.")
@click.option("--memory-reservation", metavar="SIZE", help="Memory that is aimed at.")
@click.option("--memory-swap", metavar="SIZE", help="Memory and swap together; -1 is no limit.")
@click.option("--cpus", metavar="NUMBER", help="CPU limit, such as 0.5.")
@click.option("-c", "--cpu-shares", type=int, metavar="N", help="Weight among others.")
@click.option("--cpu-period", type=int, metavar="MICROSECONDS", hidden=True)
@click.option("--cpu-quota", type=int, metavar="MICROSECONDS", hidden=True)
@click.option("--cpuset-cpus", metavar="SET", hidden=True)
@click.option("--cpuset-mems", metavar="SET", hidden=True)
@click.option("--pids-limit", type=int, metavar="N", help="Most processes and threads; -1 is no limit.")
@click.option("--blkio-weight", type=int, metavar="N", hidden=True)
@click.option("--restart", metavar="POLICY", help="no, always, on-failure[:N] or unless-stopped.")
@click.argument("containers", nargs=-1, required=True, shell_complete=containers_known)
@click.pass_obj
def command(app: App, /, containers: tuple[str, ...], **given: Any) -> int:
    """What is not named stays as it is."""
    body = _document(given)
    if not body:
        raise InvalidArgument("you must provide one or more flags when using this command")

    def update(ref: str) -> None:
        answer = app.client.call("POST", refs.container(ref, "/update"), None, body)
        for warning in (answer or {}).get("Warnings") or ():
            click.echo(f"wherry: {warning}", err=True)

    return refs.each(containers, update)


def _document(given: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        field: given[name] for name, field in (_NUMBERS | _TEXTS).items() if given[name] is not None
    }
    for name, field in _SIZES.items():
        if given[name] is not None:
            body[field] = -1 if given[name] == "-1" else parse_size(given[name])
    if given["cpus"] is not None:
        body["NanoCpus"] = values.nano_cpus(given["cpus"])
    if given["restart"] is not None:
        body["RestartPolicy"] = values.restart_policy(given["restart"])
    return body
