"""What every driver of `Remotes` does, the test double included."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.registry import FakeRegistry
from tests.fakes.remotes import MemoryRemotes, image_document
from wherry.core.remotes import upload
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.registry import RegistryRemotes
from wherry.core.remotes.remote import Credentials, Document, Remotes, Repository
from wherry.errors import NotFound, Unauthenticated
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Index, Manifest

DOMAIN = "registry.example:5000"


@pytest.fixture(params=["memory", "http", "http-chunked", "http-old"])
async def remotes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Remotes]:
    if request.param == "memory":
        yield MemoryRemotes({"me": "secret"})
        return
    if request.param == "http-chunked":
        monkeypatch.setattr(upload, "CHUNK", 700)
    async with FakeRegistry(referrers=request.param != "http-old") as registry:
        made = RegistryRemotes(RegistryConfig(places={DOMAIN: registry.url}))
        try:
            yield made
        finally:
            await made.close()


def source(data: bytes):
    async def read(offset: int):
        for start in range(offset, len(data), 300):
            yield data[start : start + 300]

    return read


async def push(repository: Repository, document: Document, blobs, tag: str = "latest") -> list[str]:
    outcomes = [await repository.push(blob, source(data), progress=lambda _: None) for blob, data in blobs]
    await repository.push_document(document, tag)
    return outcomes


async def fetched(repository: Repository, blob: Descriptor) -> bytes:
    return b"".join([piece async for piece in repository.fetch(blob)])


async def test_what_was_pushed_is_fetched(remotes: Remotes) -> None:
    repository = remotes.repository(DOMAIN, "a/b")
    document, blobs = image_document(b"one layer", bytes(range(256)) * 20)
    assert await push(repository, document, blobs) == ["pushed"] * 3
    again = remotes.repository(DOMAIN, "a/b")
    assert await again.resolve("latest") == document.descriptor
    assert await again.document("latest") == document
    assert await again.document(str(document.descriptor.digest)) == document
    for blob, data in blobs:
        assert await fetched(again, blob) == data


async def test_what_is_there_is_not_sent_again(remotes: Remotes) -> None:
    document, blobs = image_document(b"layer")
    await push(remotes.repository(DOMAIN, "one"), document, blobs)
    assert await push(remotes.repository(DOMAIN, "one"), document, blobs, "two") == ["exists"] * 2
    assert await remotes.repository(DOMAIN, "one").tags() == ["latest", "two"]


async def test_a_blob_is_mounted_from_a_neighbour(remotes: Remotes) -> None:
    document, blobs = image_document(b"layer")
    await push(remotes.repository(DOMAIN, "one"), document, blobs)
    other = remotes.repository(DOMAIN, "two")
    blob, data = blobs[1]
    assert await other.push(blob, source(data), mount="one", progress=lambda _: None) == "mounted"
    assert await other.push(blobs[0][0], source(blobs[0][1]), mount="three", progress=lambda _: None) == "pushed"
    assert await fetched(other, blob) == data


async def test_progress_ends_with_all_of_it(remotes: Remotes) -> None:
    told: list[int] = []
    _, blobs = image_document(b"x" * 5000)
    blob, data = blobs[1]
    await remotes.repository(DOMAIN, "one").push(blob, source(data), progress=told.append)
    assert told[-1] == 5000
    assert told == sorted(told)


async def test_what_is_not_there_is_not_found(remotes: Remotes) -> None:
    repository = remotes.repository(DOMAIN, "nowhere")
    with pytest.raises(NotFound, match="name unknown"):
        await repository.resolve("latest")
    with pytest.raises(NotFound, match="name unknown"):
        await repository.tags()
    document, blobs = image_document(b"layer")
    await push(repository, document, blobs)
    with pytest.raises(NotFound, match="manifest unknown"):
        await repository.document("other")
    with pytest.raises(NotFound, match="manifest unknown"):
        await repository.document(str(Digest.of(b"nothing")))
    with pytest.raises(NotFound, match="blob unknown"):
        await fetched(repository, Descriptor.of(mediatypes.OCI_LAYER, b"no such layer"))


async def test_tags_of_several_pages(remotes: Remotes) -> None:
    repository = remotes.repository(DOMAIN, "many")
    document, blobs = image_document(b"layer")
    names = [f"v{number}" for number in range(7)]
    for name in names:
        await push(repository, document, blobs, name)
    assert await repository.tags() == names


async def test_an_index_and_its_children(remotes: Remotes) -> None:
    repository = remotes.repository(DOMAIN, "multi")
    document, blobs = image_document(b"layer")
    await push(repository, document, blobs, "")
    data = Index((document.descriptor,)).to_bytes()
    index = Document(Descriptor.of(mediatypes.OCI_INDEX, data), data)
    await repository.push_document(index, "latest")
    assert await repository.document("latest") == index


async def test_referrers_are_found(remotes: Remotes) -> None:
    repository = remotes.repository(DOMAIN, "signed")
    document, blobs = image_document(b"layer")
    await push(repository, document, blobs)
    assert await repository.referrers(document.descriptor.digest) == []
    found = []
    for text in (b"one", b"two"):
        layer = Descriptor.of("application/x.signature", text)
        await repository.push(layer, source(text), progress=lambda _: None)
        data = Manifest(
            blobs[0][0], (layer,), artifact_type="application/x.kind", subject=document.descriptor
        ).to_bytes()
        signature = Document(Descriptor.of(mediatypes.OCI_MANIFEST, data), data)
        await repository.push_document(signature)
        await repository.push_document(signature)
        found.append(signature.descriptor.digest)
        listed = await repository.referrers(document.descriptor.digest)
        assert sorted(entry.digest for entry in listed) == sorted(found)
        assert {entry.artifact_type for entry in listed} == {"application/x.kind"}


@pytest.mark.parametrize("kind", ["memory", "basic", "token"])
async def test_login(kind: str) -> None:
    if kind == "memory":
        await _login(MemoryRemotes({"me": "secret"}))
        return
    async with FakeRegistry({"me": "secret"}, tokens=kind == "token") as registry:
        made = RegistryRemotes(RegistryConfig(places={DOMAIN: registry.url}))
        await _login(made)
        await made.close()


async def _login(remotes: Remotes) -> None:
    await remotes.login(DOMAIN, Credentials("me", "secret"))
    with pytest.raises(Unauthenticated, match=r"^Get \"https?://.*/v2/\": unauthorized: "):
        await remotes.login(DOMAIN, Credentials("me", "wrong"))
