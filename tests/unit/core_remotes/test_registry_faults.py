"""Registries that break, lie, stall and refuse: a blob is whole or not there, and credentials stay where they are."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry, Fault, digest_of, serving
from tests.fakes.remotes import image_document
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
from wherry.core.remotes import transfer, upload
from wherry.core.remotes.hosts import Endpoint, RegistryConfig
from wherry.core.remotes.http import Client, Reached, Timing
from wherry.core.remotes.registry import RegistryRemotes, RegistryRepository
from wherry.core.remotes.remote import ANONYMOUS, Credentials
from wherry.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated, Unavailable
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.manifest import Manifest

DATA = bytes(range(256)) * 1000
BLOB = Descriptor.of(mediatypes.OCI_LAYER, DATA)
ME = Credentials("me", "secret")


class World:
    """A registry, a client of it whose sleeps take no time, and a content store."""

    def __init__(self, registry: FakeRegistry, folder: Path, **config) -> None:
        self.registry = registry
        self.slept: list[float] = []
        self.now = 1_800_000_000.0
        self.content = LocalContentStore(str(folder))
        timing = Timing(self._sleep, lambda: self.now, lambda: self.now, lambda: 1.0, stall=1.0)
        self.remotes = RegistryRemotes(RegistryConfig(places={"reg": registry.url}, **config), timing)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def repository(self, credentials: Credentials = ANONYMOUS, name: str = "a") -> RegistryRepository:
        return self.remotes.repository("reg", name, credentials)

    async def fetch(self, blob: Descriptor = BLOB, credentials: Credentials = ANONYMOUS) -> list[int]:
        told: list[int] = []
        await transfer.fetch(self.repository(credentials), blob, self.content, told.append)
        return told

    @property
    def stored(self) -> list[str]:
        return [info.digest for info in self.content.walk()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with FakeRegistry() as registry:
        registry.add_blob("a", DATA)
        made = World(registry, tmp_path)
        yield made
        await made.remotes.close()
        assert list((tmp_path / "ingest").iterdir()) == []


@pytest.fixture
async def guarded(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with FakeRegistry({"me": "secret"}, tokens=getattr(request, "param", True)) as registry:
        registry.add_blob("a", DATA)
        made = World(registry, tmp_path)
        yield made
        await made.remotes.close()


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize("cut", [0, 1, 1000, len(DATA) - 1])
async def test_a_broken_connection_is_taken_up_again(world: World, cut: int, ranges: bool) -> None:
    world.registry.ranges = ranges
    world.registry.faults = [Fault("GET .*blobs", cut=cut, times=2)]
    await world.fetch()
    assert world.content.read(BLOB) == DATA
    asked = [headers.get("Range") for line, headers in world.registry.seen if "blobs" in line]
    assert len(asked) == (2 if ranges and cut == len(DATA) - 1 else 3)
    assert (asked[1] is not None) == (cut > 0)


def test_what_is_known_of_registries_is_bounded() -> None:
    timing = Timing(asyncio.sleep, lambda: 0.0, lambda: 0.0, lambda: 1.0, stall=1.0)
    client = Client(RegistryConfig(), timing)
    for number in range(1000):
        place = Endpoint((f"https://r{number}.example",))
        client.remember(place, Reached(place.urls[0], (), 0.0))
        assert client.reached(place) is not None
    assert len(client._reached) <= 256


async def test_one_that_never_gets_on_is_given_up(world: World) -> None:
    world.registry.faults = [Fault("GET .*blobs", cut=0, times=100)]
    with pytest.raises(Unavailable, match=str(BLOB.digest)):
        await world.fetch()
    assert len(world.registry.asked("blobs")) == 5
    assert world.stored == []


async def test_a_flipped_byte_is_noticed_and_fetched_again(world: World) -> None:
    world.registry.faults = [Fault("GET .*blobs", flip=77)]
    await world.fetch()
    assert world.content.read(BLOB) == DATA


async def test_a_registry_that_lies_leaves_nothing(world: World) -> None:
    world.registry.faults = [Fault("GET .*blobs", flip=77, times=9)]
    with pytest.raises(DataLoss, match="sends something else than it says"):
        await world.fetch()
    assert world.stored == []


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 1])
async def test_a_wrong_size_is_refused(world: World, size: int) -> None:
    wrong = replace(BLOB, size=size)
    with pytest.raises((DataLoss, Unavailable)):
        await world.fetch(wrong)
    assert world.stored == []


async def test_an_endless_body_is_cut(world: World) -> None:
    world.registry.faults = [Fault("GET", endless=True, times=9)]
    with pytest.raises(DataLoss):
        await world.fetch()
    with pytest.raises(InvalidArgument, match="manifest latest is too large"):
        await world.repository().document("latest")
    with pytest.raises(InvalidArgument, match="the list of tags is too large"):
        await world.repository().tags()


async def test_a_manifest_of_100_mb_is_refused(world: World) -> None:
    world.registry.add_manifest("a", b" " * (100 << 20), mediatypes.OCI_MANIFEST, "big")
    for reference in ("big", world.registry.repository("a")["tags"]["big"]):
        with pytest.raises(InvalidArgument, match="too large: at most 8388608 bytes"):
            await world.repository().document(reference)


async def test_silence_counts_as_a_break(world: World) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    quick = replace(world.remotes._client.timing, stall=0.05)
    remotes = RegistryRemotes(RegistryConfig(places={"reg": f"http://127.0.0.1:{port}"}), quick)
    with pytest.raises(Unavailable, match="timed out"):
        await remotes.repository("reg", "a").resolve("latest")
    await remotes.close()
    server.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_busy_registries_are_asked_again(world: World, status: int) -> None:
    world.registry.faults = [Fault("GET .*blobs", status=status, times=3)]
    await world.fetch()
    assert world.slept == [0.25, 0.5, 1.0]


async def test_retry_after_is_kept(world: World) -> None:
    date = "Fri, 15 Jan 2027 08:00:20 GMT"
    world.registry.faults = [
        Fault("GET .*blobs", status=429, headers={"Retry-After": "7"}),
        Fault("GET .*blobs", status=503, headers={"Retry-After": date}),
        Fault("GET .*blobs", status=503, headers={"Retry-After": "99999999999999"}),
        Fault("GET .*blobs", status=503, headers={"Retry-After": "soon"}),
    ]
    await world.fetch()
    assert world.slept == [7.0, 13.0, 120.0, 2.0]


async def test_too_many_requests_in_the_end(world: World) -> None:
    body = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached\\nyour limit"}]}'
    world.registry.faults = [Fault("GET .*blobs", status=429, times=99, body=body)]
    with pytest.raises(ResourceExhausted, match=r"^toomanyrequests: You have reached your limit$"):
        await world.fetch()


async def test_redirects_are_followed_without_credentials(guarded: World, tmp_path: Path) -> None:
    async with FakeRegistry() as elsewhere:
        elsewhere.add_blob("a", DATA)
        place = f"{elsewhere.url}/v2/a/blobs/{BLOB.digest}"
        guarded.registry.faults = [Fault("GET .*blobs", status=307, headers={"Location": place})]
        guarded.registry.tokens = False
        await guarded.fetch(credentials=ME)
        assert [headers.get("Authorization") for _, headers in elsewhere.seen] == [None]
        assert "Authorization" in guarded.registry.seen[-1][1]


@pytest.mark.parametrize(
    "target", ["{url}/v2/a/blobs/x", "file:///etc/passwd", "http://", "http://[::1", "", "http://a b/"]
)
async def test_redirects_that_lead_nowhere(world: World, target: str) -> None:
    headers = {"Location": target.replace("{url}", world.registry.url)}
    world.registry.faults = [Fault("GET .*blobs", status=302, headers=headers, times=100)]
    with pytest.raises(Unavailable, match=r"redirect"):
        await world.fetch()
    assert len(world.registry.asked("blobs")) <= 12
    assert world.stored == []


@pytest.mark.parametrize("guarded", [True, False], indirect=True, ids=["token", "basic"])
async def test_logins(guarded: World) -> None:
    with pytest.raises(Unauthenticated, match="unauthorized"):
        await guarded.fetch()
    with pytest.raises(Unauthenticated, match="unauthorized"):
        await guarded.fetch(credentials=Credentials("me", "wrong"))
    await guarded.fetch(credentials=ME)
    assert guarded.stored == [BLOB.digest]


async def test_an_identity_token_and_a_registry_token(guarded: World) -> None:
    assert await guarded.remotes.login("reg", ME) == "refresh-me"
    await guarded.fetch(credentials=Credentials(identity_token="refresh-me"))
    token = next(reversed([name for name, scopes in guarded.registry.granted.items() if "a:pull" in scopes]))
    asked = len(guarded.registry.asked("/token"))
    await guarded.fetch(credentials=Credentials(registry_token=token))
    assert len(guarded.registry.asked("/token")) == asked
    with pytest.raises(Unauthenticated):
        await guarded.fetch(credentials=Credentials(registry_token="made-up"))
    with pytest.raises(Unauthenticated):
        await guarded.fetch(credentials=Credentials(identity_token="refresh-you"))


async def test_a_token_is_kept_while_it_lasts(guarded: World) -> None:
    repository = guarded.repository(ME)
    for expected in (1, 1, 2):
        await transfer.fetch(repository, BLOB, guarded.content, lambda _: None)
        assert len(guarded.registry.asked("/token")) == expected
        if len(guarded.registry.asked("blobs")) == 2:
            guarded.now += 1000
    guarded.registry.granted.clear()  # revoked: fetched anew on the registry's word
    await transfer.fetch(repository, BLOB, guarded.content, lambda _: None)
    assert len(guarded.registry.asked("/token")) == 3


async def test_a_token_for_pulling_without_a_login(guarded: World) -> None:
    guarded.registry.anonymous_pull = True
    await guarded.fetch()
    with pytest.raises(Unauthenticated):
        await guarded.repository(name="b").push(BLOB, transfer.stored(guarded.content, BLOB), progress=lambda _: None)


async def test_a_token_that_lasts_for_ages(guarded: World) -> None:
    token = next(iter(guarded.registry.granted), "made-up")
    answer = b'{"token": "%s", "expires_in": 1%s}' % (token.encode(), b"0" * 400)
    guarded.registry.faults = [Fault("/token", status=200, body=answer)]
    await guarded.fetch(credentials=ME)  # refused, and another one fetched
    assert len(guarded.registry.asked("/token")) == 2


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"token": 5}', b'{"token": "a\\r\\nb: c"}', b"[" * 9999])
async def test_token_servers_that_talk_nonsense(guarded: World, answer: bytes) -> None:
    guarded.registry.faults = [Fault("/token", status=200, body=answer, times=9)]
    with pytest.raises(Unavailable, match="token server"):
        await guarded.fetch(credentials=ME)


async def test_credentials_go_to_no_token_server_without_tls(world: World) -> None:
    world.registry.users = {"me": "secret"}
    headers = {"WWW-Authenticate": 'Bearer realm="http://tokens.example/t"'}
    world.registry.faults = [Fault("GET", status=401, headers=headers, times=9)]
    repository = world.repository(ME)
    origin = repository._origins[-1]
    await origin.base()
    origin._base = origin._base.replace("http://", "https://")
    with pytest.raises(Unavailable, match=r"without TLS to http://tokens\.example/t"):
        await origin.authorizer.header(("x",))


async def test_a_blob_is_pushed_in_chunks_that_break(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    write_blob(world.content, DATA)
    world.registry.faults = [
        Fault("PATCH", drop_upload=50_000, after=1),
        Fault("PATCH", status=500, after=1),
    ]
    told: list[int] = []
    outcome = await world.repository(name="b").push(BLOB, transfer.stored(world.content, BLOB), progress=told.append)
    assert outcome == "pushed"
    assert world.registry.repository("b")["blobs"] == {BLOB.digest: DATA}
    assert told[-1] == len(DATA)


async def test_a_push_that_never_gets_on_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    write_blob(world.content, DATA)
    world.registry.faults = [Fault("PATCH", status=500, times=99)]
    with pytest.raises(Unavailable, match="status 500"):
        await world.repository(name="b").push(BLOB, transfer.stored(world.content, BLOB), progress=lambda _: None)
    assert len(world.registry.asked("PATCH")) == 5


async def test_a_registry_that_says_yes_and_keeps_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    write_blob(world.content, DATA)
    headers = {"Location": "/v2/b/blobs/uploads/x", "Range": "0-5"}
    world.registry.faults = [Fault("PATCH", status=202, headers=headers, times=99)]
    with pytest.raises(Unavailable, match="takes no more than 6 of"):
        await world.repository(name="b").push(BLOB, transfer.stored(world.content, BLOB), progress=lambda _: None)
    assert len(world.registry.asked("PATCH")) == 6


async def test_redirects_to_ever_other_hosts_fill_no_memory(world: World) -> None:
    client = world.repository()._origins[-1]._client
    for number in range(200):
        await client._context(f"{number}.example")
    assert len(client._contexts) <= 64


async def test_mirrors_are_asked_first_and_get_no_credentials(tmp_path: Path) -> None:
    mirror, hub = FakeRegistry(), FakeRegistry({"me": "secret"})
    document, blobs = image_document(b"layer")
    for registry in (mirror, hub):
        for _, data in blobs:
            registry.add_blob("library/x", data)
        registry.add_manifest("library/x", document.data, document.descriptor.media_type, "latest")
    async with serving(mirror, hub):
        config = RegistryConfig(places={"docker.io": hub.url}, mirrors=("http://127.0.0.1:1", mirror.url))
        remotes = RegistryRemotes(config)
        repository = remotes.repository("docker.io", "library/x", ME)
        assert await repository.resolve("latest") == document.descriptor
        content = LocalContentStore(str(tmp_path))
        mirror.repository("library/x")["blobs"].pop(digest_of(b"layer"))  # it may have lost some
        for blob, _ in blobs:
            await transfer.fetch(repository, blob, content, lambda _: None)
        assert all("Authorization" not in headers for _, headers in mirror.seen)
        assert [line for line in hub.log if "blobs" in line] == [f"GET /v2/library/x/blobs/{blobs[1][0].digest}"]
        await remotes.close()


BAD_DOCUMENTS = [
    (b"", "not valid JSON"),
    (b"[]", "not a JSON object"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"schemaVersion": 1, "fsLayers": []}', "version 2, schema 1, support for which has been removed"),
    (b'{"mediaType": "text/plain"}', "unsupported manifest media type"),
    (Manifest(BLOB).to_bytes()[:-1] + b',"manifests":[]}', "also has manifests"),
]


@pytest.mark.parametrize(("data", "words"), BAD_DOCUMENTS, ids=range(len(BAD_DOCUMENTS)))
async def test_documents_that_are_none(world: World, data: bytes, words: str) -> None:
    world.registry.add_manifest("a", data, "application/json", "bad")
    with pytest.raises(InvalidArgument, match=words):
        await world.repository().document("bad")


async def test_a_signed_manifest_of_schema_1(world: World) -> None:
    """Its digest is that of its bytes without the signatures."""
    signed = b'{"schemaVersion": 1, "fsLayers": [], "signatures": [{}]}'
    digest = world.registry.add_manifest(
        "a", signed, "application/vnd.docker.distribution.manifest.v1+prettyjws", "old"
    )
    other = digest_of(signed[:40])
    manifests = world.registry.repository("a")["manifests"]
    manifests[other] = manifests.pop(digest)
    world.registry.repository("a")["tags"]["old"] = other
    for reference in ("old", other):
        with pytest.raises(InvalidArgument, match="schema 1, support for which has been removed"):
            await world.repository().resolve(reference)


async def test_a_document_under_a_wrong_digest(world: World) -> None:
    document, _ = image_document(b"layer")
    digest = world.registry.add_manifest("a", document.data, mediatypes.OCI_MANIFEST, "x")
    world.registry.faults = [Fault("GET .*manifests", flip=40, times=2)]
    for reference in ("x", digest):
        with pytest.raises(DataLoss, match="arrived with digest"):
            await world.repository().document(reference)


async def test_nobody_there(tmp_path: Path) -> None:
    remotes = RegistryRemotes(RegistryConfig())
    with pytest.raises(
        Unavailable, match=r'^Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: .*connection refused$'
    ):
        await remotes.repository("127.0.0.1:1", "a").resolve("latest")
    await remotes.close()


async def test_a_missing_blob_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="blob unknown"):
        await world.fetch(Descriptor.of(mediatypes.OCI_LAYER, b"other"))


async def test_a_registry_that_answered_lately_is_not_asked_first_how_it_does(world: World) -> None:
    await world.fetch()
    world.registry.log.clear()
    with pytest.raises(NotFound):
        await world.repository().document("none")
    assert world.registry.log == ["GET /v2/a/manifests/none"]
    world.now += 400
    with pytest.raises(NotFound):
        await world.repository().document("none")
    assert world.registry.log[1:] == ["GET /v2/", "GET /v2/a/manifests/none"]


async def test_what_it_wants_to_know_is_remembered_and_for_nobody_else(guarded: World) -> None:
    """The challenge is, tokens are not: the next one shows its own from the start, or is refused."""
    await guarded.fetch(credentials=ME)
    guarded.registry.log.clear()
    await guarded.fetch(credentials=ME)
    assert [line.partition("?")[0] for line in guarded.registry.log] == ["GET /token", f"GET /v2/a/blobs/{BLOB.digest}"]
    with pytest.raises(Unauthenticated):
        await guarded.fetch(credentials=ANONYMOUS)
    with pytest.raises(Unauthenticated):
        await guarded.remotes.login("reg", Credentials("me", "wrong"))
    assert await guarded.remotes.login("reg", ME) == "refresh-me"


async def test_a_registry_that_went_away_is_told_at_once(world: World) -> None:
    """As if it had never answered: no attempts one after another, and docker's words."""
    await world.fetch()
    await world.registry.__aexit__()
    with pytest.raises(Unavailable, match=r'^Get "http://127\.0\.0\.1:\d+/v2/": dial tcp .*connection refused$'):
        await world.repository().document("latest")
    assert world.slept == []


async def test_a_registry_that_speaks_otherwise_now_is_found_anew(tmp_path: Path) -> None:
    """It had another address when it answered; what was remembered goes with the first failure."""
    async with FakeRegistry() as registry:
        registry.add_blob("a", DATA)
        made = World(registry, tmp_path)
        await made.fetch()
    async with FakeRegistry() as other:
        other.add_blob("a", DATA)
        made.remotes.reconfigure(RegistryConfig(places={"reg": other.url}))
        await made.fetch()
        assert other.log == ["GET /v2/", f"GET /v2/a/blobs/{BLOB.digest}"]
        await made.remotes.close()
