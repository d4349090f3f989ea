"""Health checks by the docker CLI, of both kinds of container: commands, shells, modules, events, a killed engine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import until
from tests.linux_images import busybox_context
from tests.zig import compile_wasm

QUICK = ("--health-interval", "20ms", "--health-retries", "2", "--health-timeout", "5s")
HTTP = Path(__file__).resolve().parents[2] / "examples/http"
GUEST = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "check")) {
        FILE *file = fopen("/tmp/well", "r");
        printf("looked\\n");
        return file ? 0 : 3;
    }
    for (;;) {
        sleep(1);
        FILE *file = fopen("/tmp/well", "w");
        fclose(file);
    }
}
"""


@pytest.fixture(scope="module")
def images(docker: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    context = tmp_path_factory.mktemp("wasm")
    (context / "guest.c").write_text(GUEST)
    compile_wasm(context / "guest.c", context / "guest.wasm")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY guest.wasm /guest.wasm\nWORKDIR /tmp\nWORKDIR /\n"
        'HEALTHCHECK --interval=20ms --retries=2 CMD ["/guest.wasm", "check"]\nENTRYPOINT ["/guest.wasm"]\n'
    )
    docker("build", "-q", "-t", "guest", context)


@pytest.fixture
def start(docker: Any, images: None) -> Any:
    made: list[str] = []

    def started(*words: object) -> str:
        network = () if "--network" in words else ("--network", "none")
        made.append(docker("run", "-d", *network, *words))
        return made[-1]

    yield started
    docker.run("rm", "-f", *made)


def health(docker: Any, container: str) -> dict[str, Any]:
    return json.loads(docker("inspect", container, "--format", "{{json .State.Health}}"))


def becomes(docker: Any, container: str, status: str) -> dict[str, Any]:
    until(lambda: health(docker, container)["Status"] == status, f"it is {status}")
    return health(docker, container)


def test_a_linux_container_by_a_shell(docker: Any, start: Any) -> None:
    container = start("--name", "well", *QUICK, "--health-cmd", "test -e /well && echo fine", "box", "sleep", "1000")
    sick = becomes(docker, container, "unhealthy")
    assert sick["Log"][-1]["ExitCode"] == 1
    assert "(unhealthy)" in docker("ps", "--format", "{{.Status}}", "--filter", "health=unhealthy")
    docker("exec", container, "touch", "/well")
    well = becomes(docker, container, "healthy")
    assert (well["FailingStreak"], well["Log"][-1]["Output"]) == (0, "fine\n")
    assert "(healthy)" in docker("ps", "--format", "{{.Status}}", "--filter", "health=healthy")
    told = ("events", "--since", "1h", "--until", "0s", "--filter", f"container={container}", "--format", "{{.Action}}")
    # The client cuts the time of --until off to whole seconds.
    until(lambda: "health_status: healthy" in docker(*told), "the event is told")
    events = docker(*told).splitlines()
    assert events.index("health_status: unhealthy") < events.index("health_status: healthy")
    assert "exec_create: /bin/sh -c test -e /well && echo fine" in events
    docker("kill", container)
    assert health(docker, container)["Status"] == "unhealthy"


def test_a_wasm_container_by_a_module_of_its_own(docker: Any, start: Any) -> None:
    container = start("guest")
    well = becomes(docker, container, "healthy")
    assert well["Log"][-1]["Output"] == "looked\n"
    other = start(*QUICK, "--health-timeout", "50ms", "--health-cmd", "/guest.wasm 'for ever'", "guest")
    sick = becomes(docker, other, "unhealthy")
    assert sick["Log"][-1]["ExitCode"] == -1
    assert sick["Log"][-1]["Output"] == "Health check exceeded timeout (0.05s)"
    missing = start(*QUICK, "--health-cmd", "/nope.wasm", "guest")
    assert becomes(docker, missing, "unhealthy")["Log"][-1]["ExitCode"] == 127


def test_a_wasm_server_is_asked_from_outside(docker: Any, start: Any, tmp_path: Path) -> None:
    compile_wasm(HTTP / "server.c", tmp_path / "server.wasm")
    shutil.copy(HTTP / "Dockerfile", tmp_path)
    docker("build", "-q", "-t", "http", tmp_path)
    quick = ("--health-interval", "20ms", "--health-retries", "2")
    label = ("--label", "dev.wherry.healthcheck.http=/")
    well = start("--network", "bridge", "-p", "127.0.0.1::80", *quick, *label, "http")
    assert becomes(docker, well, "healthy")["Log"][-1]["Output"].endswith(":80/: 200 OK")
    sick = start("--network", "bridge", *quick, "--label", "dev.wherry.healthcheck.http=:80/nothing", "http")
    assert ": 404 " in becomes(docker, sick, "unhealthy")["Log"][-1]["Output"]
    assert docker("inspect", start("--no-healthcheck", *label, "http"), "--format", "{{json .State.Health}}") == "null"
    said = docker.fails("create", "--label", "dev.wherry.healthcheck.http=nonsense", "http")
    assert "it is /path or :PORT/path" in said


def test_no_check_where_none_is_wanted(docker: Any, start: Any) -> None:
    container = start("--no-healthcheck", "guest")
    assert docker("inspect", container, "--format", "{{json .State.Health}}") in ("null", "<no value>", "")
    assert "health" not in docker("ps", "--format", "{{.Status}}", "--filter", f"id={container}")
    said = docker.fails("run", "--health-cmd", "x", "--health-interval", "1us", "box", "true", code=125)
    assert "cannot be less than" in said


def test_checks_go_on_after_the_engine_was_killed(fresh_docker: Any, tmp_path: Path) -> None:
    docker = fresh_docker
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
    container = docker("run", "-d", "--network", "none", *QUICK, "--health-cmd", "true", "box", "sleep", "1000")
    before = becomes(docker, container, "healthy")["Log"]
    docker.daemon.kill()
    docker.daemon.start()
    until(lambda: health(docker, container)["Log"][0]["Start"] > before[-1]["Start"], "all its checks are new")
    assert health(docker, container)["Status"] == "healthy"
    docker("rm", "-f", container)
