"""The content store as others see it: a real OCI layout, whole after kills, consistent on a full disk."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.unit.core_store.oci_images import hello, store_image
from wherry.core.content import local
from wherry.core.content.files import replace_file
from wherry.core.content.layout_index import stage_index
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.images.store import Image
from wherry.core.metadata.database import Database
from wherry.errors import DataLoss, NotFound, ResourceExhausted
from wherry.linux import mounts
from wherry.oci.digest import Digest


@pytest.fixture
def images(tmp_path: Path, content: LocalContentStore) -> Iterator[SqliteImageStore]:
    database = Database(str(tmp_path / "wherry.db"))
    yield SqliteImageStore(database, partial(stage_index, content.root))
    database.close()


def index(content: LocalContentStore) -> list[tuple[str, str]]:
    document = json.loads(Path(content.root, "index.json").read_bytes())
    return [
        (entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""), entry["digest"])
        for entry in document["manifests"]
    ]


def test_it_is_an_oci_layout(content: LocalContentStore) -> None:
    root = Path(content.root)
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((root / "index.json").read_bytes())["manifests"] == []
    digest = write_blob(content, b"blob").digest
    assert (root / "blobs" / "sha256" / digest.hex).read_bytes() == b"blob"
    assert content.path(digest) == str(root / "blobs" / "sha256" / digest.hex)


def test_the_index_follows_the_names(content: LocalContentStore, images: SqliteImageStore) -> None:
    target = store_image(content, hello())
    digest = str(target.digest)
    images.put(Image("docker.io/library/hello:latest", target, 1, 1))
    images.put(Image("localhost:5000/a/b:v1", target, 1, 1))
    images.put(Image(f"<none>@{digest}", target, 1, 1))
    assert index(content) == [("", digest), ("hello:latest", digest), ("localhost:5000/a/b:v1", digest)]
    images.delete("docker.io/library/hello:latest")
    with pytest.raises(NotFound):
        images.delete("docker.io/library/hello:latest")
    assert index(content) == [("", digest), ("localhost:5000/a/b:v1", digest)]
    assert not os.path.exists(content.root + "/index.json.next")


def test_an_index_that_a_kill_left_behind_is_mended(tmp_path: Path, content: LocalContentStore) -> None:
    database = Database(str(tmp_path / "w.db"))
    target = store_image(content, hello())
    SqliteImageStore(database).put(Image("docker.io/library/hello:latest", target, 1, 1))
    assert index(content) == []
    SqliteImageStore(database, partial(stage_index, content.root))
    assert index(content) == [("hello:latest", str(target.digest))]
    database.close()


@pytest.mark.parametrize("name", ["hello:latest", "example.org/team/hello:v1.2-rc"])
def test_skopeo_reads_the_store_as_it_lies(
    tmp_path: Path, content: LocalContentStore, images: SqliteImageStore, name: str
) -> None:
    target = store_image(content, hello())
    full = name if "/" in name else f"docker.io/library/{name}"
    images.put(Image(full, target, 1, 1))
    skopeo = ["skopeo", "--override-os", "wasi", "--override-arch", "wasm"]
    place = f"oci:{content.root}:{name}"
    inspected = subprocess.run([*skopeo, "inspect", place], capture_output=True, check=True)
    assert json.loads(inspected.stdout)["Digest"] == target.digest
    assert json.loads(inspected.stdout)["Architecture"] == "wasm"
    raw = subprocess.run([*skopeo, "inspect", "--raw", place], capture_output=True, check=True)
    assert raw.stdout == content.read(target)
    out = tmp_path / "out"
    subprocess.run([*skopeo, "copy", "-q", place, f"oci:{out}:copied"], capture_output=True, check=True)
    assert {path.name for path in (out / "blobs/sha256").iterdir()} == {info.digest.hex for info in content.walk()}


def test_corruption_names_the_digest(content: LocalContentStore) -> None:
    digest = write_blob(content, b"a" * 1000).digest
    os.chmod(content.path(digest), 0o644)
    Path(content.path(digest)).write_bytes(b"a" * 999 + b"b")
    with pytest.raises(DataLoss, match=str(digest)):
        content.read(digest)
    with content.open(digest) as reader:
        assert reader.read(10) == b"a" * 10
        with pytest.raises(DataLoss, match=str(digest)):
            reader.read()
    with content.open(digest) as reader, pytest.raises(DataLoss, match=str(digest)):
        list(iter(lambda: reader.read(100), b""))


def test_a_truncated_blob_is_corrupt(content: LocalContentStore) -> None:
    digest = write_blob(content, b"a" * 1000).digest
    os.chmod(content.path(digest), 0o644)
    os.truncate(content.path(digest), 10)
    with pytest.raises(DataLoss, match=str(digest)):
        content.read(digest)


KILLED = """
import os, sys
from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import write_blob
store = LocalContentStore(sys.argv[1])
print("go", flush=True)
while True:
    write_blob(store, [os.urandom(20000) for _ in range(5)])
"""


def test_a_kill_leaves_whole_blobs_only(tmp_path: Path) -> None:
    root = str(tmp_path / "content")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for wait in range(3):
        with subprocess.Popen([sys.executable, "-c", KILLED, root], stdout=subprocess.PIPE, env=environ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"go\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.03 * (wait + 1))
            child.send_signal(signal.SIGKILL)
    store = LocalContentStore(root)
    assert os.listdir(os.path.join(root, "ingest")) == []
    blobs = list(store.walk())
    assert all(len(store.read(blob.digest)) == 100_000 for blob in blobs)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounts.mount("tmpfs", str(folder), "tmpfs", 0, "size=1m,nr_inodes=200")
    yield folder
    mounts.umount(str(folder), mounts.MNT_DETACH)


def test_a_full_disk_leaves_the_store_consistent(small_disk: Path) -> None:
    content = LocalContentStore(str(small_disk / "content"))
    small = write_blob(content, b"fits").digest
    with pytest.raises(ResourceExhausted, match="no space left"):
        write_blob(content, (os.urandom(65536) for _ in range(40)))
    assert [blob.digest for blob in content.walk()] == [small]
    assert os.listdir(small_disk / "content" / "ingest") == []
    assert content.read(small) == b"fits"
    assert content.read(write_blob(content, os.urandom(500_000)).digest)


def test_a_full_disk_keeps_names_and_index_in_step(tmp_path: Path, small_disk: Path) -> None:
    content = LocalContentStore(str(small_disk / "content"))
    database = Database(str(tmp_path / "wherry.db"))
    images = SqliteImageStore(database, partial(stage_index, content.root))
    target = store_image(content, hello())
    images.put(Image("docker.io/library/one:latest", target, 1, 1))
    with open(small_disk / "filler", "wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        list(iter(lambda: filler.write(bytes(4096)), 0))
    with pytest.raises(ResourceExhausted):
        images.put(Image("docker.io/library/two:latest", target, 1, 1))
    assert [image.name for image in images.walk()] == ["docker.io/library/one:latest"]
    assert [name for name, _ in index(content)] == ["one:latest"]
    os.unlink(small_disk / "filler")
    images.put(Image("docker.io/library/two:latest", target, 1, 1))
    assert [name for name, _ in index(content)] == ["one:latest", "two:latest"]
    database.close()


def test_a_database_on_a_full_disk(small_disk: Path) -> None:
    database = Database(str(small_disk / "wherry.db"))
    images = SqliteImageStore(database)
    target = store_image(LocalContentStore(str(small_disk / "content")), hello())
    stored = []

    def fill() -> None:
        for number in range(10_000):
            images.put(Image(f"docker.io/library/i{number}:latest", target, 1, 1, {"k": "x" * 4000}))
            stored.append(number)

    with pytest.raises(ResourceExhausted, match="disk"):
        fill()
    assert len(list(images.walk())) == len(stored) > 10
    database.close()


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(str(path), b"one")
    replace_file(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


def test_a_blob_stored_again_is_young_again(tmp_path: Path) -> None:
    now = [100.0]
    store = LocalContentStore(str(tmp_path / "content"), clock=lambda: now[0])
    digest = write_blob(store, b"x").digest
    assert store.info(digest).created == 100.0
    now[0] = 250.0
    assert write_blob(store, b"x").created == 250.0
    assert store.info(digest).created == 250.0
    assert Digest.of(b"x") == digest


def test_folders_are_synced_once_for_all_that_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is followed by another blob leaves the folder to it; whoever lasts makes all names last, and not twice."""
    synced: list[str] = []
    monkeypatch.setattr(local, "sync_folder", lambda path: synced.append(os.path.basename(path)))
    store = LocalContentStore(str(tmp_path))
    for data, expected in (
        (b"one", Digest.of(b"one")),
        (b"two", Digest(f"sha512:{hashlib.sha512(b'two').hexdigest()}")),
    ):
        with store.ingest(expected=expected) as ingest:
            ingest.write(data)
            assert store.read(ingest.commit(lasting=False).digest) == data
    assert synced == []
    with store.ingest() as ingest:  # there already: its name may not last yet
        ingest.write(b"one")
        ingest.commit()
    assert synced == ["sha256", "sha512"]
    with store.ingest() as ingest:
        ingest.write(b"one")
        ingest.commit()
    assert synced == ["sha256", "sha512"]


def test_what_was_settled_is_not_to_be_seen_and_may_still_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    store = LocalContentStore(str(tmp_path))
    monkeypatch.setattr(os, "fsync", times.append)
    with store.ingest() as ingest:
        ingest.write(b"one")
        ingest.settle()
        assert list(store.walk()) == []
        assert len(times) == 1
        ingest.write(b"two")
        assert store.read(ingest.commit().digest) == b"onetwo"
        assert len(times) == 3  # the rest, and the folder
    with store.ingest() as ingest:
        ingest.write(b"three")
        ingest.settle()
    assert [info.digest for info in store.walk()] == [Digest.of(b"onetwo")]
    assert list((tmp_path / "ingest").iterdir()) == []
