"""python-on-whales, which types docker's commands and reads what they print, with WASM and Linux containers alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import python_on_whales
from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException, NoSuchContainer, NoSuchImage

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import Daemon, Docker, until


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_both(docker, tmp_path_factory.mktemp("images"), "whale")


@pytest.fixture(params=PLATFORMS)
def image(request: pytest.FixtureRequest, images: dict[str, str]) -> str:
    return images[request.param]


@pytest.fixture
def client(daemon: Daemon, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerClient]:
    monkeypatch.setenv("DOCKER_CONFIG", docker.environ["DOCKER_CONFIG"])
    return DockerClient(host=daemon.host)


def test_containers(client: DockerClient, image: str, tmp_path: Path) -> None:
    assert client.run(image, ["hello"], remove=True) == "hello"
    with pytest.raises(DockerException) as failed:
        client.run(image, ["exit", "5"], remove=True)
    assert failed.value.return_code == 5
    with client.run(image, ["sleep"], detach=True, name="whale", envs={"A": "b"}, labels={"c": "d"}) as made:
        assert made.state.running
        assert made.config.labels["c"] == "d"
        assert made.config.image == image
        assert made.execute(["/program", "hello"]) == "hello"
        assert [found.id for found in client.container.list(filters=[("label", "c=d")])] == [made.id]
        until(lambda: made.logs() == "sleeping\n", "it sleeps")
        assert [*client.container.logs(made, stream=True, follow=False)] == [("stdout", b"sleeping\n")]
        (tmp_path / "file").write_text("copied")
        made.copy_to(tmp_path / "file", "/seed/copied")
        made.copy_from("/seed/copied", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "copied"
        assert made.diff()["/seed/copied"] == "A"
        (figures,) = client.stats([made])
        assert figures.container_id == made.id
        made.pause()
        assert made.state.paused
        made.unpause()
        made.rename("whaler")
        assert client.container.exists("whaler")
        made.commit("whale-made")
        client.container.update(made, memory="64m", memory_swap="64m")
        assert made.host_config.memory == 64 << 20
        made.stop(time=1)
        assert client.container.wait(made) in (137, 143)
        assert not made.state.running
    with pytest.raises(NoSuchContainer):
        client.container.inspect("whaler")
    assert client.container.prune() is None


def test_images(client: DockerClient, image: str, tmp_path: Path) -> None:
    found = client.image.inspect(image)
    assert f"{image}:latest" in found.repo_tags
    found.tag("whale-tag:v1")
    assert "whale-tag:v1" in [tag for one in client.image.list() for tag in one.repo_tags]
    client.image.save("whale-tag:v1", output=tmp_path / "saved.tar")
    client.image.remove("whale-tag:v1")
    with pytest.raises(NoSuchImage):
        client.image.inspect("whale-tag:v1")
    assert client.image.load(tmp_path / "saved.tar") == ["whale-tag:v1"]
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nLABEL x=y\n")
    made = client.legacy_build(tmp_path, tags="whale-built")
    assert made.config.labels["x"] == "y"


def test_volumes_networks_system(client: DockerClient, images: dict[str, str]) -> None:
    volume = client.volume.create("whale-volume", labels={"a": "b"})
    assert volume.labels == {"a": "b"}
    client.run(images["wasm"], ["write", "/d/f", "kept"], remove=True, volumes=[(volume, "/d")])
    assert client.run(images["linux"], ["read", "/d/f"], remove=True, volumes=[(volume, "/d", "ro")]) == "kept"
    volume.remove()
    network = client.network.create("whale-net", labels={"a": "b"})
    with client.run(images["linux"], ["sleep"], detach=True, networks=[network]) as made:
        assert list(made.network_settings.networks) == ["whale-net"]
        assert list(network.reload() or network.containers) == [made.id]
    network.remove()
    info = client.system.info()
    assert info.os_type == "linux"
    assert info.containers >= 0
    assert client.system.disk_free().images.total_count >= 2
    assert client.version().server.api_version
    assert client.context.list()
    assert python_on_whales.__name__
