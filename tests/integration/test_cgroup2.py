"""A machine that shows cgroup version 2 alone: made for one engine, in a mount namespace where it is /sys/fs/cgroup.

Version 1 may hold the controllers of memory, processes and CPU all the same; what version 2 does by itself is there:
freezing, killing, and CPU time.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import Daemon, Docker, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting cgroups is root's")

_ALONE = """
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec "$@"
"""
_UNIFIED = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", _ALONE, "sh"]
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")), wrapper=wrapper)
    daemon.start()
    yield daemon
    docker = Docker(daemon)
    left = docker("ps", "-aq").split()
    if left:
        docker("rm", "-f", *left)
    assert daemon.stop() == 0, daemon.log
    shutil.rmtree(daemon.folder)


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_both(docker, tmp_path_factory.mktemp("images"), "v2")


def unified() -> Path:
    """Version 2's folder, as this process sees it."""
    return next(Path(path) for path in _UNIFIED if Path(path, "cgroup.controllers").exists())


def cgroup_of(container: str) -> Path:
    (found,) = unified().glob(f"**/{container}")
    return found


def test_the_engine_says_so(docker: Docker) -> None:
    assert docker("info", "--format", "{{.CgroupVersion}}") == "2"


@pytest.mark.parametrize("kind", PLATFORMS)
def test_a_container_in_its_cgroup(docker: Docker, images: dict[str, str], kind: str) -> None:
    options = ["--network", "none", "--cgroup-parent", "/wherry"]
    name = docker("run", "-d", *options, images[kind], "tick")
    cgroup = cgroup_of(name)
    assert (cgroup / "cgroup.procs").read_text().split()
    docker("pause", name)
    assert "frozen 1" in (cgroup / "cgroup.events").read_text()
    docker("unpause", name)
    assert "frozen 0" in (cgroup / "cgroup.events").read_text()
    told = json.loads(docker("stats", "--no-stream", "--format", "json", name))
    assert told["CPUPerc"].endswith("%")
    docker("kill", name)
    assert docker("wait", name) == "137"
    until(lambda: not cgroup.exists(), "the cgroup is gone")
    docker("rm", name)
