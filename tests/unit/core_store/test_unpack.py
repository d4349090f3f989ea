"""Images become snapshots: whole or not at all, shared where chains are."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.core_store.oci_images import Bytes, hello, image, layer, store_image
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
from wherry.core.diff.unpack import steps, target_of, unpack
from wherry.core.metadata.database import Database
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted, Unimplemented
from wherry.linux import mounts
from wherry.oci import mediatypes
from wherry.oci.artifact import TITLE, completed
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.manifest import Manifest


def files(snapshots: Snapshotter, key: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for folder in reversed(snapshots.layers(key)):
        for path in Path(folder).rglob("*"):
            if path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def chain_ids(made: Bytes) -> list[str]:
    return [step.chain for step in steps(*made.parsed)]


def test_chain_ids_are_the_specs() -> None:
    made = image(b"1", b"2", b"3")
    one, two, three = (Digest.of(text) for text in (b"1", b"2", b"3"))
    middle = Digest.of(f"{one} {two}".encode())
    assert chain_ids(made) == [one, middle, Digest.of(f"{middle} {three}".encode())]
    assert chain_ids(image()) == []


def test_images_share_the_chains_they_have_in_common(content: LocalContentStore, snapshots: Snapshotter) -> None:
    base, mine, yours = layer({"a": b"1"}), layer({"b": b"2"}), layer({"a": b"3"})
    held: list[tuple[str, str]] = []
    keys = []
    for made in (image(base, mine), image(base, yours), image(base, mine)):
        store_image(content, made)
        keys.append(unpack(*made.parsed, content, snapshots, hold=lambda kind, key: held.append((kind, key))))
    assert keys[0] == keys[2] == chain_ids(image(base, mine))[-1]
    assert files(snapshots, keys[0]) == {"a": b"1", "b": b"2"}
    assert files(snapshots, keys[1]) == {"a": b"3"}
    assert {info.kind for info in snapshots.walk()} == {"committed"}
    assert len(list(snapshots.walk())) == 3
    assert {key for _, key in held} == {info.key for info in snapshots.walk()}


def test_an_image_without_layers_has_no_snapshot(content: LocalContentStore, snapshots: Snapshotter) -> None:
    made = image()
    store_image(content, made)
    assert unpack(*made.parsed, content, snapshots) == ""


def test_many_may_unpack_at_once(content: LocalContentStore, snapshots: Snapshotter) -> None:
    made = image(*(layer({f"f{number}": os.urandom(50_000)}) for number in range(5)))
    store_image(content, made)
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(unpack(*made.parsed, content, snapshots))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1
    assert sorted(info.kind for info in snapshots.walk()) == ["committed"] * 5
    assert len(os.listdir(Path(snapshots.layers(results[0])[0]).parent.parent)) == 5


def broken(content: LocalContentStore, made: Bytes) -> None:
    digest = made.parsed[0].layers[-1].digest
    os.chmod(content.path(digest), 0o600)
    with open(content.path(digest), "r+b") as file:
        file.seek(20)
        file.write(b"rot")


def test_a_rotten_layer_is_data_loss(content: LocalContentStore, snapshots: Snapshotter) -> None:
    made = image(layer({"a": b"1"}), layer({"b": os.urandom(5000)}))
    store_image(content, made)
    broken(content, made)
    with pytest.raises(DataLoss, match=str(made.parsed[0].layers[-1].digest)):
        unpack(*made.parsed, content, snapshots)
    assert [info.kind for info in snapshots.walk()] == ["committed"]


def test_faults_leave_no_half_layer(content: LocalContentStore, snapshots: Snapshotter) -> None:
    made = image(layer({"a": b"1"}), layer({"ok": b"1", "../../out": b"2"}))
    store_image(content, made)
    manifest, config = made.parsed
    with pytest.raises(InvalidArgument, match=r"entry ../../out: its path leaves the root"):
        unpack(manifest, config, content, snapshots)
    lying = replace(config, diff_ids=(config.diff_ids[0], Digest.of(b"something else")))
    with pytest.raises(InvalidArgument):
        unpack(manifest, lying, content, snapshots)
    with pytest.raises(InvalidArgument, match="2 layers, but its config names 1"):
        unpack(manifest, replace(config, diff_ids=config.diff_ids[:1]), content, snapshots)
    assert [info.key for info in snapshots.walk()] == [config.diff_ids[0]]


def test_a_wrong_diff_id_is_refused(content: LocalContentStore, snapshots: Snapshotter) -> None:
    made = hello()
    store_image(content, made)
    manifest, config = made.parsed
    wrong = Digest.of(b"something else")
    with pytest.raises(InvalidArgument, match=f"unpacks to {config.diff_ids[0]}, but the image's config says {wrong}"):
        unpack(manifest, replace(config, diff_ids=(wrong,)), content, snapshots)
    assert list(snapshots.walk()) == []


def test_a_missing_blob_is_not_found(content: LocalContentStore, snapshots: Snapshotter) -> None:
    with pytest.raises(NotFound):
        unpack(*hello().parsed, content, snapshots)
    assert list(snapshots.walk()) == []


MODULE = b"\0asm\1\0\0\0" + os.urandom(700)


def bare(config_type: str, layer_type: str, title: str = "", config: ImageConfig | None = None, count: int = 1):
    annotations = {TITLE: title} if title else {}
    layers = tuple(Descriptor.of(layer_type, MODULE + bytes(n), annotations=annotations) for n in range(count))
    manifest = Manifest(Descriptor.of(config_type, b"{}"), layers)
    return manifest, completed(manifest, config)


FORMS = [
    (mediatypes.WASM_CONFIG_V0, mediatypes.WASM_LAYER, "", "module.wasm"),
    (mediatypes.WASM_CONFIG_V0, mediatypes.WASM_LAYER, "app.wasm", "app.wasm"),
    (mediatypes.WASM_CONFIG_V0, mediatypes.WASM_LAYER, "../../etc/passwd", "module.wasm"),
    (mediatypes.WASM_CONFIG_V1, mediatypes.WASM_CONTENT_LAYER, "", "module.wasm"),
    (mediatypes.WASM_CONFIG_V1, mediatypes.WASM_MODULE_LAYER, "", "module.wasm"),
    (mediatypes.OCI_EMPTY, mediatypes.WASM_RUNWASI_LAYER, "", "module.wasm"),
]


@pytest.mark.parametrize(("config_type", "layer_type", "title", "name"), FORMS)
def test_bare_modules_become_a_file(
    content: LocalContentStore, snapshots: Snapshotter, config_type: str, layer_type: str, title: str, name: str
) -> None:
    write_blob(content, MODULE)
    manifest, config = bare(config_type, layer_type, title)
    assert (config.platform.is_wasm, config.config.entrypoint) == (True, (f"/{name}",))
    key = unpack(manifest, config, content, snapshots)
    assert files(snapshots, key) == {name: MODULE}
    assert unpack(manifest, config, content, snapshots) == key
    other = bare(config_type, layer_type, "another.wasm")
    assert files(snapshots, unpack(*other, content, snapshots)) == {"another.wasm": MODULE}


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (("/app/x.wasm", "arg"), "app/x.wasm"),
        (("x.wasm#go",), "x.wasm"),
        (("../../x",), "x"),
        (("/",), "module.wasm"),
        ((), "module.wasm"),
    ],
)
def test_a_module_among_the_layers_of_an_image(
    content: LocalContentStore, snapshots: Snapshotter, entry: tuple[str, ...], name: str
) -> None:
    base = layer({"a": b"1"})
    write_blob(content, base)
    write_blob(content, MODULE)
    made = ImageConfig(
        "wasm", "wasip1", config=RunConfig(entrypoint=entry or None), diff_ids=(Digest.of(base), Digest.of(MODULE))
    )
    layers = (Descriptor.of(mediatypes.OCI_LAYER, base), Descriptor.of(mediatypes.WASM_RUNWASI_LAYER, MODULE))
    manifest = Manifest(Descriptor.of(mediatypes.OCI_CONFIG, made.to_bytes()), layers)
    config = completed(manifest, made)
    assert files(snapshots, unpack(manifest, config, content, snapshots)) == {"a": b"1", name: MODULE}
    assert config.config.entrypoint == (entry or ("/module.wasm",))
    lying = replace(config, diff_ids=(Digest.of(base), Digest.of(b"other")))
    with pytest.raises(InvalidArgument, match="config says"):
        unpack(manifest, lying, content, snapshots)


def test_what_cannot_be_run_says_why(content: LocalContentStore, snapshots: Snapshotter) -> None:
    spin = bare(mediatypes.SPIN_CONFIG, mediatypes.WASM_CONTENT_LAYER)
    with pytest.raises(Unimplemented, match="Spin application"):
        unpack(*spin, content, snapshots)
    with pytest.raises(
        InvalidArgument, match=r"an artifact \(application/vnd.oci.empty.v1\+json\) with no WebAssembly"
    ):
        unpack(*bare(mediatypes.OCI_EMPTY, "text/plain"), content, snapshots)
    with pytest.raises(InvalidArgument, match="2 WebAssembly modules"):
        unpack(*bare(mediatypes.WASM_CONFIG_V0, mediatypes.WASM_LAYER, count=2), content, snapshots)
    assert list(snapshots.walk()) == []


def test_a_rotten_module_is_data_loss(content: LocalContentStore, snapshots: Snapshotter) -> None:
    write_blob(content, MODULE)
    manifest, config = bare(mediatypes.WASM_CONFIG_V0, mediatypes.WASM_LAYER)
    path = Path(content.path(manifest.layers[0].digest))
    path.chmod(0o600)
    path.write_bytes(MODULE[:-1] + b"!")
    with pytest.raises(DataLoss):
        unpack(manifest, config, content, snapshots)
    assert list(snapshots.walk()) == []


def test_the_mark_that_hides_folders_fits_the_mount(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "w.db"))
    for userxattr, mark in ((False, "trusted.overlay.opaque"), (True, "user.overlay.opaque")):
        snapshots = OverlaySnapshotter(database, str(tmp_path / str(userxattr)), userxattr=userxattr)
        snapshots.prepare(f"a{userxattr}")
        snapshots.commit(f"b{userxattr}", f"a{userxattr}")
        snapshots.prepare(f"c{userxattr}", f"b{userxattr}")
        target = target_of(snapshots, f"c{userxattr}", own=True)
        assert (target.opaque, len(target.lowers)) == (mark, 1)
    database.close()


def test_a_full_disk_leaves_no_half_layer(tmp_path: Path, content: LocalContentStore) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounts.mount("tmpfs", str(small), "tmpfs", 0, "size=512k")
    database = Database(str(tmp_path / "wherry.db"))
    try:
        snapshots = OverlaySnapshotter(database, str(small / "snapshots"))
        made = image(layer({"a": b"1"}), layer({"big": os.urandom(1 << 20)}))
        store_image(content, made)
        with pytest.raises(ResourceExhausted, match="entry big: no space left"):
            unpack(*made.parsed, content, snapshots)
        assert [info.kind for info in snapshots.walk()] == ["committed"]
        assert len(os.listdir(small / "snapshots")) == 1
        again = image(layer({"a": b"1"}), layer({"b": b"fits"}))
        store_image(content, again)
        assert files(snapshots, unpack(*again.parsed, content, snapshots)) == {"a": b"1", "b": b"fits"}
    finally:
        database.close()
        mounts.umount(str(small), mounts.MNT_DETACH)
