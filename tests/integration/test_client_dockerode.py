"""dockerode (npm), with WASM and Linux containers alike: see tests/data/dockerode_client.js."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks import fetched
from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import DATA, DEADLINE, Daemon, Docker


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return build_both(docker, tmp_path_factory.mktemp("images"), "ode")


@pytest.mark.parametrize("kind", PLATFORMS)
def test_the_everyday_calls(daemon: Daemon, images: dict[str, str], kind: str) -> None:
    modules = Path(fetched.npm(fetched.DOCKERODE, os.environ)).parent
    done = subprocess.run(
        ["node", DATA / "dockerode_client.js", daemon.socket, images[kind]],
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stderr
