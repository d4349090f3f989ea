"""The shim as a command: what its words mean, and its two short-lived verbs, `start` and `delete`.

Source: containerd runtime/v2/README.md ("Commands"). `start` leaves a server behind (serve.py) and prints its address.
"""

import contextlib
import marshal
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from wherry.errors import InvalidArgument, NotFound, Unavailable, WherryError
from wherry.linux import cgroups
from wherry.shim import policy
from wherry.shim.group import Group, Server, birth_of, check_id, open_group, run_folder, sweep
from wherry.wire import task as api
from wherry.wire import ttrpc
from wherry.wire.status import error_of
from wherry.wire.wellknown import Timestamp

_TAKES_VALUE = {"namespace", "address", "publish-binary", "id", "bundle", "socket"}
_KILLED = 137
_STARTS = 5
_BOOTSTRAP = "import sys;w=sys.argv[1:];sys.path[:0]=w[0].split(':');from wherry.shim.serve import main;main(*w)"


@dataclass(frozen=True, slots=True)
class Words:
    """The command line: ``options`` without their dashes."""

    action: str
    options: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.options.get(name, "")


def parse(arguments: Sequence[str]) -> Words:
    """Go's flag package's way: one dash or two, ``-x=y`` or ``-x y``. InvalidArgument."""
    options, rest = {}, list(arguments)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).lstrip("-").partition("=")
        if name in _TAKES_VALUE and not equals:
            if not rest:
                raise InvalidArgument(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        options[name] = value
    return Words(rest[0] if rest else "", options)


def start(words: Words, environ: Mapping[str, str]) -> str:
    """Make sure that the group is served; returns the address for stdout. Runs in the bundle."""
    container_id, namespace = words["id"], words["namespace"]
    if not container_id or not namespace:
        raise InvalidArgument("start needs -namespace and -id")
    check_id(container_id)
    run = run_folder(os.geteuid(), environ.get("XDG_RUNTIME_DIR", ""))
    sweep(run)
    for _ in range(_STARTS):
        group = open_group(run, namespace, words["address"])
        with contextlib.suppress(FileNotFoundError), group.locked():  # a server that leaves takes the folder along
            group.expect(container_id)
            server = group.server()
            if server is None or not server.alive():
                server = _launch(group, run, words, environ)
                group.write(server)
            with open("address", "w") as file:
                file.write(server.address)
            return server.address
    raise Unavailable(f"the shims' folder {run} keeps vanishing: try again")


def _launch(group: Group, run: str, words: Words, environ: Mapping[str, str]) -> Server:
    path = f"{run}/{os.urandom(6).hex()}.sock"
    with listen(path) as listening, open(f"{group.folder}/log", "ab") as log:
        # Lean: no site, no user's paths, no user's environment.
        cache = environ.get("WHERRY_CACHE", "") or _default_cache(environ)
        events, topics = environ.get("TTRPC_ADDRESS", ""), environ.get("WHERRY_TOPICS", "")
        # Not among the words: `ps` and `systemctl status` show those to people.
        with os.fdopen(os.memfd_create("filters"), "wb") as filters:
            filters.write(marshal.dumps(policy.programs()))
            filters.flush()
            handed = listening.fileno(), filters.fileno()
            command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, ":".join(_search_path()), words["namespace"],
                       events, topics, cache, group.folder, *map(str, handed)]  # fmt: skip
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                pass_fds=handed, env={"PATH": environ.get("PATH", ""), "MALLOC_ARENA_MAX": "1"},
            )  # fmt: skip
    process.returncode = 0  # it outlives this command, which need not wait for it
    return Server(process.pid, birth_of(process.pid), f"unix://{path}")


def listen(path: str) -> socket.socket:
    """A unix socket that listens at ``path``, for this user alone: who connects there gives orders to the shim."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(512)
    return listening


def _search_path() -> list[str]:
    """The folders that hold this package and wasmtime's, without whatever else is installed being looked at."""
    folders = []
    for name in ("wherry", "wasmtime"):
        found = find_spec(name)
        if found is None or found.origin is None:
            raise NotFound(f"the Python package {name} is not installed beside this shim")
        folders.append(os.path.dirname(os.path.dirname(found.origin)))
    return list(dict.fromkeys(folders))


def _default_cache(environ: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return "/var/cache/wherry/compiled"
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/nonexistent"), ".cache")
    return f"{base}/wherry/compiled"


def delete(words: Words, environ: Mapping[str, str]) -> bytes:
    """Clean up after a container whose shim may be dead or alive; returns the DeleteResponse for stdout. Idempotent."""
    run = run_folder(os.geteuid(), environ.get("XDG_RUNTIME_DIR", ""))
    group = open_group(run, words["namespace"], words["address"])
    group.arrived(check_id(words["id"]))
    server = group.server()
    answer = api.DeleteResponse(exit_status=_KILLED, exited_at=Timestamp.from_ns(time.time_ns()))
    if server is not None and server.alive():
        answer = _delete_alive(server.address, words["id"]) or answer
    else:
        cgroups.Cgroup(_leftovers(words["id"])).remove()
    return answer.encode()


def _leftovers(container_id: str) -> dict[str, str]:
    found = cgroups.discover()
    tops = {"": found.unified, **found.v1}
    folders = {name: f"{top}/wherry/{container_id}" for name, top in tops.items() if top}
    return {name: folder for name, folder in folders.items() if os.path.isdir(folder)}


def _delete_alive(address: str, container_id: str) -> api.DeleteResponse | None:
    """Kill and delete it through the server, if that knows it."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(address.removeprefix("unix://"))
            protocol = ttrpc.ClientConnection()
            kill = api.KillRequest(id=container_id, signal=9, all=True)
            _call(connection, protocol, "Kill", kill.encode(), allowed=(NotFound,))
            _call(connection, protocol, "Wait", api.ProcessRequest(id=container_id).encode())
            payload = _call(connection, protocol, "Delete", api.ProcessRequest(id=container_id).encode())
            return api.DeleteResponse.decode(payload)
    except (WherryError, OSError):  # it knows nothing of the container, or has just gone
        return None


def _call(
    connection: socket.socket,
    protocol: ttrpc.ClientConnection,
    method: str,
    payload: bytes,
    allowed: tuple[type[WherryError], ...] = (),
) -> bytes:
    stream_id, data = protocol.send_request(api.SERVICE, method, payload)
    connection.sendall(data)
    while received := connection.recv(1 << 16):
        for response in protocol.receive_data(received):
            if response.stream_id == stream_id:
                if response.status.code and not isinstance(error_of(response.status), allowed):
                    raise error_of(response.status)
                return response.payload
    raise ConnectionError("the shim closed the connection")
