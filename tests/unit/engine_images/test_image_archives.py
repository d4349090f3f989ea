"""Save and load, and archives nobody honest would make."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wherry.core.content.local import LocalContentStore
from wherry.engine import image_archive
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform

HELLO = "docker.io/library/hello:latest"


async def _chunks(data: bytes, size=1000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def _saved(world, *refs) -> bytes:
    return b"".join([part async for part in await world.images.save(refs)])


def _tar(files: dict) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def test_what_is_saved_can_be_loaded(world):
    image = await world.add(HELLO)
    await world.images.tag("hello", "other", "v2")
    archive = await _saved(world, "hello", "other:v2")
    assert await _saved(world, "hello", "other:v2") == archive
    await world.images.remove(image, force=True)
    told = await world.images.load(_chunks(archive))
    assert [line["stream"] for line in told] == ["Loaded image: hello:latest\n", "Loaded image: other:v2\n"]
    assert (await world.images.inspect("other:v2"))["Id"] == image


async def test_saved_by_id_is_loaded_without_a_name(world):
    image = await world.add(HELLO)
    archive = await _saved(world, image)
    await world.images.remove("hello")
    assert await world.images.load(_chunks(archive)) == [{"stream": f"Loaded image ID: {image}\n"}]
    assert (await world.images.list())[0]["RepoTags"] == []


async def test_an_index_keeps_its_platforms(world):
    await world.images.catalog.name(HELLO, world.make_index("wasi/wasm", "linux/amd64"))
    image = (await world.images.inspect("hello"))["Id"]
    archive = await _saved(world, "hello")
    await world.images.remove("hello")
    await world.images.load(_chunks(archive))
    entry = (await world.images.catalog.find("hello")).entry
    assert entry.id == image
    assert len(await world.images.catalog.variants(entry.target)) == 2


async def _there(world) -> list[str]:
    entry = (await world.images.catalog.find("hello")).entry
    return [str(variant.platform) for variant in await world.images.catalog.variants(entry.target)]


async def _forgotten(world) -> None:
    await world.images.remove("hello")
    for blob in list(world.services.content.walk()):
        world.services.content.delete(blob.digest)


async def test_one_platform_is_loaded_of_several(world):
    """The rest is not taken, and comes with another load; the image's id stays what it was."""
    await world.images.catalog.name(HELLO, world.make_index("wasi/wasm", "linux/amd64"))
    image = (await world.images.inspect("hello"))["Id"]
    archive = await _saved(world, "hello")
    await _forgotten(world)
    told = await world.images.load(_chunks(archive), platform=Platform.parse("linux/amd64"))
    assert told == [{"stream": "Loaded image: hello:latest\n"}]
    assert await _there(world) == ["linux/amd64"]
    assert (await world.images.inspect("hello"))["Os"] == "linux"
    await world.images.load(_chunks(archive), platform=Platform.parse("wasi/wasm32"))
    assert await _there(world) == ["wasi/wasm", "linux/amd64"]
    found = await world.images.inspect("hello")
    assert (found["Id"], found["Os"]) == (image, "wasi")


async def test_a_platform_that_is_not_in_the_archive(world):
    await world.images.catalog.name(HELLO, world.make_index("wasi/wasm", "linux/amd64"))
    archive = await _saved(world, "hello")
    await _forgotten(world)
    with pytest.raises(NotFound, match=r"^requested platform \(linux/s390x\) not found$"):
        await world.images.load(_chunks(archive), platform=Platform.parse("linux/s390x"))
    assert await world.images.list() == []
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        files = {member.name: source.extractfile(member).read() for member in source}
    index = json.loads(files["index.json"])
    (outer,) = [name for name in files if name.endswith(index["manifests"][0]["digest"][7:])]
    first = json.loads(files[outer])["manifests"][0]["digest"][7:]
    lacking = _tar({name: data for name, data in files.items() if first not in name})
    with pytest.raises(NotFound, match=r"^requested platform \(wasi/wasm\) found, but some content is missing$"):
        await world.images.load(_chunks(lacking), platform=Platform.parse("wasi/wasm"))
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64"}
    other = _tar({**files, "index.json": json.dumps(index).encode()})
    with pytest.raises(NotFound, match=r"^requested platform \(wasi/wasm\) not found$"):
        await world.images.load(_chunks(other), platform=Platform.parse("wasi/wasm"))


async def test_an_image_for_another_platform_alone_is_loaded_and_told(world):
    """As docker does it: such an archive does not say what its image is for."""
    await world.add(HELLO)
    archive = await _saved(world, "hello")
    await _forgotten(world)
    words = r"^image hello:latest was loaded, but doesn't provide the requested platform \(linux/s390x\)$"
    with pytest.raises(NotFound, match=words):
        await world.images.load(_chunks(archive), platform=Platform.parse("linux/s390x"))
    assert await _there(world) == ["wasi/wasm"]


async def test_one_platform_is_saved_of_several(world):
    """As docker has it: the archive has that platform's manifest alone, under the image's name."""
    index = world.make_index("wasi/wasm", "linux/amd64")
    await world.images.catalog.name(HELLO, index)
    parts = await world.images.save(["hello"], Platform.parse("linux/amd64"))
    archive = b"".join([part async for part in parts])
    await _forgotten(world)
    await world.images.load(_chunks(archive))
    found = await world.images.inspect("hello")
    assert found["Os"] == "linux"
    assert found["Id"] != str(index.digest)
    assert await _there(world) == ["linux/amd64"]


async def test_dockers_own_archives_are_read(world):
    layer = _tar({"hello.wasm": b"\0asm"})
    config = {"architecture": "wasm", "os": "wasi", "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]}}
    files = {
        "abc.json": json.dumps(config).encode(),
        "one/layer.tar": layer,
        "manifest.json": json.dumps(
            [{"Config": "abc.json", "RepoTags": ["old:1"], "Layers": ["one/layer.tar"]}]
        ).encode(),
    }
    assert await world.images.load(_chunks(_tar(files))) == [{"stream": "Loaded image: old:1\n"}]
    assert (await world.images.inspect("old:1"))["RootFS"]["Layers"] == [str(Digest.of(layer))]
    ready = await world.images.runnable("old:1", "wasi/wasm32")
    assert (ready.name, str(ready.platform)) == ("docker.io/library/old:1", "wasi/wasm")
    assert ready.snapshot == str(Digest.of(layer))
    (folder,) = world.services.snapshots.layers(ready.snapshot)
    assert Path(folder, "hello.wasm").read_bytes() == b"\0asm"
    assert (await world.images.runnable(ready.id, None)).name == ready.id
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await world.images.runnable("old:1", "linux/amd64")


async def test_an_unknown_image_is_not_saved(world):
    with pytest.raises(NotFound, match="No such image: nothing:latest"):
        await world.images.save(["nothing"])


async def test_damaged_archives_are_refused_and_name_nothing(world):
    image = await world.add(HELLO)
    archive = await _saved(world, "hello")
    await world.images.remove("hello")
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        files = {member.name: source.extractfile(member).read() for member in source}
    blob = next(name for name in files if name.startswith("blobs/") and files[name] == b"layer")
    bad = [
        b"",
        b"not a tar" * 200,
        archive[:700],
        _tar({}),
        _tar({"manifest.json": b"[{}]"}),
        _tar({"manifest.json": b"[" * 100_000}),
        _tar({"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}),
        _tar({**files, blob: b"other"}),
        _tar({**files, blob: b"longer than before"}),
        _tar({name: data for name, data in files.items() if name != blob}),
        _tar({**files, "index.json": b"{}"[:1]}),
        _tar({**files, f"blobs/sha256/{image[7:]}": b"{}"}),
    ]
    for data in bad:
        with pytest.raises(InvalidArgument) as caught:
            await world.images.load(_chunks(data))
        assert "\n" not in str(caught.value)
    assert await world.images.list() == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_mutated_archives_raise_nothing_but_our_errors(tmp_path_factory, data):
    content = LocalContentStore(str(tmp_path_factory.mktemp("content")))
    config = b'{"architecture":"wasm","os":"wasi","rootfs":{"type":"layers","diff_ids":[]}}'
    base = _tar({"c": config, "manifest.json": b'[{"Config":"c","RepoTags":["a:1"],"Layers":[]}]'})
    changed = bytearray(base)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    try:
        image_archive.load(io.BytesIO(bytes(changed)), content, lambda digest: None)
    except WherryError as error:
        assert "\n" not in str(error)  # noqa: PT017 - one of many ways it may end
