"""Components that answer HTTP by the docker CLI: published with no label, shown, logged, stopped; one of C, one of
Python."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.components import DATA, componentize_python
from tests.integration.conftest import Docker, until
from tests.integration.test_docker_cli_wagi import address_of, get


def build(docker: Docker, folder: Path, name: str) -> str:
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY app.wasm /app.wasm\nENTRYPOINT ["/app.wasm"]\n')
    docker("build", "-q", "--platform", "wasi/wasm", "-t", name, folder)
    return name


@pytest.fixture(scope="module")
def hello(docker: Docker, guest: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("hello")
    shutil.copy(guest, folder / "app.wasm")
    return build(docker, folder, "handler")


def test_a_component_is_published_shown_logged_and_stopped(docker: Docker, hello: str) -> None:
    container = docker("run", "-d", "-p", "127.0.0.1::80", hello)
    address = address_of(docker, container)
    assert [get(*address) for _ in range(3)] == [(200, b"Hello from a component!\n")] * 3
    by_http2 = ("curl", "-sS", "--http2-prior-knowledge", "-w", " %{http_version}", "http://{}:{}/".format(*address))
    asked = subprocess.run(by_http2, capture_output=True, text=True, check=True, timeout=60)
    assert asked.stdout == "Hello from a component!\n 2"
    assert get(*address, "/trap")[0] == 502
    until(lambda: docker("logs", container).count('"GET / HTTP/1.1" 200 24') == 3, "three lines in the log")
    until(lambda: "unreachable" in docker.run("logs", container).stderr, "the trap in the log")
    (told,) = json.loads(docker("image", "inspect", hello))
    assert told["Wasm"]["World"].startswith("wasi:http/proxy@0.2.")
    assert "network" in told["Wasm"]["Capabilities"]
    usage = json.loads(docker("inspect", container))[0]["Wasm"]["Usage"]
    assert 20 << 20 < usage["LinearMemoryPeak"] < 21 << 20  # its arena and its stack
    assert usage["Calls"]["wasi:http/types"] > 10
    assert "is no program" in docker.fails("exec", container, "/app.wasm")
    docker("stop", container)
    assert docker("inspect", container, "--format", "{{.State.ExitCode}}") == "0"
    docker("rm", container)


def test_labels_set_it_up(docker: Docker, hello: str) -> None:
    # One at a time: a client may be back before the worker that answered it is known to be free, and meet another.
    wanted = ("port=8080", "reuse=2", "concurrency=1")
    labels = [word for label in wanted for word in ("--label", f"dev.wherry.http.{label}")]
    container = docker("run", "-d", "-p", "127.0.0.1::8080", *labels, hello)
    address = address_of(docker, container, "8080")
    assert [get(*address, "/calls")[1] for _ in range(3)] == [b"1", b"2", b"1"]
    docker("rm", "-f", container)
    assert "dev.wherry.http.port" in docker.fails("run", "--rm", "--label", "dev.wherry.http.port=none", hello)


def test_python_answers(docker: Docker, tmp_path: Path) -> None:
    made = componentize_python(DATA / "proxy_app.py", tmp_path / "made", "wasi:http/proxy")
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(made, context / "app.wasm")
    container = docker("run", "-d", "-p", "127.0.0.1::80", build(docker, context, "python-handler"))
    address = address_of(docker, container)
    assert get(*address, "/x?y") == (200, b"/x?y\naccept-encoding")
    assert get(*address, "/raise")[0] == 502
    until(lambda: "ValueError: raised" in docker.run("logs", container).stderr, "the exception in the log")
    docker("rm", "-f", container)
