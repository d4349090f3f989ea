"""Bytes that flow: from a Linux container's published port, by wherryd beside dockerd; and from stdout into the log,
with what the engine's process takes of a core for that."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

from benchmarks import proc
from benchmarks.engine_api import EngineApi
from benchmarks.engines import both, rootfs
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.programs import Programs
from wherry.errors import Internal
from wherry.linux import links, netns
from wherry.wire.stdcopy import Decoder

_PART: Final = "flow"
_MB: Final = 1_000_000
_SENT: Final = 400
"""Megabytes over one connection."""
_LOGGED: Final = 20
"""Megabytes of one container, in two seconds."""
_AT_LEAST: Final = Bound(0.9, at_least=True)
_SHARE: Final = Bound(0.3)
_TIMEOUT: Final = 30.0


class FlowPart:
    """Per round one connection to each engine's server, in alternating order, and one container that writes."""

    name = _PART

    def __init__(
        self, folder: str, programs: Programs, environ: Mapping[str, str], stack: contextlib.ExitStack
    ) -> None:
        place = os.path.join(folder, _PART)
        os.makedirs(place)
        self._engine, self._engines, self._no_docker = stack.enter_context(both(place, environ, programs))
        self._servers = {}
        for name, api in self._engines.items():
            api.import_image("pour", rootfs(programs.pour), "/hello")
            self._servers[name] = _serve(api, stack)
        self._samples = {name: Samples() for name in self._engines}
        self._shares: list[float] = []

    def warm_up(self) -> None:
        """One of each that is not counted."""
        for name in self._engines:
            self._fetch(name)
        self._log()

    def round(self, number: int) -> None:
        """One of each."""
        for name in turns(list(self._engines), number):
            self._samples[name].add(self._fetch(name))
        self._shares.append(self._log())

    def rows(self) -> list[Row]:
        """Rates, the share that wherry's is of the other, and the engine's share of a core."""
        rates = {name: _SENT * 1e9 / found.median() if len(found) else None for name, found in self._samples.items()}
        ours, theirs = rates["wherryd"], rates.get("dockerd")
        found = [
            Row(_PART, f"{name}: megabytes per second from a published port, bridge", "/s", rate, rounds=len(samples))
            for (name, samples), rate in zip(self._samples.items(), rates.values(), strict=True)
        ]
        share = ours / theirs if ours and theirs else None
        found.append(Row(_PART, "wherryd / dockerd", "x", share, bound=_AT_LEAST, note=self._no_docker))
        taken = sorted(self._shares)[len(self._shares) // 2] if self._shares else None
        what = "wherryd's share of a core while 10 MB/s of stdout go into the log, none lost"
        return [*found, Row(_PART, what, "x", taken, rounds=len(self._shares), bound=_SHARE)]

    def _fetch(self, name: str) -> int:
        """Nanoseconds from the connection until the server's last byte. Internal: some are missing."""
        pid, port = self._servers[name]
        client = netns.inside(f"/proc/{pid}/ns/net", lambda: _connect(port))
        room, received, before = bytearray(1 << 20), 0, time.perf_counter_ns()
        with client:
            while count := client.recv_into(room):
                received += count
        if received != _SENT * _MB:
            raise Internal(f"{received} of {_SENT * _MB} bytes came through the published port of {name}")
        return time.perf_counter_ns() - before

    def _log(self) -> float:
        """What wherryd took of a core. Internal: the log is not what was written."""
        api = self._engine.api
        body = {"Image": "pour", "Cmd": ["log", str(_LOGGED)], "HostConfig": {"NetworkMode": "none"}}
        container = api.call("POST", "/containers/create", body)["Id"]
        cpu, before = proc.cpu_seconds(self._engine.pid), time.perf_counter()
        api.call("POST", f"/containers/{container}/start")
        status = api.call("POST", f"/containers/{container}/wait")["StatusCode"]
        share = (proc.cpu_seconds(self._engine.pid) - cpu) / (time.perf_counter() - before)
        logged = _without_frames(api.read(f"/containers/{container}/logs?stdout=1"))
        api.remove(container)
        if status or logged != (b"x" * 99 + b"\n") * (_LOGGED * _MB // 100):
            raise Internal(f"the log has {len(logged)} of {_LOGGED * _MB} bytes, or others")
        return share


def _serve(api: EngineApi, stack: contextlib.ExitStack) -> tuple[int, int]:
    """A server at a published port of an engine: the engine's process, in whose network that is, and the port."""
    host: dict[str, Any] = {"PortBindings": {"80/tcp": [{"HostPort": "0"}]}}
    body = {"Image": "pour", "Cmd": ["serve", str(_SENT)], "ExposedPorts": {"80/tcp": {}}, "HostConfig": host}
    container = api.call("POST", "/containers/create", body)["Id"]
    stack.callback(api.remove, container)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(api.socket_path)
        pid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    netns.inside(f"/proc/{pid}/ns/net", lambda: links.set_up("lo"))
    api.call("POST", f"/containers/{container}/start")
    ready = f"/containers/{container}/logs?stdout=1"
    proc.wait_until(lambda: b"ready" in api.read(ready), _TIMEOUT, "the server in the container does not listen")
    settings = api.call("GET", f"/containers/{container}/json")["NetworkSettings"]
    return pid, int(settings["Ports"]["80/tcp"][0]["HostPort"])


def _connect(port: int) -> socket.socket:
    """To the bridge's address: by loopback's, dockerd would take its proxy."""
    return socket.create_connection(("172.17.0.1", port), _TIMEOUT)


def _without_frames(data: bytes) -> bytes:
    return b"".join(piece for _, piece in Decoder().feed(data))
