"""Nothing is lost, left over or corrupted: collection beside a crowd, after SIGKILL, and `wherry system check`."""

import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fakes.docker_registry import DockerRegistry
from tests.integration.conftest import Daemon, Docker, until
from tests.integration.wherry_cli import Wherry
from wherry.wasm import warmup

MOMENTS = {"pull": (0.05, 0.25), "build": (0.1, 0.4), "rmi": (0.03, 0.1), "load": (0.04, 0.15)}
"""Seconds of the client's life before the engine is killed."""


@pytest.fixture
def wherry(fresh_daemon: Daemon, tmp_path: Path) -> Wherry:
    return Wherry(fresh_daemon.host, tmp_path)


def context(folder: Path, guest: Path, number: int) -> Path:
    """A build's context: the guest, a layer that all of them have, and one that is this one's."""
    folder.mkdir(parents=True)
    shutil.copy(guest, folder / "guest.wasm")
    (folder / "all").write_bytes(b"shared" * 20_000)
    (folder / "own").write_bytes(os.urandom(50_000))
    (folder / "Dockerfile").write_text(
        'FROM scratch\nCOPY guest.wasm /\nCOPY all /all\nCOPY own /own\nENTRYPOINT ["/guest.wasm"]\n'
        f"LABEL number={number}\n"
    )
    return folder


def blobs(daemon: Daemon) -> set[str]:
    return set(os.listdir(daemon.root / "content/blobs/sha256"))


def snapshots(daemon: Daemon) -> set[str]:
    return set(os.listdir(daemon.root / "snapshots"))


def compiled(daemon: Daemon) -> set[str]:
    """What was compiled for images: not the one that the shim warms itself with."""
    own = sha256(warmup.TEXT).hexdigest()
    return {name for name in os.listdir(daemon.root / "compiled") if not name.startswith(own)}


def is_whole(wherry: Wherry) -> None:
    done = wherry.run("system", "check")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout == b""


def is_empty(daemon: Daemon) -> None:
    """The folder of a container that was made ahead may stay for some seconds more."""
    assert (blobs(daemon), compiled(daemon)) == (set(), set())
    until(lambda: not snapshots(daemon), "no snapshot is left")


def test_rmi_and_prune_free_what_nothing_refers_to(
    fresh_daemon: Daemon, fresh_docker: Docker, wherry: Wherry, guest_wasm: Path, tmp_path: Path
) -> None:
    docker = fresh_docker
    for number in (1, 2):
        docker("build", "-q", "-t", f"i{number}", context(tmp_path / f"c{number}", guest_wasm, number))
    docker("builder", "prune", "-af")
    assert len(compiled(fresh_daemon)) == 2  # code and info, of the one module that both have
    assert docker("run", "--name", "box", "i1") == "hello"
    sizes = {path: path.stat().st_size for path in (fresh_daemon.root / "content/blobs/sha256").iterdir()}
    docker("rmi", "i2")
    gone = [path for path in sizes if not path.exists()]
    assert len(gone) == 3  # manifest, configuration, and the layer that was its own
    assert len(compiled(fresh_daemon)) == 2
    assert docker("start", "-a", "box") == "hello"
    docker("rmi", "-f", "i1")
    assert docker("start", "-a", "box") == "hello"  # the image has no name, and a container
    is_whole(wherry)
    docker("rm", "box")
    assert "Total reclaimed space: 0B" not in docker("image", "prune", "-f")
    is_empty(fresh_daemon)
    is_whole(wherry)


def test_what_is_freed_is_what_is_said(
    fresh_daemon: Daemon, fresh_docker: Docker, guest_wasm: Path, tmp_path: Path
) -> None:
    docker = fresh_docker
    for number in (1, 2):
        docker("build", "-q", "-t", f"i{number}", context(tmp_path / f"c{number}", guest_wasm, number))
    cached = json.loads(docker("system", "df", "--format", "json").splitlines()[-1])
    assert (cached["Type"], cached["TotalCount"]) == ("Build Cache", "4")  # of three layers each, two are shared
    assert docker("builder", "prune", "-af", "--filter", "until=1h").endswith("0B")
    docker("rmi", "i1")
    assert "sha256" not in docker("image", "prune", "-af", "--filter", "until=1h")
    assert "sha256" not in docker("image", "prune", "-af", "--filter", "label=number=1")
    used = size(fresh_daemon)
    pruned = api(fresh_daemon, "POST", "/build/prune")
    assert len(pruned["CachesDeleted"]) == 4
    assert pruned["SpaceReclaimed"] == used - size(fresh_daemon) > 50_000  # what i1 alone had
    used = size(fresh_daemon)
    pruned = api(fresh_daemon, "POST", '/images/prune?filters={"dangling":["false"],"label":["number=2"]}')
    assert pruned["SpaceReclaimed"] == used - size(fresh_daemon) > 170_000
    is_empty(fresh_daemon)
    assert docker("image", "prune", "-af").endswith("0B")


def size(daemon: Daemon) -> int:
    """Bytes of what images take: of blobs and compiled code as they are, of unpacked files as the disk has them."""
    blocks = sum(path.lstat().st_blocks * 512 for path in (daemon.root / "snapshots").glob("*/fs/**/*"))
    files = [path for name in ("content/blobs", "compiled") for path in (daemon.root / name).rglob("*")]
    return blocks + sum(path.lstat().st_size for path in files if path.is_file())


def api(daemon: Daemon, method: str, path: str) -> dict:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    connection.request(method, quote(path, safe="/?&="))
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, document
    return document


def test_a_crowd(
    fresh_daemon: Daemon,
    fresh_docker: Docker,
    wherry: Wherry,
    registry: DockerRegistry,
    guest_wasm: Path,
    tmp_path: Path,
) -> None:
    """Pulls, builds, runs, removals and prunes of images that share their layers, ten at a time."""
    docker = fresh_docker
    names = [f"{registry.address}/crowd:{number}" for number in range(3)]
    contexts = [context(tmp_path / f"c{number}", guest_wasm, number) for number in range(4)]
    for number, name in enumerate(names):
        docker("build", "-q", "-t", name, contexts[number])
        docker("push", "-q", name)
    docker("rmi", "-f", *names)
    turn = itertools.count()
    allowed = ("No such image", "in use", "is being used", "is using", "already in progress", "must be forced")
    pruned = ("received 404", "No such container")  # before it was started: docker's prune does that too

    def work(kind: str) -> None:
        for _ in range(4):
            number = next(turn)
            name = names[number % 3]
            commands = {
                "pull": ("pull", "-q", name),
                "build": ("build", "-q", "--no-cache", "-t", f"built{number % 2}", contexts[3]),
                "run": ("run", "--rm", name),
                "rmi": ("rmi", "-f", name if number % 2 else f"built{number % 4 // 2}"),
                "prune": ("system", "prune", "-af"),
            }
            done = docker.run(*map(str, commands[kind]))
            if kind == "run" and done.returncode == 0:
                assert done.stdout.strip() == "hello"
            if done.returncode:
                assert any(words in done.stderr for words in (*allowed, *pruned)), f"{commands[kind]}: {done.stderr}"
                assert kind in ("rmi", "run", "prune")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(work, ["pull", "build", "run", "rmi", "prune"] * 2))
    is_whole(wherry)
    for name in names:  # whatever was kept is enough to run
        assert docker("run", "--rm", name) == "hello"
    docker("system", "prune", "-af")
    is_empty(fresh_daemon)
    assert "Traceback" not in fresh_daemon.log


@pytest.mark.parametrize("kind", sorted(MOMENTS))
def test_killed_in_the_middle(
    fresh_daemon: Daemon,
    fresh_docker: Docker,
    wherry: Wherry,
    registry: DockerRegistry,
    guest_wasm: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    docker, name = fresh_docker, f"{registry.address}/killed:{kind}"
    files = context(tmp_path / "c", guest_wasm, 0)
    docker("build", "-q", "-t", name, files)
    docker("push", "-q", name)
    archive = tmp_path / "saved.tar"
    docker("save", "-o", archive, name)
    other = tmp_path / "d"
    docker("build", "-q", "-t", "stays", context(other, guest_wasm, 1))
    commands = {
        "pull": ("pull", name),
        "build": ("build", "--no-cache", "-t", "made", str(files)),
        "rmi": ("rmi", name),
        "load": ("load", "-i", str(archive)),
    }
    for moment in MOMENTS[kind]:
        if kind != "rmi":
            docker("system", "prune", "-f")
            docker.run("rmi", "-f", name, "made")
        with docker.popen(*commands[kind], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            stopped = threading.Event()
            stopped.wait(moment)
            fresh_daemon.kill()
            client.wait()
        fresh_daemon.start()
        is_whole(wherry)
        assert docker("run", "--rm", "stays") == "hello"
        if kind == "rmi":
            docker("pull", "-q", name)
    docker("rmi", "-f", "stays", name)
    docker("system", "prune", "-af")
    is_empty(fresh_daemon)


def test_system_check_finds_and_mends(
    fresh_daemon: Daemon,
    fresh_docker: Docker,
    wherry: Wherry,
    registry: DockerRegistry,
    guest_wasm: Path,
    tmp_path: Path,
) -> None:
    docker, root = fresh_docker, fresh_daemon.root
    name = f"{registry.address}/checked:1"
    docker("build", "-q", "-t", name, context(tmp_path / "c", guest_wasm, 1))
    docker("push", "-q", name)
    docker("builder", "prune", "-af")
    docker("run", "--name", "box", name)
    is_whole(wherry)
    manifest = json.loads(wherry.run("image", "inspect", "--raw", name).stdout)
    layer = root / "content/blobs/sha256" / manifest["layers"][1]["digest"].removeprefix("sha256:")
    layer.chmod(0o644)
    layer.write_bytes(b"?" * layer.stat().st_size)
    code = next((root / "compiled").glob(f"{_digest(guest_wasm)}*.cwasm"))
    spoilt = bytearray(code.read_bytes())
    spoilt[4096] ^= 1
    (code.parent / "other").write_bytes(spoilt)  # apart from the file that a shim has mapped
    (code.parent / "other").rename(code)
    (module,) = [path for path in (root / "snapshots").glob("*/fs/guest.wasm") if path.is_file()]
    module.unlink()
    done = wherry.run("system", "check")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1
    assert [line.split()[0] for line in lines] == ["content", "snapshot", "compiled"]
    assert all(line.endswith("use --repair") or "--repair, or " in line for line in lines)
    done = wherry.run("system", "check", "--repair")
    assert done.returncode == 0, done.stdout
    assert all(line.endswith(": repaired") for line in done.stdout.decode().splitlines())
    assert b"3 faults, 3 repaired" in done.stderr
    is_whole(wherry)
    assert docker("run", "--rm", name) == "hello"
    assert docker("start", "-a", "box") == "hello"
    report = [json.loads(line) for line in wherry("system", "check", "--format", "json").splitlines()]
    assert report[0]["Checked"]["Faults"] == 0
    assert report[0]["Checked"]["Compiled"] == 1


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_a_bill_of_materials(wherry: Wherry, guest_wasm: Path, tmp_path: Path, form: str) -> None:
    wherry("sbom", "--format", form, "-o", tmp_path / "bom.json", guest_wasm)
    written = (tmp_path / "bom.json").read_text()
    assert _digest(guest_wasm) in written
    assert "wasi_snapshot_preview1" in written
    assert wherry("sbom", "--format", form, guest_wasm) == written
    assert json.loads(written)[{"spdx": "spdxVersion", "cyclonedx": "specVersion"}[form]] in ("SPDX-2.3", "1.5")
    assert "No such image" in wherry.fails(1, "sbom", "nobody")
