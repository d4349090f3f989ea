"""Docker's SDK for Python, as its documentation shows it, with WASM and Linux containers alike."""

import io
import json
import queue
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import Healthcheck, Mount
from docker.utils.socket import frames_iter

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import DEADLINE, LEAKY, Daemon, Docker, until

pytestmark = LEAKY


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_both(docker, tmp_path_factory.mktemp("images"), "py")


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[sdk.DockerClient]:
    made = sdk.DockerClient(base_url=daemon.host, timeout=int(DEADLINE))
    yield made
    made.close()


@pytest.fixture(params=PLATFORMS)
def image(request: pytest.FixtureRequest, images: dict[str, str]) -> str:
    return images[request.param]


@pytest.fixture
def sleeper(client: sdk.DockerClient, image: str) -> Iterator[Container]:
    made = client.containers.run(image, ["sleep"], detach=True, labels={"a": "b"})
    yield made
    made.remove(force=True, v=True)


def tar_of(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def test_run_gives_output_and_errors(client: sdk.DockerClient, image: str) -> None:
    assert client.containers.run(image, "hello", remove=True) == b"hello\n"
    both = client.containers.run(image, ["both"], remove=True, stdout=True, stderr=True)
    assert sorted(both.splitlines()) == [b"to stderr", b"to stdout"]
    assert client.containers.run(image, ["env", "X"], remove=True, environment={"X": "set"}) == b"set\n"
    with pytest.raises(ContainerError) as failed:
        client.containers.run(image, ["exit", "9"], remove=True)
    assert failed.value.exit_status == 9
    lines = client.containers.run(image, ["flood", "3"], stream=True)
    assert len(b"".join(lines).splitlines()) == 3


def test_a_container_lives_its_life(client: sdk.DockerClient, image: str) -> None:
    made = client.containers.create(image, ["sleep"], name="life", tty=False, stdin_open=True)
    try:
        assert (made.status, made.name, made.attrs["Path"]) == ("created", "life", "/program")
        made.start()
        until(lambda: made.logs() == b"sleeping\n", "it sleeps")
        assert [one.name for one in client.containers.list()].count("life") == 1
        made.reload()
        assert made.status == "running"
        made.pause()
        made.reload()
        assert made.status == "paused"
        made.unpause()
        made.rename("living")
        assert client.containers.get("living").id == made.id
        assert made.update(mem_limit="64m", memswap_limit="64m")["Warnings"] in (None, [])
        made.reload()
        assert made.attrs["HostConfig"]["Memory"] == 64 << 20
        top = made.top()
        assert top["Titles"]
        assert len(top["Processes"]) == 1
        made.restart(timeout=1)
        made.reload()
        assert made.status == "running"
        made.kill(signal="SIGKILL")
        assert made.wait(timeout=20)["StatusCode"] == 137
        made.start()
        made.stop(timeout=1)
        assert made.wait(condition="not-running")["StatusCode"] in (137, 143)
    finally:
        made.remove(force=True)
    with pytest.raises(NotFound):
        client.containers.get("living")


def test_logs(client: sdk.DockerClient, image: str) -> None:
    made = client.containers.run(image, ["tick"], detach=True)
    try:
        seen = made.logs(stream=True, follow=True)
        assert [next(seen) for _ in range(3)] == [b"tick 0\n", b"tick 1\n", b"tick 2\n"]
        assert made.logs(tail=1).count(b"\n") == 1
        assert made.logs(timestamps=True, tail=1)[4:5] == b"-"
        assert made.logs(stdout=False) == b""
        made.kill()
        assert all(line.startswith(b"tick ") for line in seen)  # and it comes to its end
    finally:
        made.remove(force=True)


def test_exec(client: sdk.DockerClient, sleeper: Container) -> None:
    assert sleeper.exec_run(["/program", "hello"]) == (0, b"hello\n")
    assert sleeper.exec_run("/program exit 3").exit_code == 3
    assert sleeper.exec_run(["/program", "both"], demux=True).output == (b"to stdout\n", b"to stderr\n")
    assert sleeper.exec_run(["/program", "env", "X"], environment=["X=1"]).output == b"1\n"
    assert b"".join(sleeper.exec_run(["/program", "flood", "3"], stream=True).output).count(b"\n") == 3
    assert sleeper.exec_run(["/program", "hello"], tty=True).output == b"hello\r\n"
    made = client.api.exec_create(sleeper.id, ["/program", "lines"], stdin=True)["Id"]
    talk = client.api.exec_start(made, socket=True)
    frames = frames_iter(talk, tty=False)
    assert next(frames) == (1, b"ready\n")
    talk._sock.sendall(b"aye\n")
    assert next(frames) == (1, b"got aye\n")
    talk._sock.sendall(b"quit\n")
    assert list(frames) == []
    talk.close()
    until(lambda: not client.api.exec_inspect(made)["Running"], "the exec has ended")
    assert client.api.exec_inspect(made)["ExitCode"] == 7


def test_attach(client: sdk.DockerClient, image: str) -> None:
    made = client.containers.create(image, ["lines"], stdin_open=True)
    try:
        talk = made.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        made.start()
        frames = frames_iter(talk, tty=False)
        assert next(frames) == (1, b"ready\n")
        talk._sock.sendall(b"ahoy\n")
        assert next(frames) == (1, b"got ahoy\n")
        output = made.attach(stream=True, logs=True)
        assert next(output).startswith(b"ready\n")
        talk._sock.sendall(b"quit\n")
        assert list(frames) == []
        assert made.wait()["StatusCode"] == 7
        talk.close()
        assert made.attach(stdout=True, stream=False, logs=True) == b"ready\ngot ahoy\n"
    finally:
        made.remove(force=True)


def test_stats(sleeper: Container) -> None:
    once = sleeper.stats(stream=False)
    assert once["memory_stats"]["usage"] > 0
    assert once["cpu_stats"]["cpu_usage"]["total_usage"] >= 0
    stream = sleeper.stats(decode=True)
    assert next(stream)["id"] == sleeper.id


def test_archives(sleeper: Container) -> None:
    assert sleeper.put_archive("/seed", tar_of("put", b"in a tar")) is True
    assert sleeper.exec_run(["/program", "read", "/seed/put"]).output == b"in a tar"
    pieces, about = sleeper.get_archive("/seed/put")
    assert (about["name"], about["size"]) == ("put", 8)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert archive.extractfile("put").read() == b"in a tar"
    with pytest.raises(NotFound):
        sleeper.get_archive("/nothing")
    assert {"Path": "/seed/put", "Kind": 1} in sleeper.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(sleeper.export()))) as archive:
        assert "seed/put" in archive.getnames()
    made = sleeper.commit("committed", "v1", message="why", conf={"Labels": {"c": "d"}})
    assert made.tags == ["committed:v1"]
    assert made.labels["c"] == "d"


def test_events(client: sdk.DockerClient, image: str) -> None:
    events = client.events(decode=True, filters={"type": "container", "image": image})
    seen: queue.Queue = queue.Queue()
    reader = threading.Thread(target=lambda: [seen.put(event) for event in events])
    reader.start()
    client.containers.run(image, ["exit", "0"], remove=True, name="eventful")
    found = {}
    while "destroy" not in found:
        event = seen.get(timeout=DEADLINE)
        found[event["Action"]] = event
    events.close()
    reader.join(DEADLINE)
    assert list(found) == ["create", "start", "die", "destroy"]
    die = found["die"]
    assert die["Actor"]["Attributes"]["exitCode"] == "0"
    assert (die["status"], die["id"], die["from"]) == ("die", die["Actor"]["ID"], image)
    assert die["timeNano"] // 10**9 == die["time"]


def test_filters_in_both_forms(client: sdk.DockerClient, sleeper: Container) -> None:
    by_list = client.containers.list(filters={"label": ["a=b"], "id": sleeper.id})
    assert [one.id for one in by_list] == [sleeper.id]
    raw = client.api._get(
        client.api._url("/containers/json"), params={"filters": json.dumps({"id": {sleeper.id: True}})}
    )
    assert [one["Id"] for one in raw.json()] == [sleeper.id]
    with pytest.raises(APIError, match="invalid filter"):
        client.containers.list(filters={"nonsense": "x"})


def test_ports_hosts_health(client: sdk.DockerClient, image: str) -> None:
    made = client.containers.run(
        image,
        ["sleep"],
        detach=True,
        ports={"80/tcp": None, "81/tcp": ("127.0.0.1", None)},
        healthcheck=Healthcheck(test=["CMD", "/program", "hello"], interval=100_000_000, timeout=10**10, retries=3),
        extra_hosts={"somewhere": "10.9.8.7"},
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
        mem_limit="64m",
        nano_cpus=500_000_000,
        tmpfs={"/scratch": "size=1m"},
    )
    try:
        made.reload()
        assert made.ports["81/tcp"][0]["HostIp"] == "127.0.0.1"
        assert int(made.ports["80/tcp"][0]["HostPort"]) > 0
        assert made.attrs["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}

        def healthy() -> bool:
            made.reload()
            return made.health == "healthy"

        until(healthy, "it is healthy")
    finally:
        made.remove(force=True)


def test_images(client: sdk.DockerClient, images: dict[str, str], image: str) -> None:
    found = client.images.get(image)
    assert f"{image}:latest" in found.tags
    assert found.id in [one.id for one in client.images.list(image)]
    assert found.tag("other", "v2") is True
    assert next(one["Tags"] for one in found.history())
    saved = b"".join(found.save(named=True))
    client.images.remove("other:v2")
    with pytest.raises(ImageNotFound):
        client.images.get("other:v2")
    assert [one.id for one in client.images.load(saved)] == [found.id]
    with pytest.raises(ImageNotFound):
        client.images.pull("nothing-there")
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] >= 0


@pytest.mark.parametrize("kind", PLATFORMS)
def test_build(client: sdk.DockerClient, images: dict[str, str], kind: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {images[kind]}\nARG who\nLABEL who=$who\nCMD ["hello"]\n')
    made, lines = client.images.build(
        path=str(tmp_path), tag="built", buildargs={"who": "me"}, platform=PLATFORMS[kind], rm=True, labels={"x": "y"}
    )
    assert any("Successfully built" in line.get("stream", "") for line in lines)
    assert made.labels == {"who": "me", "x": "y"}
    assert client.containers.run("built", remove=True) == b"hello\n"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY missing /\n")
    with pytest.raises(sdk.errors.BuildError):
        client.images.build(path=str(tmp_path))
    client.images.remove("built", force=True)


def test_volumes(client: sdk.DockerClient, image: str) -> None:
    made = client.volumes.create("py-volume", driver="local", labels={"v": "1"})
    try:
        assert [one.name for one in client.volumes.list(filters={"label": "v=1"})] == ["py-volume"]
        client.containers.run(
            image, ["write", "/data/file", "kept"], remove=True, volumes={"py-volume": {"bind": "/data", "mode": "rw"}}
        )
        mounts = [Mount("/data", "py-volume", read_only=True)]
        assert client.containers.run(image, ["read", "/data/file"], remove=True, mounts=mounts) == b"kept"
        assert client.volumes.get("py-volume").attrs["Labels"] == {"v": "1"}
    finally:
        made.remove(force=True)
    with pytest.raises(NotFound):
        client.volumes.get("py-volume")
    assert "SpaceReclaimed" in client.volumes.prune()


@pytest.mark.parametrize("image", ["linux"], indirect=True)
def test_networks(client: sdk.DockerClient, sleeper: Container) -> None:
    pool = sdk.types.IPAMPool(subnet="10.213.77.0/24", gateway="10.213.77.1")
    made = client.networks.create("py-net", driver="bridge", ipam=sdk.types.IPAMConfig(pool_configs=[pool]))
    try:
        made.connect(sleeper, aliases=["other"], ipv4_address="10.213.77.9")
        made.reload()
        assert [one.id for one in made.containers] == [sleeper.id]
        sleeper.reload()
        assert sleeper.attrs["NetworkSettings"]["Networks"]["py-net"]["IPAddress"] == "10.213.77.9"
        assert [one.name for one in client.networks.list(names=["py-net"])] == ["py-net"]
        made.disconnect(sleeper)
    finally:
        made.remove()
    assert client.networks.prune()["NetworksDeleted"] in (None, [])


def test_system(client: sdk.DockerClient, image: str) -> None:
    assert client.ping() is True
    assert client.version()["ApiVersion"] == client.api.version()["ApiVersion"]
    assert client.df()["Images"]
    info = client.info()
    assert info["Images"] >= 2
    assert {"bridge", "host", "null"} <= set(info["Plugins"]["Network"])
    made = client.containers.create(image)
    assert made.id in client.containers.prune()["ContainersDeleted"]
    with pytest.raises(APIError, match="swarm"):
        client.swarm.init()
    assert client.plugins.list() == []


@pytest.mark.parametrize("version", ["1.24", "1.40", "auto"])
def test_versions(daemon: Daemon, version: str, image: str) -> None:
    client = sdk.DockerClient(base_url=daemon.host, version=version)
    try:
        assert client.containers.run(image, "hello", remove=True) == b"hello\n"
    finally:
        client.close()


def test_a_mac_address_of_the_container(client: sdk.DockerClient, image: str) -> None:
    mac = "02:42:ac:11:00:99"
    made = client.containers.create(image, ["sleep"], mac_address=mac, network_mode="bridge")
    try:
        found = made.attrs
        assert found["Config"]["MacAddress"] == mac
        assert found["HostConfig"]["NetworkMode"] == "bridge"
    finally:
        made.remove()
    with pytest.raises(sdk.errors.APIError, match="mac-address and the network mode"):
        client.containers.create(image, ["sleep"], mac_address=mac, network_mode="none")
