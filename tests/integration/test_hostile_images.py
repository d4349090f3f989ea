"""Images and volumes with what is no file where a file is expected: nobody opens it, nobody waits for it."""

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Docker

FIFO, DEVICE = tarfile.FIFOTYPE, tarfile.CHRTYPE
ZERO = (1, 5)


def image(name: str, files: Sequence[tuple[str, bytes | str]], config: dict) -> bytes:
    """What `docker save` would make of an image of one layer. A file's content, or the type of what is no file."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for path, content in files:
            info = tarfile.TarInfo(path)
            info.mode = 0o666
            if content in (FIFO, DEVICE):
                info.type = content
                info.devmajor, info.devminor = ZERO
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) and info.isreg() else None)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    document = {
        "architecture": "wasm",
        "os": "wasi",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:latest"], "Layers": ["layer.tar"]}]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for path, data in (
            ("config.json", json.dumps(document).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return whole.getvalue()


def load(docker: Docker, name: str, files: Sequence[tuple[str, bytes | str]], **config: object) -> None:
    ended = docker.run("load", input=image(name, files, config))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("kind", [FIFO, DEVICE], ids=["fifo", "device"])
def test_an_entry_that_is_no_file_is_refused(docker: Docker, guest_image: str, kind: bytes) -> None:
    load(docker, "odd-entry", [("hello.wasm", kind)], Entrypoint=["/hello.wasm"])
    docker.fails("run", "--rm", "odd-entry")
    assert docker("run", "--rm", guest_image) == "hello"


@pytest.mark.parametrize("kind", [FIFO, DEVICE], ids=["fifo", "device"])
def test_users_are_not_looked_up_in_what_is_no_file(docker: Docker, guest_wasm: Path, kind: bytes) -> None:
    files = [("guest.wasm", guest_wasm.read_bytes()), ("etc/passwd", kind), ("etc/group", kind)]
    load(docker, "odd-users", files, Entrypoint=["/guest.wasm"])
    assert docker("run", "--rm", "--user", "5:6", "odd-users") == "hello"
    assert "mate" in docker.fails("run", "--rm", "--user", "mate", "odd-users")


@pytest.mark.parametrize("kind", [FIFO, DEVICE], ids=["fifo", "device"])
def test_a_volume_may_cover_what_is_no_file(docker: Docker, guest_wasm: Path, tmp_path: Path, kind: bytes) -> None:
    (tmp_path / "note").write_text("covered")
    load(docker, "odd-target", [("guest.wasm", guest_wasm.read_bytes()), ("note", kind)], Entrypoint=["/guest.wasm"])
    assert docker("run", "--rm", "-v", f"{tmp_path}/note:/note:ro", "odd-target", "read", "/note") == "covered"


def test_a_device_of_an_image_cannot_be_read_by_its_guest(docker: Docker, guest_wasm: Path) -> None:
    files = [("guest.wasm", guest_wasm.read_bytes()), ("zero", DEVICE)]
    load(docker, "devices", files, Entrypoint=["/guest.wasm"])
    ended = docker.run("run", "--rm", "devices", "read", "/zero")
    assert ended.returncode != 0
    assert "\0" not in ended.stdout


def test_a_huge_module_keeps_nobody_waiting(docker: Docker, guest_image: str, tmp_path: Path) -> None:
    with open(tmp_path / "huge.wasm", "wb") as file:
        file.write(b"\0asm\1\0\0\0")
        os.truncate(file.fileno(), 1 << 40)
    docker("run", "-d", "--name", "near", "-v", f"{tmp_path}:/v", guest_image, "tick")
    done = threading.Event()
    found: list[str] = []

    def ask() -> None:
        found.append(str(docker.run("exec", "near", "/v/huge.wasm")))
        done.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert docker("run", "--rm", guest_image) == "hello"
    assert done.wait(30)
    thread.join()
    docker("rm", "-f", "near")
    assert "bytes: at most" in found[0], found
