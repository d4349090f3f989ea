"""Images over the real stores in a temporary folder; containers are whatever the test says they are."""

import json
import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from tests.fakes.remotes import MemoryRemotes
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.metadata.database import Database
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.engine.builds import Builds
from wherry.engine.events import Events
from wherry.engine.images import Images
from wherry.engine.pulls import Pulls
from wherry.engine.services import EngineConfig
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.manifest import Index, Manifest
from wherry.oci.platform import Platform


@dataclass
class World:
    """An engine's images half, and what it stands on."""

    services: SimpleNamespace
    events: Events
    images: Images
    containers: list = field(default_factory=list)
    collected: list = field(default_factory=list)

    def blob(self, media_type: str, data: bytes) -> Descriptor:
        write_blob(self.services.content, data)
        return Descriptor.of(media_type, data)

    def make(
        self, os="wasi", architecture="wasm", *, labels=None, created="2026-01-02T03:04:05Z", salt=""
    ) -> Descriptor:
        """Store one manifest; returns its descriptor."""
        config = {
            "architecture": architecture,
            "os": os,
            "created": created,
            "config": {"Cmd": ["/hello.wasm", salt], "Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]},
            "history": [
                {"created": created, "created_by": "COPY hello.wasm /"},
                {"created_by": "CMD", "empty_layer": True},
            ],
        }
        manifest = Manifest(
            config=self.blob(mediatypes.OCI_CONFIG, json.dumps(config).encode()),
            layers=(self.blob(mediatypes.OCI_LAYER, b"layer"),),
        )
        return self.blob(mediatypes.OCI_MANIFEST, manifest.to_bytes())

    def make_index(self, *platforms: str) -> Descriptor:
        entries = []
        for text in platforms:
            platform = Platform.parse(text)
            made = self.make(platform.os, platform.architecture)
            entries.append(Descriptor(made.media_type, made.digest, made.size, platform=platform))
        return self.blob(mediatypes.OCI_INDEX, Index(tuple(entries)).to_bytes())

    async def add(self, name: str, **more) -> str:
        """Make an image and name it; returns its id."""
        target = self.make(**more)
        await self.images.catalog.name(name, target)
        return str(target.digest)


class Containers:
    """Enough of a container store for images: (id, image id, status) triples."""

    def __init__(self):
        self.made = []

    def walk(self):
        return iter(self.made)


@pytest.fixture
def world(tmp_path, monkeypatch):
    database = Database(str(tmp_path / "meta.db"))
    clock = iter(range(1_800_000_000_000_000_000, 1_900_000_000_000_000_000, 1_000_000_000))
    containers = Containers()
    monkeypatch.setattr("wherry.engine.images.from_container", lambda made: made)
    collected = []

    def collect():
        collected.append(True)
        return 7

    services = SimpleNamespace(
        config=EngineConfig(str(tmp_path), str(tmp_path / "state"), Platform.parse("linux/amd64")),
        content=LocalContentStore(str(tmp_path / "content")),
        images=SqliteImageStore(database),
        leases=SqliteLeaseStore(database),
        snapshots=CopySnapshotter(database, str(tmp_path / "snapshots")),
        containers=containers,
        collect=collect,
        remotes=MemoryRemotes(),
        clock=lambda: next(clock),
        new_id=lambda: f"{random.Random(next(clock)).getrandbits(256):064x}",
        build_cache=None,
    )
    events = Events(services)
    made = World(services, events, Images(services, events), containers.made, collected)
    yield made
    database.close()


@pytest.fixture
def builds(world):
    return Builds(world.services, world.images, Pulls(world.services, world.images, world.events), None)
