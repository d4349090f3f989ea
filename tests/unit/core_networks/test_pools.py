"""Which subnet a network gets."""

from ipaddress import IPv4Network

import pytest

from wherry.core.networks import pools
from wherry.core.networks.cni import with_subnet
from wherry.core.networks.network import Network
from wherry.errors import InvalidArgument, ResourceExhausted

WANTED = Network("ab" * 32, "n", "bridge", 1)


def test_the_first_that_is_free() -> None:
    assert str(pools.choose([])) == "172.17.0.0/16"
    assert str(pools.choose([IPv4Network("172.17.0.0/24"), IPv4Network("172.16.0.0/12")])) == "192.168.0.0/20"
    assert str(pools.choose([IPv4Network("172.20.0.0/15"), IPv4Network("172.17.0.0/16"), IPv4Network("172.18.0.0/15")]))
    assert len(list(pools.candidates())) == 31


def test_none_is_left() -> None:
    with pytest.raises(ResourceExhausted, match="non-overlapping IPv4 address pool"):
        pools.choose([IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")])


def test_what_was_asked_for_stays_and_what_was_chosen_gives_way() -> None:
    used = [IPv4Network("172.17.0.0/16")]
    chosen = with_subnet(WANTED, used)
    assert (chosen.subnet, chosen.gateway) == ("172.18.0.0/16", "172.18.0.1")
    assert with_subnet(chosen, used) == chosen
    assert with_subnet(chosen, [IPv4Network("172.18.1.0/24")]).subnet == "172.17.0.0/16"
    asked = Network("ab" * 32, "n", "bridge", 1, subnet="172.17.5.0/24", gateway="172.17.5.1", chosen=False)
    with pytest.raises(InvalidArgument, match="Pool overlaps"):
        with_subnet(asked, used)
