"""The contract against a real engine: requests made up by schemathesis, and a container's whole life, answer by answer.

No answer may have a status, a type or a shape that the contract does not name; so no 5xx but documented ones.
"""

import http.client
import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from tests.integration.conftest import Daemon, Docker
from wherry.server.contract.openapi import document

DOCUMENT = document()
ENDLESS = {"/events", "/containers/{ref}/attach", "/containers/{ref}/wait", "/containers/{ref}/stats"}
"""They answer until the client goes: schemathesis would wait."""
SUT = {"ref": "boat", "name": "guest", "id": "nothing"}
OPERATIONS = [
    f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item if path not in ENDLESS
]
EXAMPLES = 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an engine listens by TCP, with a container that runs; a module of its own, so that nothing else is hurt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(f"/tmp/wherry-api-{port}")
    folder.mkdir()
    daemon = Daemon(folder, ("--host", f"tcp://127.0.0.1:{port}")).start()
    try:
        yield f"http://127.0.0.1:{port}"
        assert "internal error" not in daemon.log
        assert "Traceback" not in daemon.log, daemon.log[-5000:]
    finally:
        docker = Docker(daemon)
        left = docker.run("ps", "-aq").stdout.split()
        if left:
            docker.run("rm", "-f", *left)
        networks = docker.run("network", "ls", "-q", "--filter", "type=custom").stdout.split()
        if networks:
            docker.run("network", "rm", *networks)
        assert daemon.stop() == 0
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def boat(base: str, guest_context: Path) -> str:
    """A WASM container that runs, on that engine."""
    return _set_out(base, guest_context, "boat")


@pytest.fixture
def fresh_boat(base: str, guest_context: Path) -> str:
    """Another, which nobody has asked anything of yet."""
    return _set_out(base, guest_context, "fresh")


def _set_out(base: str, guest_context: Path, name: str) -> str:
    docker = Docker(Daemon(Path("/tmp/wherry-api-" + base.rpartition(":")[2])))
    docker("build", "-q", "-t", "guest", guest_context)
    return docker("run", "-d", "--name", name, "--network", "none", "guest", "sleep")


schema = schemathesis.openapi.from_dict(DOCUMENT)
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")


@pytest.mark.parametrize("label", OPERATIONS)
def test_whatever_is_asked_the_answer_is_documented(base: str, boat: str, label: str) -> None:
    method, path = label.split(" ")
    operation = schema[path][method]
    # These would end or rename what the others ask of.
    own = method != "DELETE" and not path.endswith(("/rename", "/kill", "/stop", "/restart", "/prune", "/push"))

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)))
    def ask(case: schemathesis.Case) -> None:
        if own and len(str(case.query)) % 2:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = SUT.get(name, "nothing")
        if case.query:
            case.query.pop("follow", None)
            case.query.pop("remote", None)
        answer = case.call(base_url=base, timeout=30)
        case.validate_response(answer, checks=[CHECKS.get_one(name) for name in _CHECKED])

    ask()


_CHECKED = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")


class Talk:
    """Requests whose answers are checked against the contract."""

    def __init__(self, base: str) -> None:
        self._host, _, self._port = base.removeprefix("http://").partition(":")

    def __call__(self, method: str, path: str, body: Any = None, /, status: int = 200, **parameters: str) -> Any:
        operation = DOCUMENT["paths"][path][method.lower()]
        where, _, query = path.partition("?")
        for name in [name for name in parameters if f"{{{name}}}" in where]:
            where = where.replace(f"{{{name}}}", quote(parameters.pop(name), safe=""))
        query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
        connection = http.client.HTTPConnection(self._host, int(self._port), timeout=60)
        data = None if body is None else json.dumps(body)
        connection.request(method, f"{where}?{query}", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        assert answer.status == status, raw
        return self._checked(operation["responses"][str(status)], answer.headers["Content-Type"], raw)

    def _checked(self, documented: Any, content: str | None, raw: bytes) -> Any:
        if "content" not in documented:
            assert raw == b""
            return None
        (kind, wanted), *_ = documented["content"].items()
        assert content is not None
        assert kind in ("*/*", content.partition(";")[0])
        shape = wanted.get("schema") or wanted["x-line-schema"]
        if shape.get("format") == "binary" or kind != "application/json":
            return raw
        found = [json.loads(line) for line in raw.splitlines()] if "x-line-schema" in wanted else [json.loads(raw)]
        validator = jsonschema_rs.validator_for({**shape, "components": DOCUMENT["components"]})
        for item in found:
            validator.validate(item)
        return found[-1] if found else None


def test_a_start_that_the_kernel_refuses_is_documented(base: str, boat: str) -> None:
    ask = Talk(base)
    unlimited = {"Ulimits": [{"Name": "nofile", "Soft": 2**62, "Hard": 2**62}], "NetworkMode": "none"}
    ask("POST", "/containers/create", {"Image": "guest", "HostConfig": unlimited}, status=201, name="needy")
    ask("POST", "/containers/{ref}/start", status=412, ref="needy")
    ask("DELETE", "/containers/{ref}", status=204, ref="needy")


def test_a_whole_life_is_documented(base: str, fresh_boat: str) -> None:
    ask = Talk(base)
    made = ask("POST", "/containers/create", {"Image": "guest", "Cmd": "hello"}, status=201, name="life")["Id"]
    ask("POST", "/containers/create", {"Image": "guest"}, status=409, name="life")
    ask("POST", "/containers/create", {"Image": "nobody"}, status=404)
    ask("POST", "/containers/{ref}/start", status=204, ref=made)
    assert ask("POST", "/containers/{ref}/wait", ref="life")["StatusCode"] == 0
    assert ask("GET", "/containers/{ref}/logs", ref=made, stdout="1").endswith(b"hello\n")
    ask("GET", "/containers/{ref}/logs", ref=made, status=400)
    assert ask("GET", "/containers/{ref}/json", ref=made, size="1")["State"]["Status"] == "exited"
    ask("POST", "/containers/{ref}/start", status=304, ref=fresh_boat)
    ask("POST", "/containers/{ref}/stop", status=304, ref=made)
    ask("GET", "/containers/{ref}/stats", ref=fresh_boat, stream="0")
    ask("GET", "/containers/{ref}/top", ref=fresh_boat)
    ask("GET", "/containers/{ref}/top", ref=made, status=409)
    ask("GET", "/containers/{ref}/changes", ref=made)
    started = ask("POST", "/containers/{ref}/exec", {"Cmd": ["/guest.wasm"]}, status=201, ref=fresh_boat)["Id"]
    assert ask("GET", "/exec/{id}/json", id=started)["Running"] is False
    for verb in ("pause", "unpause"):
        ask("POST", f"/containers/{{ref}}/{verb}", status=204, ref=fresh_boat)
    ask("POST", "/containers/{ref}/update", {"RestartPolicy": {"Name": "always"}}, ref=fresh_boat)
    ask("POST", "/containers/{ref}/rename", status=204, ref=made, name="other")
    ask("DELETE", "/containers/{ref}", status=409, ref=fresh_boat)
    ask("DELETE", "/containers/{ref}", status=204, ref="other")
    for listing in ("/containers/json", "/images/json", "/networks", "/volumes", "/version", "/info", "/system/df"):
        ask("GET", listing, all="1") if "json" in listing else ask("GET", listing)
    ask("GET", "/images/{name}/json", name="guest")
    ask("GET", "/images/{name}/history", name="guest")
    ask("POST", "/images/{name}/tag", status=201, name="guest", repo="again")
    ask("DELETE", "/images/{name}", name="again")
    ask("POST", "/volumes/create", {"Name": "sea"}, status=201)
    ask("GET", "/volumes/{name}", name="sea")
    ask("DELETE", "/volumes/{name}", status=204, name="sea")
    ask("GET", "/networks/{ref}", ref="none")
    assert ask("GET", "/events", since="0", until="1") is None
    happened = ask("GET", "/events", since="0", until=str(int(time.time())), filters='{"type": ["container"]}')
    assert happened["Type"] == "container"
    assert "cannot be after" in ask("GET", "/events", since="5", until="3", status=400)["message"]
    ask("POST", "/containers/prune")
