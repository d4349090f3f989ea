"""Every form in which modules are packed in the wild: pulled, shown, run, saved and loaded, pushed back as it was."""

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.registry import FakeRegistry, Fault, served
from tests.integration.conftest import DEADLINE, Docker, until
from wherry.oci import mediatypes
from wherry.oci.artifact import TITLE
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Index, Manifest
from wherry.oci.platform import Platform


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeRegistry]:
    with served(FakeRegistry({"me": "secret"}, tokens=True)) as made:
        made.anonymous_pull = True
        yield made


def layer_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def scratch(system: str, architecture: str, manifest_type: str, config_type: str, layer_type: str, **annotations: str):
    def make(module: bytes) -> tuple[Manifest, list[bytes]]:
        plain = layer_of({"app/guest.wasm": module})
        packed = gzip.compress(plain, mtime=0) if layer_type.endswith("gzip") else plain
        config = json.dumps(
            {
                "architecture": architecture,
                "os": system,
                "config": {"Entrypoint": ["/app/guest.wasm"], "Env": ["A=b"]},
                "rootfs": {"type": "layers", "diff_ids": [Digest.of(plain)]},
            }
        ).encode()
        blobs = (Descriptor.of(layer_type, packed),)
        manifest = Manifest(
            Descriptor.of(config_type, config),
            blobs,
            manifest_type,
            annotations={k.replace("__", "."): v for k, v in annotations.items()},
        )
        return manifest, [config, packed]

    return make


def bare(config_type: str, config: bytes, layer_type: str, **annotations: str):
    def make(module: bytes) -> tuple[Manifest, list[bytes]]:
        text = config.replace(b"DIGEST", Digest.of(module).encode())
        layer = Descriptor.of(layer_type, module, annotations=annotations)
        return Manifest(Descriptor.of(config_type, text), (layer,)), [text, module]

    return make


OCI = (mediatypes.OCI_MANIFEST, mediatypes.OCI_CONFIG, mediatypes.OCI_LAYER_GZIP)
PLAIN = (mediatypes.OCI_MANIFEST, mediatypes.OCI_CONFIG, mediatypes.OCI_LAYER)
DOCKER = (mediatypes.DOCKER_MANIFEST, mediatypes.DOCKER_CONFIG, mediatypes.DOCKER_LAYER_GZIP)
RUNWASI = b"""{"architecture": "wasm", "os": "wasip1", "config": {"Entrypoint": ["/guest.wasm"]},
 "rootfs": {"type": "layers", "diff_ids": ["DIGEST"]}}"""

# What makes it; the platform that is shown of it.
FORMS = {
    "wasi/wasm": (scratch("wasi", "wasm", *OCI), "wasi/wasm"),
    "wasi/wasm32 of docker": (scratch("wasi", "wasm32", *DOCKER), "wasi/wasm32"),
    "wasip1/wasm": (scratch("wasip1", "wasm", *PLAIN), "wasip1/wasm"),
    "linux by magic": (scratch("linux", "amd64", *OCI), "linux/amd64"),
    "linux by handler": (scratch("linux", "amd64", *OCI, run__oci__handler="wasm"), "linux/amd64"),
    "linux by variant": (
        scratch("linux", "amd64", *OCI, **{"module.wasm.image/variant": "compat-smart"}),
        "linux/amd64",
    ),
    "cncf": (
        bare(
            mediatypes.WASM_CONFIG_V0,
            b'{"architecture": "wasm", "os": "wasip1", "layerDigests": ["DIGEST"]}',
            mediatypes.WASM_LAYER,
        ),
        "wasip1/wasm",
    ),
    "wasm-to-oci": (bare(mediatypes.WASM_CONFIG_V1, b"{}", mediatypes.WASM_CONTENT_LAYER), "wasi/wasm"),
    "wasmcloud": (
        bare(mediatypes.WASM_CONFIG_V1, b"{}", mediatypes.WASM_MODULE_LAYER, **{TITLE: "guest_s.wasm"}),
        "wasi/wasm",
    ),
    "runwasi": (bare(mediatypes.OCI_CONFIG, RUNWASI, mediatypes.WASM_RUNWASI_LAYER), "wasip1/wasm"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form(docker: Docker, registry: FakeRegistry, guest_wasm: Path, tmp_path: Path, form: str) -> None:
    make, platform = FORMS[form]
    path = form.replace(" ", "-").replace("/", "-")
    manifest, blobs = make(guest_wasm.read_bytes())
    for data in blobs:
        registry.add_blob(path, data)
    digest = registry.add_manifest(path, manifest.to_bytes(), manifest.media_type, "latest")
    name = f"{registry.address}/{path}"
    assert f"Digest: {digest}" in docker("pull", name)
    shown = json.loads(docker("image", "inspect", name))[0]
    assert (shown["Id"], f"{shown['Os']}/{shown['Architecture']}") == (digest, platform)
    assert docker("run", "--rm", name) == "hello"
    archive = tmp_path / "image.tar"
    docker("save", "-o", archive, name)
    docker("rmi", name)
    docker("load", "-i", archive)
    assert json.loads(docker("image", "inspect", name))[0]["Id"] == digest
    assert docker("run", "--rm", name) == "hello"
    docker("login", "-u", "me", "-p", "secret", registry.address)
    docker("tag", name, f"{registry.address}/back/{path}")
    assert f"digest: {digest}" in docker("push", f"{registry.address}/back/{path}")
    docker("logout", registry.address)
    back = registry.repository(f"back/{path}")
    assert back["manifests"][digest] == (manifest.media_type, manifest.to_bytes())
    assert set(back["blobs"].values()) == set(blobs)
    docker("rmi", name, f"{registry.address}/back/{path}")


def test_an_engine_that_is_killed_while_it_pulls(fresh_docker: Docker, guest_wasm: Path) -> None:
    docker, daemon = fresh_docker, fresh_docker.daemon
    manifest, blobs = FORMS["wasi/wasm"][0](guest_wasm.read_bytes())
    with served(FakeRegistry()) as registry:
        for data in blobs:
            registry.add_blob("killed", data)
        registry.add_manifest("killed", manifest.to_bytes(), manifest.media_type, "latest")
        registry.faults = [Fault(f"GET .*{manifest.layers[0].digest}", cut=1000, stall=True)]
        name = f"{registry.address}/killed"
        pull = docker.popen("pull", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: registry.asked(f"GET .*{manifest.layers[0].digest}"), "the layer is asked for")
        daemon.kill()
        assert pull.wait(DEADLINE) != 0
        daemon.start()
        content = daemon.root / "content"
        assert list((content / "ingest").iterdir()) == []
        assert list((content / "blobs" / "sha256").iterdir()) == []
        assert docker("images", "-aq") == ""
        assert docker("run", "--rm", "-q", name) == "hello"


def test_an_index_of_artifacts_without_platforms(docker: Docker, registry: FakeRegistry, guest_wasm: Path) -> None:
    manifest, blobs = FORMS["cncf"][0](guest_wasm.read_bytes())
    for data in blobs:
        registry.add_blob("alone", data)
    registry.add_manifest("alone", manifest.to_bytes(), manifest.media_type)
    entry = Descriptor.of(manifest.media_type, manifest.to_bytes())
    registry.add_manifest("alone", Index((entry,)).to_bytes(), mediatypes.OCI_INDEX, "latest")
    assert docker("run", "--rm", "-q", f"{registry.address}/alone") == "hello"


def test_a_docker_list_of_linux_and_wasi(docker: Docker, registry: FakeRegistry, guest_wasm: Path) -> None:
    entries = []
    for form, platform in (("linux by magic", "linux/amd64"), ("wasi/wasm32 of docker", "wasi/wasm32")):
        manifest, blobs = FORMS[form][0](guest_wasm.read_bytes())
        for data in blobs:
            registry.add_blob("list", data)
        registry.add_manifest("list", manifest.to_bytes(), manifest.media_type)
        entries.append(Descriptor.of(manifest.media_type, manifest.to_bytes(), platform=Platform.parse(platform)))
    registry.add_manifest(
        "list", Index(tuple(entries), mediatypes.DOCKER_INDEX).to_bytes(), mediatypes.DOCKER_INDEX, "latest"
    )
    name = f"{registry.address}/list"
    assert docker("run", "--rm", "-q", "--platform", "wasm", name) == "hello"
    assert json.loads(docker("image", "inspect", name))[0]["Os"] == "wasi"
    assert docker("run", "--rm", "-q", "--platform", "linux/amd64", name) == "hello"
    shown = docker("images", "--tree", name)
    assert all(platform in shown for platform in ("linux/amd64", "wasi/wasm32"))
    assert "no matching manifest for linux/s390x" in docker.fails("pull", "--platform", "linux/s390x", name)
