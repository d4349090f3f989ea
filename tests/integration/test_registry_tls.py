"""HTTPS with CAs and client certificates of the user's own, against Debian's docker-registry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.authority import Authority
from tests.fakes.docker_registry import DockerRegistry
from wherry.core.remotes import http
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.registry import RegistryRemotes
from wherry.errors import FailedPrecondition, NotFound, Unavailable


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def registry(authority: Authority) -> Iterator[DockerRegistry]:
    with DockerRegistry(certificate=(authority["server.crt"], authority["server.key"])) as made:
        yield made


@pytest.fixture(scope="module")
def strict(authority: Authority) -> Iterator[DockerRegistry]:
    """It wants to see a client's certificate."""
    with DockerRegistry(
        certificate=(authority["server.crt"], authority["server.key"]), clients=authority["ca.crt"]
    ) as made:
        yield made


@pytest.fixture
def trusting_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if loopback were the network: this machine's own addresses are spoken to without looking at certificates."""
    monkeypatch.setattr(http, "is_insecure", lambda authority, config: False)


async def ask(address: str, certificates: Path) -> None:
    """Resolve what is not there: the answer shows that the registry was spoken to."""
    remotes = RegistryRemotes(RegistryConfig(places={"reg": f"https://{address}"}, certificates=(str(certificates),)))
    try:
        await remotes.repository("reg", "a").resolve("latest")
    finally:
        await remotes.close()


@pytest.mark.usefixtures("trusting_nobody")
async def test_an_unknown_ca_is_refused_and_a_known_one_is_not(
    registry: DockerRegistry, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(FailedPrecondition, match=r"is not trusted: .*put its CA into /etc/docker/certs\.d/127"):
        await ask(registry.address, tmp_path)
    (tmp_path / registry.address).mkdir()
    (tmp_path / registry.address / "ca.crt").write_bytes(authority["ca.crt"].read_bytes())
    with pytest.raises(NotFound):
        await ask(registry.address, tmp_path)


@pytest.mark.usefixtures("trusting_nobody")
async def test_a_client_certificate_is_shown(strict: DockerRegistry, authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / strict.address
    folder.mkdir()
    (folder / "ca.crt").write_bytes(authority["ca.crt"].read_bytes())
    with pytest.raises(Unavailable):
        await ask(strict.address, tmp_path)
    (folder / "client.cert").write_bytes(authority["client.crt"].read_bytes())
    with pytest.raises(FailedPrecondition, match=r"missing key client\.key for client certificate client\.cert"):
        await ask(strict.address, tmp_path)
    (folder / "client.key").write_bytes(authority["client.key"].read_bytes())
    with pytest.raises(NotFound):
        await ask(strict.address, tmp_path)
    (folder / "client.key").write_text("nonsense")
    with pytest.raises(FailedPrecondition, match="cannot use the certificate"):
        await ask(strict.address, tmp_path)
    (folder / "ca.crt").write_text("nonsense")
    with pytest.raises(FailedPrecondition, match="cannot use the certificate"):
        await ask(strict.address, tmp_path)


async def test_this_machines_own_is_found_with_and_without_tls(registry: DockerRegistry) -> None:
    remotes = RegistryRemotes(RegistryConfig())
    with pytest.raises(NotFound):
        await remotes.repository(registry.address, "a").resolve("latest")
    with DockerRegistry() as plain, pytest.raises(NotFound):
        await remotes.repository(plain.address, "a").resolve("latest")
    await remotes.close()
