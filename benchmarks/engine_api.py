"""The Engine API as a client without a library speaks it, on connections of its own: one container from create to its
end. The same code drives wherryd and dockerd.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.wire import Wire
from wherry.client.address import Address
from wherry.client.connection import Connection, dial
from wherry.errors import Internal

_VERSION = "/v1.41"
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Cycle:
    """``nanoseconds`` from the first request until the exit code and all output were there."""

    nanoseconds: int
    container_id: str
    output: bytes
    exit_code: int


class EngineApi:
    """An engine at a unix socket."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._address = Address.parse(f"unix://{socket_path}")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request on a connection of its own. Internal: the engine refused it, with its message."""
        connection = Connection(dial(self._address))
        try:
            return self._call(connection, method, path, body)
        finally:
            connection.close()

    def read(self, path: str) -> bytes:
        """What one GET answers, as it is. Internal, as `call`."""
        connection = Connection(dial(self._address))
        try:
            response = connection.request("GET", _VERSION + path)
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise Internal(f"GET {path} answered {response.status}: {answer[:200].decode('utf-8', 'replace')}")
        return answer

    def answers(self) -> bool:
        """Whether the engine is there."""
        try:
            self.call("GET", "/_ping")
        except Exception:  # noqa: BLE001 (whatever is wrong while an engine comes up, it is not there yet)
            return False
        return True

    def import_image(self, name: str, archive: bytes, command: str) -> None:
        """``docker import``: a rootfs as a tar, and what to run in it."""
        connection = Connection(dial(self._address))
        query = f"fromSrc=-&repo={name}&tag=latest&changes=ENTRYPOINT%20%5B%22{command}%22%5D"
        try:
            response = connection.request("POST", f"{_VERSION}/images/create?{query}", {}, archive)
            said = response.read()
        finally:
            connection.close()
        if response.status >= 300 or b'"error"' in said:
            raise Internal(f"the image was not imported: {said[:200]!r}")

    def pull(self, name: str) -> None:
        """An image by its name, with ``latest``. Internal: it failed."""
        connection = Connection(dial(self._address))
        try:
            response = connection.request("POST", f"{_VERSION}/images/create?fromImage={name}&tag=latest")
            said = response.read()
        finally:
            connection.close()
        if response.status >= 300 or b'"error"' in said:
            raise Internal(f"the pull failed: {said[-300:]!r}")

    def build(self, name: str, context: bytes) -> int:
        """A build by the classic builder, nothing of it from a cache; the nanoseconds it took. Internal: it failed."""
        before = time.perf_counter_ns()
        connection = Connection(dial(self._address))
        try:
            target = f"{_VERSION}/build?t={name}&nocache=1&rm=1"
            response = connection.request("POST", target, {"Content-Type": "application/x-tar"}, context)
            said = response.read()
        finally:
            connection.close()
        if response.status >= 300 or b'"error"' in said:
            raise Internal(f"the build failed: {said[-300:]!r}")
        return time.perf_counter_ns() - before

    def cycle(self, body: Mapping[str, Any]) -> Cycle:
        """Create, attach, start, wait, and all output read. Internal: a step failed."""
        before = time.perf_counter_ns()
        with Wire(self.socket_path) as control, Wire(self.socket_path) as streams:
            created = self._ask(control, "POST", "/containers/create", json.dumps(body).encode())
            container_id = str(json.loads(created)["Id"])
            status = streams.upgrade(f"{_VERSION}/containers/{container_id}/attach?stream=1&stdout=1&stderr=1")
            if status != 101:
                raise Internal(f"attach answered {status}")
            self._ask(control, "POST", f"/containers/{container_id}/start")
            ended = self._ask(control, "POST", f"/containers/{container_id}/wait")
            output = streams.rest()
            taken = time.perf_counter_ns() - before
        return Cycle(taken, container_id, output, int(json.loads(ended)["StatusCode"]))

    def remove(self, container_id: str) -> None:
        """Also if it runs."""
        with Wire(self.socket_path) as control:
            self._ask(control, "DELETE", f"/containers/{container_id}?force=1")

    def _ask(self, control: Wire, method: str, path: str, body: bytes = b"") -> bytes:
        status, answer = control.ask(method, _VERSION + path, body)
        if status >= 400:
            raise Internal(f"{method} {path} answered {status}: {answer[:200].decode('utf-8', 'replace')}")
        return answer

    def _call(self, connection: Connection, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        response = connection.request(method, _VERSION + path, _JSON if data else {}, data)
        answer = response.read()
        if response.status >= 400:
            raise Internal(f"{method} {path} answered {response.status}: {answer[:200].decode('utf-8', 'replace')}")
        kind = response.headers.get("content-type", "")
        return json.loads(answer) if answer and kind.startswith("application/json") else None
