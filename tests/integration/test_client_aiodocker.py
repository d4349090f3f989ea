"""aiodocker, as its documentation shows it, with WASM and Linux containers alike. Its attach is a WebSocket."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator

import aiodocker
import pytest

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import DEADLINE, LEAKY, Daemon, Docker

pytestmark = LEAKY


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_both(docker, tmp_path_factory.mktemp("images"), "aio")


@pytest.fixture(params=PLATFORMS)
def image(request: pytest.FixtureRequest, images: dict[str, str]) -> str:
    return images[request.param]


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[aiodocker.Docker]:
    made = aiodocker.Docker(url=daemon.host)
    async with asyncio.timeout(DEADLINE):
        yield made
    await made.close()


@pytest.fixture
async def talker(client: aiodocker.Docker, image: str) -> AsyncIterator[aiodocker.containers.DockerContainer]:
    """Not yet started; it answers line by line."""
    config = {"Image": image, "Cmd": ["lines"], "OpenStdin": True, "AttachStdin": True, "AttachStdout": True}
    made = await client.containers.create(config, name="talker")
    yield made
    await made.delete(force=True)


async def test_a_container_runs_and_is_waited_for(client: aiodocker.Docker, image: str) -> None:
    made = await client.containers.create_or_replace("quick", {"Image": image, "Cmd": ["both"]})
    await made.start()
    assert (await made.wait())["StatusCode"] == 0
    assert await made.log(stdout=True) == ["to stdout\n"]
    assert await made.log(stderr=True) == ["to stderr\n"]
    assert (await made.show())["State"]["Status"] == "exited"
    assert "quick" in [
        one["Names"][0][1:] for one in [entry._container for entry in await client.containers.list(all=1)]
    ]
    await made.rename("quicker")
    await (await client.containers.get("quicker")).delete()
    with pytest.raises(aiodocker.DockerError) as missing:
        await client.containers.get("quicker")
    assert missing.value.status == 404
    made = await client.containers.run({"Image": image, "Cmd": ["exit", "4"]})
    assert (await made.wait())["StatusCode"] == 4
    await made.delete()


async def test_attach_and_exec(client: aiodocker.Docker, talker: aiodocker.containers.DockerContainer) -> None:
    async with talker.attach(stdin=True, stdout=True, stderr=True) as stream:
        await talker.start()
        assert (await stream.read_out()).data == b"ready\n"
        await stream.write_in(b"ahoy\n")
        assert (await stream.read_out()).data == b"got ahoy\n"
    made = await talker.exec(["/program", "both"])
    found = {}
    async with made.start(detach=False) as stream:
        while (message := await stream.read_out()) is not None:
            found[message.stream] = message.data
    assert found == {1: b"to stdout\n", 2: b"to stderr\n"}
    assert (await made.inspect())["ExitCode"] == 0
    terminal = await talker.exec(["/program", "hello"], tty=True)
    async with terminal.start(detach=False) as stream:
        assert (await stream.read_out()).data == b"hello\r\n"


async def test_a_websocket_carries_both_ways(talker: aiodocker.containers.DockerContainer) -> None:
    await talker.start()
    socket = await talker.websocket(stdin=True, stdout=True, stderr=True, stream=True, logs=True)
    seen = b""
    while seen != b"ready\n":
        seen += await socket.receive_bytes()
    await socket.send_bytes(b"from binary\n")
    assert await socket.receive_bytes() == b"got from binary\n"
    await socket.send_str("from text\n")
    assert await socket.receive_bytes() == b"got from text\n"
    await socket.send_str("quit\n")
    ended = await socket.receive()
    assert ended.type.name in ("CLOSE", "CLOSING", "CLOSED")
    assert (await talker.wait())["StatusCode"] == 7
    await socket.close()


async def test_logs_stats_and_archives(client: aiodocker.Docker, image: str) -> None:
    made = await client.containers.run({"Image": image, "Cmd": ["tick"]}, name="ticker")
    try:
        lines = []
        async for line in made.log(stdout=True, follow=True):
            lines.append(line)
            if len(lines) == 3:
                break
        assert lines == ["tick 0\n", "tick 1\n", "tick 2\n"]
        assert (await made.stats(stream=False))[0]["memory_stats"]["usage"] > 0
        async for figures in made.stats():
            assert figures["name"] == "/ticker"
            break
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("put")
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"data"))
        await made.put_archive("/seed", archive.getvalue())
        with await made.get_archive("/seed/put") as tar:
            assert tar.extractfile("put").read() == b"data"
        await made.pause()
        await made.unpause()
        await made.restart(timeout=1)
        await made.kill(signal="KILL")
        await made.wait()
        assert (await made.commit(repository="aio-made"))["Id"].startswith("sha256:")
    finally:
        await made.delete(force=True)


async def test_events(client: aiodocker.Docker, image: str) -> None:
    events = client.events.subscribe()
    made = await client.containers.run({"Image": image, "Cmd": ["hello"]}, name="told")
    await made.wait()
    await made.delete()
    seen = []
    while "destroy" not in seen:
        event = await events.get()
        if event["Actor"]["Attributes"].get("name") == "told":
            assert event["time"].year >= 2000
            seen.append(event["Action"])
    assert [action for action in seen if action not in ("attach", "create")] == ["start", "die", "destroy"]


async def test_images(client: aiodocker.Docker, image: str) -> None:
    found = await client.images.inspect(image)
    assert found["Id"] in [one["Id"] for one in await client.images.list()]
    await client.images.tag(image, "aio-tag:v1")
    assert (await client.images.history("aio-tag:v1"))[0]["Id"]
    async with client.images.export_image("aio-tag:v1") as stream:
        saved = await stream.read(-1)
    assert {"Untagged": "aio-tag:v1"} in await client.images.delete("aio-tag:v1")
    loaded = [line async for line in client.images.import_image(data=saved, stream=True)]
    assert any("aio-tag:v1" in line.get("stream", "") for line in loaded)
    with pytest.raises(aiodocker.DockerError):
        await client.images.pull("nothing-there")
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w:gz") as tar:
        text = f"FROM {image}\nLABEL a=b\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    context.seek(0)
    built = await client.images.build(fileobj=context, encoding="gzip", tag="aio-built", platform=None)
    assert any("Successfully built" in line.get("stream", "") for line in built)


async def test_volumes_networks_system(client: aiodocker.Docker) -> None:
    volume = await client.volumes.create({"Name": "aio-volume", "Labels": {"a": "b"}})
    assert (await volume.show())["Labels"] == {"a": "b"}
    assert "aio-volume" in [one["Name"] for one in (await client.volumes.list())["Volumes"]]
    await volume.delete()
    network = await client.networks.create({"Name": "aio-net"})
    assert (await network.show())["Name"] == "aio-net"
    assert "aio-net" in [one["Name"] for one in await client.networks.list()]
    assert await network.delete()
    assert (await client.system.info())["OSType"] == "linux"
    assert (await client.version())["ApiVersion"]
