"""What every driver of `ContentStore` does."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wherry.core.content.local import LocalContentStore
from wherry.core.content.store import ContentStore, write_blob
from wherry.errors import Conflict, DataLoss, NotFound, ResourceExhausted
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

ABSENT = Digest.of(b"nobody stored this")


@pytest.fixture(params=[LocalContentStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    return request.param(str(tmp_path))


def test_a_blob_is_found_by_its_digest(store: ContentStore) -> None:
    info = write_blob(store, [b"hello ", b"world"])
    assert info.digest == Digest.of(b"hello world")
    assert info.size == 11
    assert store.info(info.digest) == info
    assert store.read(info.digest) == b"hello world"
    assert store.read(Descriptor("text/plain", info.digest, 11)) == b"hello world"
    with store.open(info.digest) as reader:
        assert reader.read(5) == b"hello"
        assert reader.read() == b" world"
    assert list(store.walk()) == [info]


def test_an_empty_blob_is_a_blob(store: ContentStore) -> None:
    assert store.read(write_blob(store, b"").digest) == b""


def test_nothing_is_visible_before_commit(store: ContentStore) -> None:
    with store.ingest() as ingest:
        ingest.write(b"half")
        assert ingest.offset == 4
        assert list(store.walk()) == []
    assert list(store.walk()) == []
    with pytest.raises(NotFound):
        store.info(Digest.of(b"half"))


def test_an_ingest_ends_with_its_block_or_its_commit(store: ContentStore) -> None:
    with store.ingest() as ingest:
        ingest.write(b"x")
        ingest.commit()
        with pytest.raises(Conflict):
            ingest.write(b"y")
        with pytest.raises(Conflict):
            ingest.commit()
    with store.ingest() as dropped:
        pass
    with pytest.raises(Conflict):
        dropped.write(b"y")


def test_the_stream_checks_digest_and_size(store: ContentStore) -> None:
    with pytest.raises(DataLoss, match=str(ABSENT)):
        write_blob(store, b"other bytes", expected=ABSENT)
    with store.ingest(size=3) as ingest, pytest.raises(ResourceExhausted, match="larger than the 3 bytes"):
        ingest.write(b"four")
    with store.ingest(size=3) as ingest:
        ingest.write(b"2b")
        with pytest.raises(DataLoss, match="2 of 3 bytes"):
            ingest.commit()
    assert list(store.walk()) == []


def test_storing_twice_is_no_error(store: ContentStore) -> None:
    first = write_blob(store, b"same")
    second = write_blob(store, b"same", expected=first.digest)
    assert second.digest == first.digest
    assert len(list(store.walk())) == 1


def test_what_is_absent_is_not_found(store: ContentStore) -> None:
    for ask in (store.info, store.open, store.read, store.delete):
        with pytest.raises(NotFound, match=str(ABSENT)):
            ask(ABSENT)


def test_delete(store: ContentStore) -> None:
    digest = write_blob(store, b"short life").digest
    store.delete(digest)
    assert list(store.walk()) == []
    with pytest.raises(NotFound):
        store.delete(digest)


def test_a_descriptor_of_the_wrong_size_is_data_loss(store: ContentStore) -> None:
    digest = write_blob(store, b"12345").digest
    with pytest.raises(DataLoss, match="5 bytes, not 6"):
        store.read(Descriptor("text/plain", digest, 6))


def test_sha512_blobs(store: ContentStore) -> None:
    digest = Digest.parse("sha512:" + hashlib.sha512(b"long").hexdigest())
    assert write_blob(store, b"long", expected=digest).digest == digest
    assert store.read(digest) == b"long"
    assert [info.digest for info in store.walk()] == [digest]


def test_many_threads_store_the_same_and_others(store: ContentStore) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            write_blob(store, b"shared by all")
            write_blob(store, f"{number}.{turn}".encode())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert len(list(store.walk())) == 41
    for info in store.walk():
        assert len(store.read(info.digest)) == info.size


def test_large_blobs_stream(store: ContentStore) -> None:
    chunk = os.urandom(1 << 20)
    info = write_blob(store, (chunk for _ in range(5)))
    with store.open(info.digest) as reader:
        assert sum(len(piece) for piece in iter(lambda: reader.read(70_001), b"")) == 5 << 20


def test_a_damaged_blob_is_replaced_only_when_that_is_asked_for(store: ContentStore) -> None:
    data = b"what it should be"
    digest = write_blob(store, data).digest
    path = store.path(digest)
    os.chmod(path, 0o644)
    Path(path).write_bytes(b"what it was made")
    write_blob(store, data)
    with pytest.raises(DataLoss):
        store.read(digest)
    with store.ingest(expected=digest, size=len(data), replace=True) as ingest:
        ingest.write(data[:-1] + b"?")
        with pytest.raises(DataLoss):
            ingest.commit()
    with pytest.raises(DataLoss):
        store.read(digest)
    with store.ingest(expected=digest, size=len(data), replace=True) as ingest:
        ingest.write(data)
        ingest.commit()
    assert store.read(digest) == data
