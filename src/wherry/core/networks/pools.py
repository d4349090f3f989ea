"""Choosing subnets: from docker's default pools, none that overlaps what is in use. Pure.

Source: docker's documentation of `default-address-pools` (dockerd, "Default address pools").
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Final

from wherry.errors import ResourceExhausted

POOLS: Final = (
    (IPv4Network("172.17.0.0/16"), 16),
    (IPv4Network("172.18.0.0/16"), 16),
    (IPv4Network("172.19.0.0/16"), 16),
    (IPv4Network("172.20.0.0/14"), 16),
    (IPv4Network("172.24.0.0/14"), 16),
    (IPv4Network("172.28.0.0/14"), 16),
    (IPv4Network("192.168.0.0/16"), 20),
)
"""Each with the size (bits of prefix) of the subnets that are taken from it."""


def candidates(pools: Sequence[tuple[IPv4Network, int]] = POOLS) -> Iterator[IPv4Network]:
    """All subnets in the order in which they are tried."""
    for pool, prefix in pools:
        yield from pool.subnets(new_prefix=prefix)


def choose(used: Iterable[IPv4Network], pools: Sequence[tuple[IPv4Network, int]] = POOLS) -> IPv4Network:
    """The first subnet that overlaps none of ``used``. ResourceExhausted: there is none."""
    taken = list(used)
    for subnet in candidates(pools):
        if not any(subnet.overlaps(network) for network in taken):
            return subnet
    raise ResourceExhausted(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network: "
        "remove networks that are not used (docker network prune) or name one with --subnet"
    )
