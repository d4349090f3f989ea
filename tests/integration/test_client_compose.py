"""docker-compose 1.29 with the example's file: a WASM web service, a WASM worker and a PostgreSQL in Linux."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import fetched
from tests.debian_images import build_postgres
from tests.integration.conftest import Daemon, Docker, until
from tests.zig import compile_wasm

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 180  # seconds
MAIN = "import sys; sys.argv[0] = 'docker-compose'; from compose.cli.main import main; main()"


@dataclass(frozen=True)
class Compose:
    """The stock docker-compose on a copy of the example."""

    folder: Path
    environ: dict[str, str]

    def run(self, *words: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", MAIN, *map(str, words)],
            cwd=self.folder / "compose",
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def __call__(self, *words: object) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"docker-compose {words}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def project(docker: Docker, daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = tmp_path_factory.mktemp("project")
    for name in ("compose", "http"):
        shutil.copytree(EXAMPLES / name, folder / name)
    compile_wasm(folder / "http/server.c", folder / "http/server.wasm")
    compile_wasm(folder / "compose/worker/worker.c", folder / "compose/worker/worker.wasm")
    build_postgres(docker, "postgres:15", tmp_path_factory.mktemp("postgres"))
    place = fetched.pip(fetched.COMPOSE, os.environ)
    environ = {
        **docker.environ,
        "PYTHONPATH": place,
        "WEB_PORT": "0",
        "COMPOSE_PROJECT_NAME": "sail",
        "GREETING": "hoy",
    }
    made = Compose(folder, environ)
    yield made
    made.run("down", "-v", "-t", "1")


def inspect(docker: Docker, name: str) -> dict:
    return json.loads(docker("inspect", name))[0]


def test_up_everything_works_together_and_down_leaves_nothing(project: Compose, docker: Docker) -> None:
    assert "Successfully built" in project("build")
    project("config", "-q")
    project("up", "-d", "--no-build")
    shown = project("ps")
    assert {"sail_db_1", "sail_web_1", "sail_worker_1"} <= set(shown.split())
    assert shown.count(" Up ") == 3
    assert inspect(docker, "sail_db_1")["State"]["Health"]["Status"] == "healthy"

    until(lambda: "listening" in docker("logs", "sail_web_1"), "the web service listens")
    port = project("port", "web", 80).strip()
    with urllib.request.urlopen(f"http://{port}/", timeout=10) as answer:
        assert answer.status == 200
    # By name, from the Linux service to the WASM one; and SQL over the network.
    assert project("exec", "-T", "db", "wget", "-q", "-O", "-", "http://web/")
    ask = ("psql", "-h", "db", "-tAc", "create table t as select 6 * 7 as n; select n from t")
    assert "42" in project("exec", "-T", "-e", "PGPASSWORD=secret", "db", *ask)

    until(lambda: "hoy 2" in project("logs", "--no-color", "worker"), "the worker logs")
    assert "worker_1  | hoy 1" in project("logs", "--no-color", "worker")
    until(lambda: inspect(docker, "sail_worker_1")["State"]["Health"]["Status"] == "healthy", "the worker is healthy")
    assert project("exec", "-T", "worker", "/worker.wasm", "check") == "at work\n"

    project("up", "-d", "--no-build", "--scale", "worker=3")
    assert len(project("ps", "-q", "worker").split()) == 3
    assert "sail_web_1 is up-to-date" in project.run("up", "-d", "web").stderr
    assert project("top", "db").count("postgres") > 1
    project("pause", "worker")
    assert "Paused" in project("ps", "worker")
    project("unpause", "worker")
    project("restart", "-t", "1", "worker")
    project("up", "-d", "--no-build", "--scale", "worker=1")
    assert len(project("ps", "-q", "worker").split()) == 1

    # Its rows outlive the database's container.
    project("rm", "-fs", "db")
    project("up", "-d", "--no-build", "db")
    until(lambda: inspect(docker, "sail_db_1")["State"]["Health"]["Status"] == "healthy", "the database is back")
    assert "42" in project("exec", "-T", "db", "psql", "-tAc", "select n from t")

    one = project("run", "--rm", "-T", "--no-deps", "-e", "GREETING=x", "worker", "check")
    assert one == "at work\n"
    project("stop", "-t", "1", "web")
    assert "Exit" in project("ps", "web")
    project("down", "-v", "-t", "1")
    for noun in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q", "--filter", "name=sail")):
        assert (
            docker(*noun, *(() if noun[0] == "network" else ("--filter", "label=com.docker.compose.project=sail")))
            == ""
        )
