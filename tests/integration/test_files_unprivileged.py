"""Volumes and `docker cp` of an engine that is not root's."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.integration.conftest import Daemon, Docker

USER = 64322


@pytest.fixture(scope="module")
def docker():
    assert os.geteuid() == 0, "another user's engine can only be started by root"
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")), user=USER)
    os.chown(daemon.folder, USER, USER)
    daemon.environ = {"HOME": str(daemon.folder), "XDG_RUNTIME_DIR": str(daemon.folder)}
    daemon.start()
    docker = Docker(daemon)
    try:
        yield docker
    finally:
        left = docker.run("ps", "-aq").stdout.split()
        if left:
            docker.run("rm", "-fv", *left)
        daemon.stop()
        shutil.rmtree(daemon.folder)


@pytest.fixture(scope="module")
def image(docker, guest_context, tmp_path_factory):
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(guest_context, context, dirs_exist_ok=True)
    (context / "seed").mkdir()
    (context / "seed/file").write_text("seeded")
    with open(context / "Dockerfile", "a") as file:
        file.write("COPY seed /seed\n")
    docker("build", "-q", "-t", "guest", context)
    return "guest"


def test_a_volume_is_filled_shared_and_removed(docker, image):
    assert docker("run", "--rm", "-v", "data:/seed", image, "read", "/seed/file") == "seeded"
    docker("run", "--rm", "-v", "data:/d", image, "write", "/d/x", "kept")
    assert docker("run", "--rm", "-v", "data:/e:ro", image, "read", "/e/x") == "kept"
    docker("volume", "rm", "data")
    assert docker("volume", "ls", "-q") == ""


@pytest.mark.parametrize("words", [["hello"], ["sleep"]])
def test_files_go_in_and_out(docker, image, tmp_path, words):
    (tmp_path / "in").write_text("over the fence")
    name = docker("run", "-d", "-v", "/vol", image, *words)
    if words == ["hello"]:
        docker("wait", name)
    docker("cp", tmp_path / "in", f"{name}:/seed/new")
    docker("cp", tmp_path / "in", f"{name}:/vol/new")
    docker("cp", f"{name}:/seed", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["file", "new"]
    docker("cp", f"{name}:/vol/new", tmp_path / "vol")
    assert (tmp_path / "vol").read_text() == "over the fence"
    assert "A /seed/new" in docker("diff", name).splitlines()
    docker("commit", name, "committed")
    assert docker("run", "--rm", "committed", "read", "/seed/new") == "over the fence"
    docker("rm", "-fv", name)
