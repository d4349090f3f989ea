"""Containers on networks: what is there while they run, what is left when something fails, and after a kill."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.engine import LINUX, World, until
from tests.fakes.tasks import FakeTasks
from wherry.core.networks.network import Endpoint, Network
from wherry.engine.containers.containers import Containers
from wherry.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unavailable


@pytest.fixture(autouse=True)
def box(world: World) -> None:
    world.add_image("box", LINUX, {"program": b"#!"}, entrypoint=("/program",), cmd=("sleep",))


async def create(containers: Containers, name: str, network: str = "", **host: Any) -> str:
    config = {"Image": "box", "HostConfig": {"NetworkMode": network or "default", **host}}
    return str((await containers.create(name, config, None))["Id"])


async def started(containers: Containers, name: str, network: str = "", **host: Any) -> str:
    container = await create(containers, name, network, **host)
    await containers.start(container)
    return container


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def empty(world: World) -> bool:
    driver = world.network_driver
    return not (driver.attached or driver.published or world.namespaces.there or world.services.networks.endpoints())


async def test_an_endpoint_lives_as_long_as_the_task(world: World) -> None:
    async with world.engine() as containers:
        container = await started(containers, "one")
        (endpoint,) = world.network_driver.attached.values()
        assert (endpoint.container, endpoint.interface) == (container, "eth0")
        settings = (await containers.inspect("one"))["NetworkSettings"]
        assert settings["IPAddress"] == settings["Networks"]["bridge"]["IPAddress"] == endpoint.address
        spec = world.tasks.tasks[container].new.spec
        assert {"type": "network", "path": world.namespaces.path(container)} in spec["linux"]["namespaces"]
        mounted = {mount["destination"] for mount in spec["mounts"]}
        assert {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"} <= mounted
        await containers.kill("one")
        await until(lambda: empty(world))
        assert (await containers.inspect("one"))["NetworkSettings"]["IPAddress"] == ""


@pytest.mark.parametrize("fault", [Unavailable("network plugin bridge failed"), FailedPrecondition("not installed")])
async def test_a_network_that_fails_leaves_nothing(world: World, fault: Exception) -> None:
    async with world.engine() as containers:
        world.network_driver.fault = fault  # type: ignore[assignment]
        container = await create(containers, "one", PortBindings={"80": [{"HostIp": "127.0.0.1"}]})
        with pytest.raises(type(fault), match=str(fault)):
            await containers.start(container)
        assert await asyncio.to_thread(empty, world)
        await containers.start(container)


async def test_a_runtime_that_fails_leaves_nothing(world: World) -> None:
    async with world.engine() as containers:
        container = await create(containers, "one")
        world.tasks.create_fault = Unavailable("no shim")
        with pytest.raises(Unavailable, match="no shim"):
            await containers.start(container)
        assert await asyncio.to_thread(empty, world)


async def test_ports_are_held_while_it_runs(world: World) -> None:
    port = str(free_port())
    published = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
    async with world.engine() as containers:
        await started(containers, "one", PortBindings=published)
        assert (await containers.inspect("one"))["NetworkSettings"]["Ports"] == published
        (row,) = await containers.list()
        assert row["Ports"] == [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": int(port), "Type": "tcp"}]
        other = await create(containers, "two", PortBindings=published)
        with pytest.raises(Conflict, match="port is already allocated"):
            await containers.start(other)
        await containers.kill("one")
        await until(lambda: empty(world))
        await containers.start(other)


async def test_names_on_a_network_that_a_user_made(world: World) -> None:
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        web = await started(containers, "Web", "front")
        other = await started(containers, "other", "front")
        apart = await started(containers, "apart")
        names = world.namespaces.resolvers[other]
        (endpoint,) = [one for one in world.network_driver.attached.values() if one.container == web]
        for asked in ("web", web[:12], "web.front"):
            assert names.addresses(asked) == [endpoint.address]
        assert names.addresses("apart") is None
        assert names.name_of(endpoint.address) == "web.front"
        assert apart in world.namespaces.there
        await containers.rename("Web", "site")
        assert (names.addresses("site"), names.addresses("web")) == ([endpoint.address], None)
        await containers.kill("site")
        await until(lambda: names.addresses("site") is None)


async def test_connect_and_disconnect(world: World) -> None:
    async with world.engine() as containers:
        networks = containers.networks
        await networks.create({"Name": "front"})
        await networks.create({"Name": "back"})
        container = await started(containers, "one", "front")
        await networks.connect("back", "one", {"Aliases": ["b"]})
        assert {one.interface for one in world.network_driver.attached.values()} == {"eth0", "eth1"}
        with pytest.raises(PermissionDenied, match="already exists in network back"):
            await networks.connect("back", "one", None)
        await networks.disconnect("front", "one", force=False)
        assert world.namespaces.routes == {container: (await networks.inspect("back"))["IPAM"]["Config"][0]["Gateway"]}
        assert list((await networks.inspect("back"))["Containers"]) == [container]
        with pytest.raises(PermissionDenied, match="is not connected to network front"):
            await networks.disconnect("front", "one", force=False)
        with pytest.raises(PermissionDenied, match="network back has active endpoints"):
            await networks.remove("back")
        world.network_driver.fault = Unavailable("no")
        with pytest.raises(Unavailable):
            await networks.connect("front", "one", None)
        assert list((await containers.inspect("one"))["NetworkSettings"]["Networks"]) == ["back"]
        for kind in ("host", "none"):
            with pytest.raises(PermissionDenied):
                await networks.connect(kind, "one", None)
        with pytest.raises(NotFound, match="endpoint nobody not found"):
            await networks.disconnect("back", "nobody", force=True)
        with pytest.raises(NotFound):
            await networks.disconnect("back", "nobody", force=False)
        assert [event for event, _, more in world.events.events if more.get("type") == "bridge"] == [
            "create", "create", "connect", "connect", "disconnect"
        ]  # fmt: skip


async def test_prune_and_list(world: World) -> None:
    async with world.engine() as containers:
        networks = containers.networks
        for name in ("used", "idle"):
            await networks.create({"Name": name, "Labels": {"of": name}})
        await create(containers, "one", "used")
        assert [found["Name"] for found in await networks.list({"type": ["custom"]})] == ["used", "idle"]
        assert [found["Name"] for found in await networks.list({"label": ["of=idle"]})] == ["idle"]
        assert [found["Name"] for found in await networks.list({"driver": ["null"]})] == ["none"]
        assert await networks.prune({"label": ["of=nobody"]}) == {"NetworksDeleted": []}
        assert await networks.prune() == {"NetworksDeleted": ["idle"]}
        with pytest.raises(InvalidArgument, match="invalid filter"):
            await networks.list({"colour": ["red"]})


async def test_after_a_kill(world: World, tasks: FakeTasks) -> None:
    """The engine is killed: one container goes on, one ended meanwhile, one was half started."""
    port = str(free_port())
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        steady = await started(containers, "steady", "front", PortBindings={"80": [{"HostPort": port}]})
        ended = await started(containers, "ended", "front")
        half = await create(containers, "half", "front")
        world.namespaces.there |= {half, "5" * 64}  # one was being made for it, and one for nobody any more
        store = world.services.networks
        (one, _) = await asyncio.to_thread(store.endpoints)
        await asyncio.to_thread(store.put_endpoints, [replace(one, id="e" * 64, container=half, address="")])
    await tasks.tasks[ended].kill(9)
    async with world.engine() as containers:
        await until(lambda: world.namespaces.there == containers.network_registry.owners() == {steady})
        assert {endpoint.container for endpoint in await asyncio.to_thread(store.endpoints)} == {steady}
        assert steady in world.namespaces.resolvers
        other = await create(containers, "other", PortBindings={"80": [{"HostPort": port}]})
        with pytest.raises(Conflict, match="port is already allocated"):
            await containers.start(other)
        await containers.start("half")


async def test_a_container_in_another_ones_network(world: World) -> None:
    async with world.engine() as containers:
        lender = await create(containers, "lender")
        guest = await create(containers, "guest", "container:lender")
        with pytest.raises(Conflict, match="cannot join network of a non running container"):
            await containers.start(guest)
        await containers.start(lender)
        await containers.start(guest)
        spec = world.tasks.tasks[guest].new.spec
        assert {"type": "network", "path": world.namespaces.path(lender)} in spec["linux"]["namespaces"]
        assert (await containers.inspect("guest"))["Config"]["Hostname"] == lender[:12]
        with pytest.raises(PermissionDenied, match="sharing network namespace"):
            await containers.networks.connect("bridge", "guest", None)
        with pytest.raises(InvalidArgument, match="conflicting options: port publishing"):
            await create(containers, "bad", "container:lender", PortBindings={"80": []})


async def test_a_module_without_sockets_has_no_network(world: World) -> None:
    async with world.engine() as containers:
        await containers.create("plain", {"Image": "hello", "Cmd": ["sleep"]}, None)
        await containers.start("plain")
        assert await asyncio.to_thread(empty, world)
        assert not world.network_driver.links


async def used_twice(world: World, containers: Containers, network: str) -> str:
    """One container runs in it, another one did; a place was made for a third. Returns who has that."""
    steady = await started(containers, "steady", network)
    short = await started(containers, "short", network)
    await containers.kill("short")
    attached = world.network_driver.attached
    await until(lambda: len({one.container for one in attached.values()} - {short}) == 2)
    (owner,) = {one.container for one in attached.values()} - {steady, short}
    return owner


async def test_a_place_is_made_before_it_is_asked_for(world: World) -> None:
    port = str(free_port())
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        owner = await used_twice(world, containers, "front")
        made = next(one for one in world.network_driver.attached.values() if one.container == owner)
        assert owner not in (await containers.networks.inspect("front"))["Containers"]
        names = world.namespaces.resolvers[next(iter(world.namespaces.there - {owner}))]
        assert names.name_of(made.address) == ""
        third = await started(containers, "third", "front", PortBindings={"80": [{"HostPort": port}]})
        assert world.namespaces.there == {third, *world.namespaces.resolvers}
        settings = (await containers.inspect("third"))["NetworkSettings"]
        assert settings["Networks"]["front"]["IPAddress"] == made.address
        assert names.addresses("third") == [made.address]
        assert [one.ports[0].host_port for one in world.network_driver.published.values()] == [int(port)]
        (kept,) = [one for one in world.services.networks.endpoints() if one.container == third]
        assert (kept.id, kept.address, kept.names[0]) == (made.id, made.address, "third")
        fourth = await started(containers, "fourth", "front")
        assert fourth in world.namespaces.there


async def test_a_place_nobody_takes_goes_with_its_network(world: World) -> None:
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        await used_twice(world, containers, "front")
        await containers.kill("steady")
        await until(lambda: len(world.network_driver.attached) == 1)
        await containers.networks.remove("front")
        assert await asyncio.to_thread(empty, world)


async def test_a_place_goes_with_the_engine_that_made_it(world: World) -> None:
    async with world.engine() as containers:
        owner = await used_twice(world, containers, "bridge")
        await containers.close()
        assert owner not in world.namespaces.there
        assert len(world.network_driver.attached) == 1


async def test_a_place_a_killed_engine_made_is_taken_down(world: World) -> None:
    async with world.engine() as containers:
        owner = await used_twice(world, containers, "bridge")
        made = next(one for one in world.network_driver.attached.values() if one.container == owner)
        assert made.id in {one.id for one in await asyncio.to_thread(world.services.networks.endpoints)}
    # A stop takes it down: what a kill would have left is put back.
    world.namespaces.there.add(owner)
    world.network_driver.attached[made.id] = made
    await asyncio.to_thread(world.services.networks.put_endpoints, [made])
    async with world.engine() as containers:
        assert owner not in world.namespaces.there | containers.network_registry.owners()
        assert len(world.network_driver.attached) == 1


async def test_a_place_that_cannot_be_made_is_not_missed(world: World) -> None:
    async with world.engine() as containers:
        await started(containers, "one")
        await started(containers, "two")
        world.network_driver.fault = Unavailable("network plugin bridge failed")
        await containers.kill("two")
        await until(lambda: world.network_driver.fault is None and len(world.namespaces.there) == 1)
        await started(containers, "three")


async def test_a_place_whose_taker_was_cancelled_is_taken_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    attach = world.network_driver.attach

    async def held_up(*args: Any) -> Endpoint:
        asked.set()
        await go_on.wait()
        return await attach(*args)

    async with world.engine() as containers:
        steady = await started(containers, "steady")
        await started(containers, "short")
        third = await create(containers, "third")
        monkeypatch.setattr(world.network_driver, "attach", held_up)
        await containers.kill("short")
        await asked.wait()
        starting = asyncio.create_task(containers.start(third))
        await until(lambda: not containers.sandboxes._berths._places)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go_on.set()
        await until(lambda: world.namespaces.there == {steady} and len(world.network_driver.attached) == 1)
        await containers.start(third)


async def test_ports_that_cannot_be_opened_leave_nothing(world: World) -> None:
    async with world.engine() as containers:
        world.network_driver.publish_fault = Unavailable("network plugin portmap failed")
        container = await create(containers, "one", PortBindings={"80": [{"HostIp": "127.0.0.1"}]})
        with pytest.raises(Unavailable, match="portmap failed"):
            await containers.start(container)
        assert await asyncio.to_thread(empty, world)
        assert container not in await world.tasks.ids()
        await containers.start(container)


async def test_a_network_removed_while_it_is_established_does_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is about to be put into it has it established, with another subnet, while somebody removes it."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        network = containers.network_registry.get("front")

        async def establish(network: Network, _: object) -> Network:
            asked.set()
            await go_on.wait()
            world.network_driver.links.add(network.link)
            return replace(network, subnet="10.9.0.0/24")

        monkeypatch.setattr(world.network_driver, "establish", establish)
        entering = asyncio.create_task(containers.sandboxes.established(network))
        await asked.wait()
        removal = asyncio.create_task(containers.networks.remove("front"))
        await asyncio.wait([removal], timeout=0.05)
        assert not removal.done()
        go_on.set()
        await asyncio.gather(entering, removal)
        assert network.link not in world.network_driver.links
        with pytest.raises(NotFound, match="not found"):
            await containers.network_registry.change(replace(network, subnet="10.8.0.0/24"))
        with pytest.raises(NotFound, match="not found"):
            await containers.sandboxes.established(network)
        assert "front" not in {one.name for one in await asyncio.to_thread(world.services.networks.networks)}
        assert "front" not in {one.name for one in containers.network_registry}


async def test_nobody_waits_for_the_network_of_one_that_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --rm: its name is free, and its address is not, until it is detached; its network can be removed at once."""
    go_on = asyncio.Event()
    driver = world.network_driver
    detach = driver.detach

    async def slowly(network: Network, endpoint: Endpoint, namespace: str) -> None:
        await go_on.wait()
        await detach(network, endpoint, namespace)

    monkeypatch.setattr(driver, "detach", slowly)
    async with world.engine() as containers:
        await containers.networks.create({"Name": "front"})
        await started(containers, "peer", "front")
        first = await started(containers, "one", "front", AutoRemove=True)
        waiting = await containers.wait("one", "removed")
        old = next(one.address for one in driver.attached.values() if one.container == first)
        await containers.kill("one")
        assert (await waiting)["StatusCode"] == 137
        assert first in {one.container for one in driver.attached.values()}, "it is not detached yet"
        second = await started(containers, "one", "front")
        names = world.namespaces.resolvers[second]
        new = next(one.address for one in driver.attached.values() if one.container == second)
        assert (list(names.addresses("one") or ()), new != old) == ([new], True)
        assert first not in (await containers.networks.inspect("front"))["Containers"]
        go_on.set()
        for name in ("one", "peer"):
            await containers.kill(name)
        await containers.networks.remove("front")
        await until(lambda: empty(world))
