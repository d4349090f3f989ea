"""Pulls from a registry that breaks, lies or sends what nobody can use: an image is whole, or nothing of it is."""

import asyncio
import gzip
import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.fakes.remotes import MemoryRemotes
from wherry.core.content.local import LocalContentStore
from wherry.core.diff.limits import Limits
from wherry.core.gc.collector import Collector, Stores
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.metadata.database import Database
from wherry.core.modules.compiler import CompiledModule
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.http import Timing
from wherry.core.remotes.registry import RegistryRemotes
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.engine.events import Events
from wherry.engine.images import Images
from wherry.engine.progress import Report
from wherry.engine.pulls import PullRequest, Pulls
from wherry.engine.pushes import Pushes, PushRequest
from wherry.engine.services import EngineConfig
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.manifest import Index, Manifest
from wherry.oci.platform import Platform

MODULE = b"\0asm\1\0\0\0" + bytes(range(256))
LIMITS = Limits(size=1 << 20, free=1 << 18, ratio=10, entries=50)


INFO = {"size": 8, "kind": "module", "name": "", "imports": [], "exports": [], "memories": [], "producers": {}}


class Compiler:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def ensure(self, path, *, progress=None):
        self.asked.append(path)
        if progress is not None:
            progress("Compiling")
        return CompiledModule(Digest.of(b""), "", INFO)


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@dataclass
class Engine:
    """An engine's image half over real stores, and one registry."""

    registry: FakeRegistry
    folder: Path
    compiler: Compiler = field(default_factory=Compiler)

    def __post_init__(self) -> None:
        self.database = Database(str(self.folder / "db"))
        content, images = LocalContentStore(str(self.folder / "content")), SqliteImageStore(self.database)
        leases, snapshots = SqliteLeaseStore(self.database), CopySnapshotter(self.database, str(self.folder / "snaps"))
        containers = SimpleNamespace(walk=lambda: iter(()))
        collector = Collector(Stores(content, images, containers, leases, snapshots), self.database.sync)
        ticks = iter(range(1_900_000_000_000_000_000, 2**62, 1_000_000_000))
        timing = Timing(sleep=lambda _: asyncio.sleep(0), stall=2.0)
        self.services = SimpleNamespace(
            config=EngineConfig(
                str(self.folder), str(self.folder / "s"), Platform.parse("linux/amd64"), layer_limits=LIMITS
            ),
            content=content,
            images=images,
            leases=leases,
            snapshots=snapshots,
            containers=containers,
            compiler=self.compiler,
            remotes=RegistryRemotes(RegistryConfig(places={"reg.io": self.registry.url}), timing),
            collect=lambda: collector.collect().size,
            clock=lambda: next(ticks),
            new_id=lambda: str(next(ticks)),
        )
        self.events = Events(self.services)
        self.images = Images(self.services, self.events)
        self.pulls = Pulls(self.services, self.images, self.events)
        self.pushes = Pushes(self.services, self.images, self.events)

    async def pull(self, name: str = "reg.io/a", platform: str = "") -> list[dict]:
        return [message async for message in self.pulls.stream(PullRequest.parse(name, "latest", platform))]

    async def works(self, name: str = "reg.io/a", platform: str = "") -> list[dict]:
        messages = await self.pull(name, platform)
        assert "error" not in messages[-1], messages[-1]
        return messages

    async def fails(self, words: str, name: str = "reg.io/a", platform: str = "") -> None:
        """It fails with ``words``, and leaves nothing."""
        try:
            messages = await self.pull(name, platform)
            said = messages[-1].get("error", "it worked")
        except WherryError as error:
            said = str(error)
        assert words in said
        assert "\n" not in said
        self.assert_empty()

    def assert_empty(self) -> None:
        services = self.services
        assert list(services.images.walk()) == []
        assert list(services.leases.walk()) == []
        assert [info.digest for info in services.content.walk()] == []
        assert list(services.snapshots.walk()) == []
        assert list((self.folder / "content" / "ingest").iterdir()) == []

    def image(self, *layers: bytes, tag: str = "latest", diff_ids=None, name: str = "a", **platform: str) -> Descriptor:
        """An image of gzipped tar layers at the registry."""
        packed = [gzip.compress(layer, mtime=0) for layer in layers]
        config = ImageConfig(
            platform.get("architecture", "wasm"),
            platform.get("os", "wasi"),
            config=RunConfig(entrypoint=("/m.wasm",)),
            diff_ids=diff_ids or tuple(map(Digest.of, layers)),
        ).to_bytes()
        blobs = tuple(Descriptor.of(mediatypes.OCI_LAYER_GZIP, data) for data in packed)
        manifest = Manifest(Descriptor.of(mediatypes.OCI_CONFIG, config), blobs)
        return self.put(manifest, config, *packed, tag=tag, name=name)

    def put(self, manifest: Manifest | Index, *blobs: bytes, tag: str = "latest", name: str = "a") -> Descriptor:
        for data in blobs:
            self.registry.add_blob(name, data)
        self.registry.add_manifest(name, manifest.to_bytes(), manifest.media_type, *([tag] if tag else []))
        return Descriptor.of(manifest.media_type, manifest.to_bytes())


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with FakeRegistry() as registry:
        made = Engine(registry, tmp_path)
        remotes = made.services.remotes
        yield made
        await remotes.close()
        made.database.close()


LAYERS = (tarred({"m.wasm": MODULE}), tarred({"etc/x": b"y" * 3000}))


async def test_a_pull_is_told_layer_by_layer_and_compiled(engine: Engine) -> None:
    target = engine.image(*LAYERS)
    messages = await engine.works()
    layers = [digest_of(gzip.compress(layer, mtime=0))[7:19] for layer in LAYERS]
    for layer in layers:
        said = [message["status"] for message in messages if message.get("id") == layer]
        assert said[0] == "Pulling fs layer"
        assert said[-1] == "Pull complete"
    assert messages[0] == {"status": "Pulling from a", "id": "latest"}
    assert {"status": f"Digest: {target.digest}"} in messages
    assert messages[-1] == {"status": "Status: Downloaded newer image for reg.io/a:latest"}
    assert [message["status"] for message in messages if message.get("id") == target.digest.hex[:12]] == [
        "Compiling",
        "Compiled",
    ]
    assert engine.compiler.asked
    asked = len(engine.registry.log)
    again = await engine.works()
    assert again[-1] == {"status": "Status: Image is up to date for reg.io/a:latest"}
    assert engine.registry.log[asked:] == ["HEAD /v2/a/manifests/latest"]


@pytest.mark.parametrize("times", [1, 99], ids=["once", "always"])
@pytest.mark.parametrize("part", ["manifests", "config", "layer"])
@pytest.mark.parametrize("fault", [{"cut": 0}, {"cut": 20}, {"flip": 30}, {"status": 500}, {"status": 429}])
async def test_it_is_whole_or_nothing(engine: Engine, part: str, fault: dict, times: int) -> None:
    target = engine.image(*LAYERS)
    manifest = Manifest.parse(engine.registry.repository("a")["manifests"][target.digest][1])
    pattern = {
        "manifests": "GET .*manifests",
        "config": manifest.config.digest,
        "layer": manifest.layers[1].digest,
    }[part]
    engine.registry.faults = [Fault(pattern, times=times, **fault)]
    try:
        messages = await engine.pull()
        said = messages[-1].get("error", "")
    except WherryError as error:
        said = str(error)
    resumed = fault.get("cut", 0) > 0 and part != "manifests"  # a little each time is enough in the end
    if (times == 1 or resumed) and not (part == "manifests" and "flip" in fault):
        assert said == ""
        image = await engine.images.runnable("reg.io/a", None)
        folders = engine.services.snapshots.layers(image.snapshot)
        assert (Path(folders[0]) / "m.wasm").read_bytes() == MODULE
    else:
        assert said
        engine.assert_empty()


async def test_cancelled_anywhere_it_leaves_nothing(engine: Engine) -> None:
    engine.image(*LAYERS)
    for step in range(14):
        stream = engine.pulls.stream(PullRequest.parse("reg.io/a", "latest"))
        for _ in range(step):
            await anext(stream, None)
        await stream.aclose()
        if await engine.images.catalog.names():
            await engine.images.remove("reg.io/a")
        engine.assert_empty()


async def test_a_collection_beside_it_takes_nothing_of_it(engine: Engine) -> None:
    engine.image(*LAYERS)

    async def collect() -> None:
        while True:
            await engine.images.collect()
            await asyncio.sleep(0)

    collecting = asyncio.create_task(collect())
    for _ in range(5):
        await engine.works()
        image = await engine.images.runnable("reg.io/a", None)
        assert engine.services.snapshots.layers(image.snapshot)
        await engine.images.remove("reg.io/a")
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    await engine.images.collect()
    engine.assert_empty()


async def test_nothing_is_asked_twice_and_the_configuration_goes_with_the_layers(engine: Engine) -> None:
    """Who has no image of that name needs its manifest, so that is what is asked for."""
    target = engine.image(*LAYERS)
    manifest = Manifest.parse(engine.registry.repository("a")["manifests"][target.digest][1])
    engine.registry.faults.append(Fault(str(manifest.config.digest), status=500, times=1))
    await engine.works()
    asked = [line.removeprefix("GET /v2/") for line in engine.registry.log]
    blobs = [f"a/blobs/{blob.digest}" for blob in manifest.children]
    assert asked[:2] == ["", "a/manifests/latest"]
    assert sorted(asked[2:]) == sorted([*blobs, f"a/blobs/{manifest.config.digest}"])


async def test_an_image_of_another_platform_leaves_no_layer(engine: Engine) -> None:
    engine.image(*LAYERS, os="linux", architecture="s390x")
    await engine.fails("does not match the specified platform (linux/arm64)", platform="linux/arm64")


async def test_the_same_image_by_many_at_once(engine: Engine) -> None:
    engine.image(*LAYERS)
    await asyncio.gather(*(engine.works() for _ in range(8)))
    layer = digest_of(gzip.compress(LAYERS[1], mtime=0))
    assert len(engine.registry.asked(f"GET .*{layer}")) == 1


# What no registry should have


async def test_a_wrong_diff_id(engine: Engine) -> None:
    engine.image(LAYERS[0], diff_ids=(Digest.of(b"other"),))
    await engine.fails("but the image's config says")


async def test_too_few_diff_ids(engine: Engine) -> None:
    engine.image(*LAYERS, diff_ids=(Digest.of(LAYERS[0]),))
    await engine.fails("2 layers, but its config names 1 diff_ids")


@pytest.mark.parametrize("off", [-1, 1, 10**15])
async def test_a_wrong_size(engine: Engine, off: int) -> None:
    layer = gzip.compress(LAYERS[0], mtime=0)
    config = ImageConfig("wasm", "wasi", diff_ids=(Digest.of(LAYERS[0]),)).to_bytes()
    wrong = Descriptor(mediatypes.OCI_LAYER_GZIP, Digest.of(layer), len(layer) + off)
    engine.put(Manifest(Descriptor.of(mediatypes.OCI_CONFIG, config), (wrong,)), config, layer)
    await engine.fails(str(wrong.digest))


async def test_a_truncated_gzip(engine: Engine) -> None:
    layer = gzip.compress(LAYERS[1], mtime=0)[:-30]
    config = ImageConfig("wasm", "wasi", diff_ids=(Digest.of(LAYERS[1]),)).to_bytes()
    blob = Descriptor.of(mediatypes.OCI_LAYER_GZIP, layer)
    engine.put(Manifest(Descriptor.of(mediatypes.OCI_CONFIG, config), (blob,)), config, layer)
    await engine.fails("corrupt")


async def test_a_bomb(engine: Engine) -> None:
    engine.image(tarred({"zeros": bytes(1 << 20)}))
    await engine.fails("unpacks to more than")


async def test_an_index_that_lists_itself(engine: Engine) -> None:
    """It cannot be under its own digest: a registry that says so, lies."""
    lie = Digest.of(b"the index")
    entry = Descriptor(mediatypes.OCI_INDEX, lie, 1000, platform=Platform("wasi", "wasm"))
    data = Index((entry,)).to_bytes()
    entry = Descriptor(mediatypes.OCI_INDEX, lie, len(data), platform=Platform("wasi", "wasm"))
    data = Index((entry,)).to_bytes()
    engine.registry.add_manifest("a", data, mediatypes.OCI_INDEX, "latest")
    engine.registry.repository("a")["manifests"][str(lie)] = (mediatypes.OCI_INDEX, data)
    await engine.fails("arrived with digest")


async def test_indexes_within_indexes(engine: Engine) -> None:
    target = engine.image(*LAYERS)
    for _ in range(5):
        entry = Descriptor(target.media_type, target.digest, target.size, platform=Platform("wasi", "wasm"))
        target = engine.put(Index((entry,)))
    await engine.fails("nested too deeply")


async def test_a_config_that_is_none(engine: Engine) -> None:
    for config in (b"[]", b"\xff", b'{"rootfs": 5}', b"{" * 50_000):
        engine.put(Manifest(Descriptor.of(mediatypes.OCI_CONFIG, config)), config)
        await engine.fails("image config")


async def test_thousands_of_layers(engine: Engine) -> None:
    layer = Descriptor.of(mediatypes.OCI_LAYER, b"")
    engine.put(Manifest(Descriptor.of(mediatypes.OCI_CONFIG, b"{}"), (layer,) * 1001), b"{}", b"")
    await engine.fails("1001 layers: too many")


async def test_a_hostile_layer(engine: Engine) -> None:
    engine.image(tarred({"../../../etc/passwd": b"x"}))
    await engine.fails("its path leaves the root")


NO_NAMES = [
    "",
    "UPPER",
    "a//b",
    "a:b:c",
    "a@sha256:1",
    "x" * 300,
    "../x",
    "a b",
    "é",
    "-",
    "a/",
    "/a",
    f"a:{'t' * 129}",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_of_every_illegal_shape(name: str) -> None:
    with pytest.raises(InvalidArgument):
        PullRequest.parse(name)


# Platforms


async def test_wasi_comes_first_then_the_host(engine: Engine) -> None:
    linux = engine.image(tarred({"bin/sh": b"#!"}), tag="", architecture="amd64", os="linux")
    wasm = engine.image(*LAYERS, tag="")
    entries = [
        Descriptor(made.media_type, made.digest, made.size, platform=Platform(*text.split("/")))
        for made, text in ((linux, "linux/amd64"), (wasm, "wasip1/wasm32"))
    ]
    index = engine.put(Index(tuple(entries)))
    await engine.works()
    assert (await engine.images.inspect("reg.io/a"))["Os"] == "wasi"
    assert (await engine.images.inspect("reg.io/a"))["Id"] == str(index.digest)
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await engine.images.runnable("reg.io/a", "linux/amd64")
    await engine.works(platform="linux/amd64")
    assert (await engine.images.runnable("reg.io/a", "linux/amd64")).platform.os == "linux"
    assert (await engine.images.runnable("reg.io/a", "wasm")).platform.is_wasm
    refused = (await engine.pull("reg.io/a", "linux/s390x"))[-1]["error"]
    assert refused.startswith("no matching manifest for linux/s390x in the manifest list entries")
    engine.put(Index(tuple(entries[:1])), name="b")
    for blob, data in engine.registry.repository("a")["blobs"].items():
        engine.registry.repository("b")["blobs"][blob] = data
    engine.registry.repository("b")["manifests"].update(engine.registry.repository("a")["manifests"])
    await engine.works("reg.io/b")
    assert (await engine.images.runnable("reg.io/b", None)).platform.os == "linux"


async def test_an_index_is_pushed_with_its_children(engine: Engine) -> None:
    linux = engine.image(tarred({"bin/sh": b"#!"}), tag="", architecture="amd64", os="linux")
    wasm = engine.image(*LAYERS, tag="")
    entries = tuple(
        Descriptor(made.media_type, made.digest, made.size, platform=Platform.parse(text))
        for made, text in ((linux, "linux/amd64"), (wasm, "wasi/wasm"))
    )
    index = engine.put(Index(entries))
    await engine.works()
    await engine.images.tag("reg.io/a", "reg.io/c", "")
    report = Report()
    with pytest.raises(NotFound, match=r"lists a manifest for linux/amd64 .* that is neither here nor in the registry"):
        await engine.pushes.push(PushRequest.parse("reg.io/c", "latest"), report)
    await engine.works(platform="linux/amd64")
    await engine.pushes.push(PushRequest.parse("reg.io/c", "latest"), report)
    pushed = engine.registry.repository("c")
    assert pushed["tags"] == {"latest": str(index.digest)}
    assert set(pushed["manifests"]) == {str(index.digest), str(linux.digest), str(wasm.digest)}
    assert pushed["blobs"] == {
        digest: data for digest, data in engine.registry.repository("a")["blobs"].items() if digest in pushed["blobs"]
    }
    assert engine.registry.asked("POST .*mount=")  # nothing was sent that was there already
    only = PushRequest.parse("reg.io/c", "latest", Platform.parse("wasm"))
    await engine.pushes.push(only, report)
    assert pushed["tags"] == {"latest": str(wasm.digest)}
    assert list(engine.services.leases.walk()) == []


async def test_spin_applications_are_kept_and_not_run(engine: Engine) -> None:
    layer = Descriptor.of(mediatypes.WASM_CONTENT_LAYER, MODULE)
    data = Descriptor.of("application/vnd.wasm.content.layer.v1+data", b"static")
    config = Descriptor.of(mediatypes.SPIN_CONFIG, b'{"spin_lock_version": 1}')
    target = engine.put(Manifest(config, (layer, data)), MODULE, b"static", b'{"spin_lock_version": 1}')
    await engine.works()
    assert (await engine.images.list())[0]["Id"] == str(target.digest)
    assert (await engine.images.inspect("reg.io/a"))["Architecture"] == "wasm"
    with pytest.raises(WherryError, match="Spin application"):
        await engine.images.runnable("reg.io/a", None)
    await engine.images.tag("reg.io/a", "reg.io/other", "")
    await engine.pushes.push(PushRequest.parse("reg.io/other", "latest"), Report())
    assert engine.registry.repository("other")["tags"]["latest"] == target.digest
    archive = b"".join([piece async for piece in await engine.images.save(["reg.io/a"])])
    assert target.digest.hex.encode() in archive


async def test_loading_compiles_and_says_so(engine: Engine) -> None:
    target = engine.image(*LAYERS)
    await engine.works()
    archive = b"".join([piece async for piece in await engine.images.save(["reg.io/a"])])
    await engine.images.remove("reg.io/a")

    async def chunks():
        yield archive

    told = [message async for message in engine.images.loading(chunks())]
    assert told == [
        {"status": "Compiling", "progressDetail": {}, "id": target.digest.hex[:12]},
        {"stream": "Loaded image: reg.io/a:latest\n"},
    ]
    quiet = [message async for message in engine.images.loading(chunks(), quiet=True)]
    assert quiet == told[1:]


async def test_the_memory_double_serves_the_engine_too(engine: Engine) -> None:
    engine.image(*LAYERS)
    await engine.works()
    memory = MemoryRemotes()
    engine.services.remotes = memory
    await engine.images.tag("reg.io/a", "other.io/x", "v")
    await engine.pushes.push(PushRequest.parse("other.io/x", "v"), Report())
    await engine.images.remove("reg.io/a")
    await engine.images.remove("other.io/x:v")
    engine.assert_empty()
    assert [message async for message in engine.pulls.stream(PullRequest.parse("other.io/x"))][-1] == {
        "status": "Status: Downloaded newer image for other.io/x"
    }
    assert (await engine.images.list())[0]["RepoTags"] == ["other.io/x:v"]
    assert json.dumps((await engine.images.inspect("other.io/x:v"))["Config"]["Entrypoint"]) == '["/m.wasm"]'
