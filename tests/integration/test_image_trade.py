"""Images to and from podman, dockerd and archives of skopeo's: what one engine has, the other runs, both ways."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.docker_registry import DockerRegistry
from tests.integration.conftest import Docker, until
from tests.linux_images import busybox_context

Run = Callable[..., str]
SHOW = ("run", "--rm", "--network", "none")
SHOW_PODMAN = (*SHOW, "--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512")
LOOK, SEEN = ("sh", "-c", "cat /kept; ls /home"), "kept"


def run(*command: object, environ: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=180, check=False, env=environ
    )
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def box(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Linux image of two layers."""
    context = busybox_context(tmp_path_factory.mktemp("box"))
    (context / "Dockerfile").write_text(
        'FROM scratch\nCOPY rootfs /\nRUN echo kept > /kept; rm -r /home/mate\nCMD ["sh"]\n'
    )
    docker("build", "-q", "-t", "box", context)
    return "box"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, for there are sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="trade-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def podman(folder: Path) -> Iterator[Run]:
    """Debian's, with a store of its own."""
    assert shutil.which("podman"), "podman is not installed: install podman"
    options = ["--root", folder / "podman", "--runroot", folder / "run", "--storage-driver", "vfs"]
    options += [
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        "runc",
        "--events-backend",
        "none",
        "--tmpdir",
        folder / "tmp",
    ]

    def call(*words: object) -> str:
        return run("podman", *options, *words)

    yield call
    call("system", "reset", "--force")


@pytest.fixture(scope="module")
def dockerd(folder: Path, registry: DockerRegistry) -> Iterator[Run]:
    """Debian's, apart: the registry's files are served once more, at the same address, in its network."""
    assert shutil.which("dockerd"), "dockerd is not installed: install docker.io"
    (folder / "none.json").write_text("{}")
    words = ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    words += ["--config-file", folder / "none.json", "--host", f"unix://{folder}/d.sock"]
    inside = 'ip link set lo up; docker-registry serve "$0" & "$@"; code=$?; kill %1; exit $code'
    command = ["unshare", "--net", "--mount", "sh", "-c", inside, registry.config, *words]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    environ = {**os.environ, "DOCKER_HOST": f"unix://{folder}/d.sock", "DOCKER_CONFIG": str(folder / "config")}

    def comes_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return subprocess.run(["docker", "version"], env=environ, capture_output=True, check=False).returncode == 0

    try:
        until(comes_up, "dockerd answers")
        yield lambda *words: run("docker", *words, environ=environ)
    finally:
        os.kill(int((folder / "pid").read_text()), 15)
        process.wait(60)


def config_of(docker: Docker, name: str) -> dict:
    found = json.loads(docker("image", "inspect", name))[0]
    return {key: found[key] for key in ("Architecture", "Os", "RootFS")} | {"Cmd": found["Config"]["Cmd"]}


def test_podman_both_ways(docker: Docker, podman: Run, box: str, registry: DockerRegistry, tmp_path: Path) -> None:
    name = f"{registry.address}/podman"
    docker("tag", box, name)
    docker("push", "-q", name)
    podman("pull", "-q", "--tls-verify=false", name)
    told = json.loads(podman("image", "inspect", name))[0]
    assert told["Digest"] == json.loads(docker("image", "inspect", name))[0]["Id"]
    assert told["RootFS"]["Layers"] == config_of(docker, name)["RootFS"]["Layers"]
    assert podman(*SHOW_PODMAN, name, *LOOK) == SEEN
    podman("commit", "-q", "--change", 'CMD ["echo","changed"]', podman("create", name), f"{name}:changed")
    podman("push", "-q", "--tls-verify=false", f"{name}:changed")
    docker("pull", "-q", f"{name}:changed")
    assert docker(*SHOW, f"{name}:changed") == "changed"
    for form in ("docker-archive", "oci-archive"):  # as files
        podman("save", "-q", "--format", form, "-o", tmp_path / f"{form}.tar", f"{name}:changed")
        docker("rmi", f"{name}:changed")
        docker("load", "-i", tmp_path / f"{form}.tar")
        assert docker(*SHOW, f"{name}:changed") == "changed"
    docker("save", "-o", tmp_path / "ours.tar", f"{name}:changed")
    podman("rmi", "-f", f"{name}:changed")
    podman("load", "-q", "-i", tmp_path / "ours.tar")
    assert podman(*SHOW_PODMAN, f"{name}:changed") == "changed"


def test_dockerd_both_ways(docker: Docker, dockerd: Run, box: str, registry: DockerRegistry, tmp_path: Path) -> None:
    name = f"{registry.address}/dockerd"
    docker("tag", box, name)
    docker("push", "-q", name)
    dockerd("pull", "-q", name)
    assert json.loads(dockerd("image", "inspect", name))[0]["RootFS"] == config_of(docker, name)["RootFS"]
    assert dockerd(*SHOW, name, *LOOK) == SEEN
    changed = dockerd("create", name)
    dockerd("commit", "-c", 'CMD ["echo","changed"]', changed, f"{name}:changed")
    dockerd("push", "-q", f"{name}:changed")
    docker("pull", "-q", f"{name}:changed")
    assert docker(*SHOW, f"{name}:changed") == "changed"
    dockerd("save", "-o", tmp_path / "theirs.tar", f"{name}:changed")
    docker("rmi", f"{name}:changed")
    docker("load", "-i", tmp_path / "theirs.tar")
    assert docker(*SHOW, f"{name}:changed") == "changed"
    docker("save", "-o", tmp_path / "ours.tar", name, f"{name}:changed")
    dockerd("rmi", "-f", name, f"{name}:changed")
    dockerd("load", "-i", tmp_path / "ours.tar")
    assert dockerd(*SHOW, f"{name}:changed") == "changed"


def test_what_images_take_is_what_removing_them_frees(fresh_docker: Docker, tmp_path: Path) -> None:
    """Two images with one layer in common, each with one of its own; packed and unpacked count."""
    docker = fresh_docker
    for name in ("base", "first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "noise").write_bytes(os.urandom(400_000 if name == "base" else 100_000))
        lines = ["FROM scratch" if name == "base" else "FROM base", f"COPY noise /{name}"]
        (tmp_path / name / "Dockerfile").write_text("\n".join(lines))
        docker("build", "-q", "-t", name, tmp_path / name)
    docker("rmi", "base")
    docker("builder", "prune", "-f")
    told = json.loads(docker("system", "df", "-v", "--format", "{{json .Images}}"))
    for image in told:
        assert 780 < kilobytes(image["SharedSize"]) < 840
        assert 190 < kilobytes(image["UniqueSize"]) < 230
    total = kilobytes(docker("system", "df", "--format", "{{.Size}}").splitlines()[0])
    assert 1180 < total < 1270
    freed = docker("image", "prune", "-a", "-f").splitlines()[-1].removeprefix("Total reclaimed space: ")
    assert abs(kilobytes(freed) - total) < 50


def kilobytes(text: str) -> float:
    number = float(text.rstrip("kMB"))
    return number * 1000 if text.endswith("MB") else number


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_archives_of_skopeo(docker: Docker, box: str, form: str, tmp_path: Path, registry: DockerRegistry) -> None:
    """Theirs are loaded, ours are read; a layout goes through umoci and comes back as an archive."""
    name = f"{registry.address}/archived"
    docker("tag", box, name)
    docker("save", "-o", tmp_path / "ours.tar", name)
    there = f"{form}:{tmp_path}/theirs{'' if form == 'oci' else '.tar'}:{name}"
    source = f"docker-archive:{tmp_path}/ours.tar" if form == "docker-archive" else f"oci-archive:{tmp_path}/ours.tar"
    run("skopeo", "copy", "-q", source, there)
    if form == "oci":
        run("umoci", "config", "--image", there.removeprefix("oci:"), "--config.cmd", "cat", "--config.cmd", "/kept")
        run("tar", "-cf", tmp_path / "theirs.tar", "-C", tmp_path / "theirs", ".")
    before = config_of(docker, name)
    docker("rmi", name)
    docker("load", "-i", tmp_path / "theirs.tar")
    after = config_of(docker, name)
    assert after["RootFS"] == before["RootFS"]
    assert docker(*SHOW, name, *LOOK) == SEEN
    assert form != "oci" or docker(*SHOW, name) == "kept"
