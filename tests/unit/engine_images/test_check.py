"""The check finds each kind of damage, says what to do, and mends what can be mended; it raises no false alarm."""

import gzip
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fakes.registry import FakeRegistry
from tests.unit.engine_images.test_pulls import LAYERS, MODULE, Engine
from wherry.core.content.store import write_blob
from wherry.core.images.store import Image
from wherry.core.modules.compiled import CompiledModules
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.engine.check import Checks
from wherry.errors import NotFound
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Index, Manifest

DAMAGES = ("flip", "cut", "longer", "gone")


class Checked(Engine):
    """An engine with one pulled image, and what the check needs beside it."""

    def use(self, snapshotter: type) -> None:
        self.services.snapshots = snapshotter(self.database, str(self.folder / "more"))
        self.cache = self.folder / "compiled"
        self.cache.mkdir()
        self.services.compiled = CompiledModules(self.database, str(self.cache))
        self.containers: list[SimpleNamespace] = []
        self.services.containers.walk = lambda: iter(self.containers)
        self.services.containers.get = lambda key: next(each for each in self.containers if each.id == key)

    async def check(self, *, repair: bool = False) -> tuple[list[dict], dict]:
        messages = [message async for message in Checks(self.services).run(repair=repair)]
        assert [list(message) for message in messages] == [["Fault"]] * (len(messages) - 1) + [["Checked"]]
        faults = [message["Fault"] for message in messages[:-1]]
        for fault in faults:
            assert "\n" not in fault["Problem"] + fault["Remedy"]
            assert bool(fault["Remedy"]) != fault["Repaired"]
        return faults, messages[-1]["Checked"]

    async def is_whole(self) -> None:
        faults, checked = await self.check()
        assert faults == []
        assert checked["Faults"] == checked["Repaired"] == 0

    def path(self, digest: str) -> Path:
        return Path(self.services.content.path(Digest(digest)))

    def layers(self, key: str) -> list[str]:
        return list(self.services.snapshots.layers(key))


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    path.chmod(0o644)
    if kind == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"flip": flipped, "cut": data[:-1], "longer": data + b"?"}[kind])


@pytest.fixture(params=[CopySnapshotter, OverlaySnapshotter], ids=["copy", "overlay"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Checked]:
    async with FakeRegistry() as registry:
        made = Checked(registry, tmp_path)
        made.use(request.param)
        yield made
        await made.services.remotes.close()
        made.database.close()


async def test_an_engine_without_faults(engine: Checked) -> None:
    await engine.is_whole()
    engine.image(*LAYERS)
    await engine.works()
    faults, checked = await engine.check()
    assert faults == []
    assert checked == {
        "Images": 1, "Blobs": 4, "Snapshots": 2, "Containers": 0, "Compiled": 0, "Faults": 0, "Repaired": 0
    }  # fmt: skip
    assert all("check-" not in info.key for info in engine.services.snapshots.walk())


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
async def test_damaged_blobs_are_fetched_again(engine: Checked, part: str, kind: str) -> None:
    target = engine.image(*LAYERS)
    await engine.works()
    manifest = Manifest.parse(engine.services.content.read(target))
    blob = {"manifest": target, "config": manifest.config, "layer": manifest.layers[0]}[part]
    right = engine.path(blob.digest).read_bytes()
    damage(engine.path(blob.digest), kind)
    (fault,), checked = await engine.check()
    assert fault["Kind"] == "content"
    assert fault["Name"] == blob.digest
    assert "reg.io/a" in fault["Problem"]
    assert "--repair" in fault["Remedy"]
    assert checked["Repaired"] == 0
    (fault,), checked = await engine.check(repair=True)
    assert fault["Repaired"]
    assert checked["Faults"] == checked["Repaired"] == 1
    assert engine.path(blob.digest).read_bytes() == right
    await engine.is_whole()


async def test_an_image_of_an_index_is_looked_at_whole(engine: Checked) -> None:
    target = engine.image(*LAYERS, tag="")
    absent = Descriptor.of(mediatypes.OCI_MANIFEST, b"of a platform that nobody fetched")
    index = Index((target, absent))
    engine.registry.add_manifest("a", index.to_bytes(), index.media_type, "latest")
    engine.services.images.put(Image("reg.io/a:latest", Descriptor.of(index.media_type, index.to_bytes()), 1.0, 1.0))
    for data in (index.to_bytes(), engine.registry.repository("a")["manifests"][target.digest][1]):
        write_blob(engine.services.content, data)
    faults, _ = await engine.check()
    assert {fault["Problem"].partition(" (")[0] for fault in faults} == {"is missing"}
    assert len(faults) == 3
    faults, checked = await engine.check(repair=True)
    assert checked["Repaired"] == 3
    await engine.is_whole()
    damage(engine.path(target.digest), "gone")
    (fault,), _ = await engine.check()
    assert (fault["Kind"], fault["Name"]) == ("image", "reg.io/a:latest")
    assert "no manifest" in fault["Problem"]


async def test_what_no_registry_has_stays_and_is_said(engine: Checked) -> None:
    engine.image(*LAYERS)
    await engine.works()
    engine.registry.repository("a")["blobs"].clear()
    image = next(iter(engine.services.images.walk()))
    layer = Manifest.parse(engine.services.content.read(image.target)).layers[1]
    damage(engine.path(layer.digest), "flip")
    broken = engine.path(layer.digest).read_bytes()
    (fault,), checked = await engine.check(repair=True)
    assert not fault["Repaired"]
    assert "reg.io/a" in fault["Remedy"]
    assert checked["Repaired"] == 0
    assert engine.path(layer.digest).read_bytes() == broken  # perhaps somebody can still use most of it


async def test_a_registry_that_sends_something_else_mends_nothing(engine: Checked) -> None:
    engine.image(*LAYERS)
    await engine.works()
    image = next(iter(engine.services.images.walk()))
    layer = Manifest.parse(engine.services.content.read(image.target)).layers[0]
    blobs = engine.registry.repository("a")["blobs"]
    blobs[layer.digest] = gzip.compress(b"x" * 5000)[: layer.size].ljust(layer.size, b"?")
    damage(engine.path(layer.digest), "flip")
    (fault,), _ = await engine.check(repair=True)
    assert not fault["Repaired"]
    assert "something else than it says" in fault["Remedy"]


async def test_a_blob_that_nobody_needs_is_dropped(engine: Checked) -> None:
    info = write_blob(engine.services.content, b"of the build cache")
    await engine.is_whole()
    damage(engine.path(info.digest), "flip")
    (fault,), _ = await engine.check()
    assert "no image has it" in fault["Problem"]
    await engine.check(repair=True)
    with pytest.raises(NotFound):
        engine.services.content.info(info.digest)
    await engine.is_whole()


def _spoil(root: Path, how: str) -> None:
    module = root / "m.wasm"
    if how == "bytes":
        module.write_bytes(MODULE[:-1] + b"?")
    elif how == "file gone":
        module.unlink()
    elif how == "file more":
        (root / "evil").write_bytes(b"")
    elif how == "mode":
        module.chmod(0o4755)
    elif how == "link":
        module.unlink()
        module.symlink_to("/etc/passwd")
    elif how == "attribute":
        os.setxattr(module, "user.evil", b"1")
    else:
        shutil.rmtree(root.parent if root.name == "fs" else root)


@pytest.mark.parametrize("how", ["bytes", "file gone", "file more", "mode", "link", "attribute", "folder"])
async def test_damaged_snapshots_are_unpacked_again(engine: Checked, how: str) -> None:
    engine.image(*LAYERS)
    await engine.works()
    image = await engine.images.runnable("reg.io/a", None)
    lowest = next(info for info in engine.services.snapshots.walk() if not info.parent)
    engine.services.snapshots.prepare("box", image.snapshot)
    engine.containers.append(SimpleNamespace(id="1" * 64, name="box", snapshot="box"))
    _spoil(Path(engine.layers(lowest.key)[0]), how)
    (fault,), _ = await engine.check()
    assert (fault["Kind"], fault["Name"]) == ("snapshot", lowest.key)
    (fault,), checked = await engine.check(repair=True)
    assert fault["Repaired"]
    assert (Path(engine.layers(lowest.key)[0]) / "m.wasm").read_bytes() == MODULE
    assert checked["Containers"] == 1
    await engine.is_whole()
    assert sorted(name for name in os.listdir(engine.folder / "more") if name.startswith("gone")) == []


async def test_a_snapshot_of_a_damaged_layer_is_mended_with_it(engine: Checked) -> None:
    engine.image(*LAYERS)
    await engine.works()
    image = await engine.images.runnable("reg.io/a", None)
    manifest = Manifest.parse(engine.services.content.read(Digest(image.manifest)))
    damage(engine.path(manifest.layers[1].digest), "cut")
    shutil.rmtree(engine.layers(image.snapshot)[0])
    faults, _ = await engine.check()
    assert sorted(fault["Kind"] for fault in faults) == ["content", "snapshot"]
    faults, checked = await engine.check(repair=True)
    assert checked["Repaired"] == 2
    await engine.is_whole()


async def test_a_container_that_lost_its_files(engine: Checked) -> None:
    engine.image(*LAYERS)
    await engine.works()
    image = await engine.images.runnable("reg.io/a", None)
    engine.services.snapshots.prepare("one", image.snapshot)
    engine.containers += [
        SimpleNamespace(id="1" * 64, name="one", snapshot="one"),
        SimpleNamespace(id="2" * 64, name="two", snapshot="nobody made this"),
        SimpleNamespace(id="3" * 64, name="three", snapshot=""),
    ]
    shutil.rmtree(engine.layers("one")[0])
    faults, checked = await engine.check(repair=True)
    assert [(fault["Kind"], fault["Name"], fault["Repaired"]) for fault in faults] == [
        ("container", "one", False),
        ("container", "two", False),
    ]
    assert checked["Containers"] == 3


async def test_compiled_code_that_is_not_what_was_written_is_dropped(engine: Checked) -> None:
    for suffix in (".info", ".cwasm"):
        (engine.cache / f"aa-env{suffix}").write_bytes(b"native")
    source = engine.folder / "m.wasm"
    source.write_bytes(MODULE)
    assert engine.services.compiled.record(str(engine.cache / "aa-env.cwasm"), str(source), fuel=False)
    await engine.is_whole()
    damage(engine.cache / "aa-env.cwasm", "flip")
    (fault,), checked = await engine.check()
    assert (fault["Kind"], fault["Name"], checked["Compiled"]) == ("compiled", "aa-env.cwasm", 1)
    (fault,), _ = await engine.check(repair=True)
    assert fault["Repaired"]
    assert os.listdir(engine.cache) == []
    await engine.is_whole()
