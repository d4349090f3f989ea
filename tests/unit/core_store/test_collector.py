"""What nobody needs goes away, what somebody needs or is just making stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.core_store.oci_images import Bytes, hello, image, layer, store_image
from wherry.core.containers.sqlite import SqliteContainerStore
from wherry.core.containers.store import Container
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
from wherry.core.diff.unpack import unpack
from wherry.core.gc.collector import Collector, Stores
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.images.store import Image
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.leases.store import Lease
from wherry.core.metadata.database import Database
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Index


class Engine:
    """The stores of one engine, with a clock that tests turn."""

    def __init__(self, root: Path) -> None:
        self.now = 1000.0
        self.syncs = 0
        self.database = Database(str(root / "wherry.db"))
        self.content = LocalContentStore(str(root / "content"), clock=self.clock)
        self.images = SqliteImageStore(self.database)
        self.containers = SqliteContainerStore(self.database)
        self.leases = SqliteLeaseStore(self.database)
        self.snapshots = OverlaySnapshotter(self.database, str(root / "snapshots"), clock=self.clock)
        stores = Stores(self.content, self.images, self.containers, self.leases, self.snapshots)
        self.collector = Collector(stores, self.sync, clock=self.clock)

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def sync(self) -> None:
        self.syncs += 1
        self.database.sync()

    def load(self, name: str, made: Bytes) -> str:
        target = store_image(self.content, made)
        self.images.put(Image(name, target, self.now, self.now))
        return unpack(*made.parsed, self.content, self.snapshots)

    def lease(self, key: str, seconds: float = 100) -> None:
        self.leases.create(Lease(key, self.clock(), self.now + seconds))

    def blobs(self) -> set[Digest]:
        return {info.digest for info in self.content.walk()}

    def keys(self) -> set[str]:
        return {info.key for info in self.snapshots.walk()}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    engine.database.close()


def test_images_keep_what_they_consist_of(engine: Engine) -> None:
    base = layer({"a": b"1"})
    engine.load("one", image(base, layer({"b": b"2"})))
    engine.load("two", image(base, layer({"c": b"3"})))
    assert engine.collector.collect().content == ()
    before = engine.blobs(), engine.keys()
    engine.images.delete("two")
    collected = engine.collector.collect()
    assert (len(collected.content), len(collected.snapshots)) == (3, 1)
    assert collected.size > 300
    assert (len(engine.blobs()), len(engine.keys())) == (4, 2)
    assert engine.syncs == 2
    assert engine.blobs() < before[0]
    assert engine.keys() < before[1]
    engine.images.delete("one")
    engine.collector.collect()
    assert engine.blobs() == set()
    assert engine.keys() == set()


def test_an_index_keeps_the_manifests_that_are_there(engine: Engine) -> None:
    target = store_image(engine.content, hello())
    absent = Descriptor.of(mediatypes.OCI_MANIFEST, b"never fetched")
    document = Index((target, absent)).to_bytes()
    write_blob(engine.content, document)
    engine.images.put(Image("many", Descriptor.of(mediatypes.OCI_INDEX, document), 1, 1))
    stranger = write_blob(engine.content, b"nobody's").digest
    assert engine.collector.collect().content == (stranger,)
    assert len(engine.blobs()) == 4


def test_what_is_kept_for_containers_to_come_is_not_kept_from_a_collection(engine: Engine, tmp_path: Path) -> None:
    folders = tmp_path / "snapshots"
    chain = engine.load("one", hello())
    engine.snapshots.prepare("box", chain)
    engine.snapshots.forget("box")()
    assert len(list(folders.iterdir())) == 2
    engine.collector.collect()
    assert len(list(folders.iterdir())) == 1
    assert engine.keys() == {chain}


def test_containers_keep_their_snapshots(engine: Engine) -> None:
    chain = engine.load("one", hello())
    engine.snapshots.prepare("box", chain)
    engine.containers.create(Container("box", "box", "one", "r", "box", 1.0))
    engine.images.delete("one")
    engine.collector.collect()
    engine.collector.recover()
    assert engine.keys() == {chain, "box"}
    engine.containers.delete("box")
    engine.snapshots.remove("box")
    assert engine.collector.collect().snapshots == (chain,)


def test_active_snapshots_go_only_when_the_engine_starts(engine: Engine) -> None:
    engine.snapshots.prepare("half")
    assert engine.collector.collect().snapshots == ()
    assert engine.collector.recover().snapshots == ("half",)


def test_leases_keep_what_they_name_and_what_it_leads_to(engine: Engine) -> None:
    chain = engine.load("one", hello())
    target = engine.images.get("one").target
    engine.images.delete("one")
    engine.now += 50
    engine.lease("pull")
    engine.leases.add("pull", "content", target.digest)
    assert engine.collector.collect().snapshots == ()
    assert (len(engine.blobs()), engine.keys()) == (3, {chain})
    engine.leases.delete("pull")
    engine.collector.collect()
    assert (engine.blobs(), engine.keys()) == (set(), set())


def test_what_is_younger_than_a_lease_stays(engine: Engine) -> None:
    old = write_blob(engine.content, b"old").digest
    again = write_blob(engine.content, b"stored again").digest
    engine.now += 50
    engine.lease("build")
    young = write_blob(engine.content, b"young").digest
    write_blob(engine.content, b"stored again")
    engine.snapshots.prepare("x")
    engine.snapshots.commit("young", "x")
    assert engine.collector.collect().content == (old,)
    assert engine.blobs() == {young, again}
    assert engine.keys() == {"young"}
    engine.leases.delete("build")
    assert set(engine.collector.collect().content) == {young, again}
    assert engine.keys() == set()


def test_expired_leases_hold_nothing(engine: Engine) -> None:
    engine.lease("slow", seconds=10)
    blob = write_blob(engine.content, b"x").digest
    engine.leases.add("slow", "content", blob)
    engine.now += 20
    assert engine.collector.collect().content == (blob,)
    assert list(engine.leases.walk()) == []


def test_a_new_engine_ends_the_leases_of_the_dead_one(engine: Engine) -> None:
    engine.lease("dead", seconds=10**6)
    blob = write_blob(engine.content, b"x").digest
    engine.leases.add("dead", "content", blob)
    assert engine.collector.recover().content == (blob,)
    assert list(engine.leases.walk()) == []


def test_further_roots_are_kept(engine: Engine) -> None:
    blob = write_blob(engine.content, b"cached layer").digest
    assert engine.collector.collect([blob]).content == ()
    assert engine.collector.collect().content == (blob,)


def test_what_is_stored_while_marks_are_gathered_stays(engine: Engine) -> None:
    blob = write_blob(engine.content, b"wanted again").digest

    def meanwhile() -> None:
        engine.lease("late")
        write_blob(engine.content, b"wanted again")

    stores = Stores(engine.content, engine.images, engine.containers, engine.leases, engine.snapshots)
    assert Collector(stores, meanwhile, clock=engine.clock).collect().content == ()
    assert engine.blobs() == {blob}


def test_damaged_and_foreign_documents_do_not_stop_it(engine: Engine) -> None:
    target = store_image(engine.content, hello())
    engine.images.put(Image("rotten", target, 1, 1))
    path = Path(engine.content.path(target.digest))
    path.chmod(0o600)
    path.write_bytes(b"{]")
    engine.images.put(Image("absent", Descriptor.of(mediatypes.OCI_MANIFEST, b"never fetched"), 1, 1))
    engine.containers.create(Container("c", "c", "sha256:" + "0" * 64, "r", "c", 1.0))
    stranger = write_blob(engine.content, b"nobody's").digest
    assert stranger in engine.collector.collect().content
    assert target.digest in engine.blobs()
