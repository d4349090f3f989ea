"""WAGI containers by the docker CLI: published, logged, stopped."""

import http.client
import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import DEADLINE, Docker, until
from tests.zig import compile_wasm

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples/wagi"


@pytest.fixture(scope="module")
def page(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's module; it is in the images ``page``, and ``bare`` which has no label."""
    folder = tmp_path_factory.mktemp("page")
    compile_wasm(EXAMPLE / "hello.c", folder / "hello.wasm")
    shutil.copy(EXAMPLE / "Dockerfile", folder)
    docker("build", "-q", "--platform", "wasi/wasm", "-t", "page", folder)
    lines = [line for line in (EXAMPLE / "Dockerfile").read_text().splitlines() if not line.startswith("LABEL")]
    (folder / "Dockerfile").write_text("\n".join([*lines, ""]))
    docker("build", "-q", "--platform", "wasi/wasm", "-t", "bare", folder)
    return folder / "hello.wasm"


def get(host: str, port: int, path: str = "/", timeout: float = DEADLINE) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def address_of(docker: Docker, container: str, port: str = "80") -> tuple[str, int]:
    host, _, number = docker("port", container, port).splitlines()[0].rpartition(":")
    return host, int(number)


@pytest.mark.parametrize(
    "options",
    [("page",), ("--runtime", "io.containerd.wagi.v1", "bare"), ("--label", "dev.wherry.http=wagi", "bare")],
)
def test_a_page_is_published_logged_and_stopped(docker: Docker, page: Path, options: tuple[str, ...]) -> None:
    container = docker("run", "-d", "-p", "127.0.0.1::80", *options)
    address = address_of(docker, container)
    assert [get(*address) for _ in range(3)] == [(200, b"Hello from WAGI!\n")] * 3
    until(lambda: docker("logs", container).count('"GET / HTTP/1.1" 200 17') == 3, "three lines in the log")
    assert docker("exec", container, "/hello.wasm").endswith("Hello from WAGI!")
    docker("stop", container)
    assert docker("inspect", container, "--format", "{{.State.ExitCode}}") == "0"
    docker("start", container)
    assert get(*address_of(docker, container))[0] == 200
    docker("rm", "-f", container)


def test_another_port_by_a_label_and_a_setting_that_is_refused(docker: Docker, page: Path) -> None:
    container = docker("run", "-d", "-p", "127.0.0.1::8000", "--label", "dev.wherry.http.port=8000", "page")
    assert get(*address_of(docker, container, "8000"))[0] == 200
    docker("rm", "-f", container)
    assert "dev.wherry.http.deadline" in docker.fails("run", "--label", "dev.wherry.http.deadline=soon", "page")
    assert "wagi or proxy is what there is" in docker.fails("run", "--label", "dev.wherry.http=cgi", "page")
    assert docker("ps", "-q") == ""


def test_a_list_of_modules_is_an_entry(docker: Docker, page: Path, tmp_path: Path) -> None:
    shutil.copy(page, tmp_path)
    (tmp_path / "modules.toml").write_text('[[module]]\nroute = "/hello/..."\nmodule = "/hello.wasm"\n')
    (tmp_path / "Dockerfile").write_text(
        'FROM scratch\nCOPY . /\nLABEL dev.wherry.http=wagi\nENTRYPOINT ["/modules.toml"]\n'
    )
    docker("build", "-q", "--platform", "wasi/wasm", "-t", "several", tmp_path)
    container = docker("run", "-d", "-p", "127.0.0.1::80", "several")
    address = address_of(docker, container)
    assert get(*address, "/hello/you") == (200, b"Hello from WAGI!\n")
    assert get(*address, "/")[0] == 404
    docker("rm", "-f", container)
