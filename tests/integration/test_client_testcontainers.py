"""Testcontainers for Python: generic containers, wait strategies, ports, exec; with its reaper off, and on."""

import subprocess
import sys
import textwrap

import pytest

from tests.debian_images import build_postgres
from tests.integration.conftest import Daemon, Docker
from tests.integration.test_docker_cli_wasm_servers import HTTP, compile_quick
from tests.integration.wherry_cli import clean_environ
from tests.linux_images import busybox_context

PATIENCE = 180


@pytest.fixture(scope="module")
def images(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("http")
    compile_quick(HTTP / "server.c", folder / "server.wasm")
    (folder / "Dockerfile").write_bytes((HTTP / "Dockerfile").read_bytes())
    docker("build", "-q", "--platform", "wasi/wasm32", "-t", "http", folder)
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    reaper = tmp_path_factory.mktemp("reaper")
    # In Ryuk's place: the image itself comes from Docker Hub alone.
    script = "test -S /var/run/docker.sock && httpd -p 8080 && echo It is Started! && exec sleep 1000"
    (reaper / "Dockerfile").write_text(f'FROM box\nEXPOSE 8080\nCMD ["sh", "-c", "{script}"]\n')
    docker("build", "-q", "--platform", "linux/amd64", "-t", "ryuk", reaper)
    build_postgres(docker, "postgres:15", tmp_path_factory.mktemp("postgres"))


def run(daemon: Daemon, script: str, **environ: str) -> str:
    """A program of its own: the library reads its settings once, and leaves sockets to the collector."""
    settings = {"DOCKER_HOST": daemon.host, "TESTCONTAINERS_RYUK_DISABLED": "true", **environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        env={**clean_environ(), **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{daemon.log[-2000:]}"
    return done.stdout


def test_wasm_and_linux_containers_are_waited_for(daemon: Daemon, images: None) -> None:
    said = run(
        daemon,
        """
        import urllib.request
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.network import Network
        from testcontainers.core.wait_strategies import (
            CompositeWaitStrategy, ExecWaitStrategy, HttpWaitStrategy, LogMessageWaitStrategy, PortWaitStrategy,
        )

        http = DockerContainer("http").with_exposed_ports(80)
        http.waiting_for(CompositeWaitStrategy(LogMessageWaitStrategy("listening on port"), HttpWaitStrategy(80)))
        with http as web:
            address = f"http://{web.get_container_host_ip()}:{web.get_exposed_port(80)}/"
            print("wasm", urllib.request.urlopen(address).status)
            stdout, stderr = web.get_logs()
            print(b"listening" in stdout + stderr)

        box = DockerContainer("box").with_command("sh -c 'touch /tmp/up; sleep 100'").with_env("NAME", "value")
        box.waiting_for(ExecWaitStrategy(["test", "-e", "/tmp/up"]))
        with Network() as network, box.with_network(network).with_network_aliases("boxed") as made:
            print("linux", made.exec(["sh", "-c", "echo $NAME"]).output)
            print(made.exec("nslookup boxed").exit_code)

        served = DockerContainer("box").with_command("httpd -f -p 8000 -h /etc").with_exposed_ports(8000)
        with served.waiting_for(PortWaitStrategy(8000)) as made:
            print("port", made.get_exposed_port(8000) > 0)
        """,
    )
    assert said.splitlines() == [
        "wasm 200",
        "True",
        "linux b'value\\n'",
        "0",
        "port True",
    ]


def test_its_module_for_postgresql(daemon: Daemon, images: None) -> None:
    said = run(
        daemon,
        """
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:15", driver=None, username="postgres", dbname="postgres") as database:
            print(database.get_connection_url())
            print(database.exec("psql -tAc 'select 6 * 7'").output)
        """,
    )
    url, answer = said.splitlines()
    assert url.startswith("postgresql://postgres:test@")
    assert answer == "b'42\\n'"


def test_with_its_reaper_on(daemon: Daemon, docker: Docker, images: None) -> None:
    """With a stand-in for Ryuk's image, which Docker Hub alone has: what the library asks of an engine for it."""
    said = run(
        daemon,
        """
        from testcontainers.core.container import DockerContainer, Reaper

        with DockerContainer("box").with_command("sleep 100") as made:
            labels = made.get_wrapped_container().labels
            print(Reaper._container.get_wrapped_container().name)
            print(sorted(name for name in labels if name.startswith("org.testcontainers")))
        Reaper.delete_instance()
        """,
        TESTCONTAINERS_RYUK_DISABLED="false",
        RYUK_CONTAINER_IMAGE="ryuk",
    )
    name, labels = said.splitlines()
    assert name.startswith("testcontainers-ryuk-")
    assert "org.testcontainers.session-id" in labels
