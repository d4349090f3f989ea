"""What a child is told of itself, at both ends of the line it is told by. Planning is sandbox.py's."""

from __future__ import annotations

import marshal
from struct import Struct

from wherry.record import Record
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

FILE_CAPABILITIES = frozenset(("CAP_DAC_OVERRIDE", "CAP_FOWNER"))
"""What root in a container expects of files: reading and writing those of others."""
SOCKET_CAPABILITIES = frozenset(("CAP_NET_BIND_SERVICE",))
"""What it expects of sockets: ports below 1024."""
KEPT_CAPABILITIES = FILE_CAPABILITIES | SOCKET_CAPABILITIES
"""A guest can use no other."""


REQUEST = Struct("=14I")
"""The head of a message to the zygote, by `Requested`'s fields."""
BIRTH = Struct("=6I")
"""The head of a message to a child: where the calls lie that bring it into its container, those that shut it in, and
its `Instructions`, each from one offset to another."""


class Requested(Record):
    """What is asked of the zygote: ``kind`` and ``how`` are of the constants below; ``join`` CLONE_NEW* bits; the rest
    offsets in its area, or 0: of a path from and to, of clone3(2)'s structure, of a cgroup's descriptor for it, of the
    number that is told; of three lists from and to: telling it, letting go of what came with the request, and the
    child's arrival; if the zygote is to be warmed, where a birth lies for it to rehearse."""

    kind: int
    path: int
    path_end: int
    clone: int
    into: int
    told: int
    tell: int
    tell_end: int
    release: int
    release_end: int
    how: int
    join: int
    arrive: int
    arrive_end: int


WARM, CONCEIVE, REST = range(3)
REHEARSE, BESIDE, FUEL = 1, 2, 4
"""The child warms up; is cloned beside another; and counts fuel, so that it loads its module itself."""


class Instructions(Record):
    """What a child needs to know that is no system call; it takes them apart by their position. ``module`` is the path
    of a compiled one, ``edition`` what the zygote has it by, "" if it has not. ``folders`` are those its guest finds
    open: path, offset of the descriptor, whether it is writable. ``listen`` are the ports it listens at for its guest.
    ``place`` is what `pack` makes, for one in a container that serves HTTP, and b"" for others; ``serves`` whether this
    is the server."""

    module: str
    edition: str
    spawns: bool
    serves: bool
    listen: tuple[int, ...]
    args: tuple[bytes, ...]
    env: tuple[bytes, ...]
    folders: tuple[tuple[bytes, int, bool], ...]
    entry: str
    memory: int
    cwd: str
    sockets: tuple[frozenset[tuple[int, str]] | None, bool] | None
    fuel: int
    refused: tuple[str, ...]
    place: bytes


HTTP_ANNOTATION = "dev.wherry.http"
"""How the container's module answers HTTP requests; a component that can do nothing else does so unasked. What else
there is to say: httpd/settings.py."""
HTTP_KINDS = ("wagi", "proxy")


class RootMount(Record):
    """One mount that makes the rootfs; ``target`` is relative to it."""

    type: str
    source: str
    options: tuple[str, ...]
    target: str


class Volume(Record):
    """A folder or file of the host, or a tmpfs (``source`` empty), seen at ``target``."""

    source: str
    target: str
    readonly: bool
    recursive: bool
    data: str = ""


class Sandbox(Record):
    """Everything around a guest that its spec decides. ``flags`` are CLONE_NEW* bits; ``network`` a namespace's path
    to join, or ""; ``memory`` the most bytes of linear memory a guest may have, or 0; ``fuel`` the units it
    may use, or 0 where nobody counts them; ``sockets`` what it may do with them, None for no network at all;
    ``sysctls`` the kernel parameters of its network, names and values; ``refused`` are host functions that it may not
    use, as wasm/grants.py has them; ``http`` what its server of HTTP is told (handlers.py), () for none."""

    rootfs: str
    mounts: tuple[RootMount, ...]
    volumes: tuple[Volume, ...]
    readonly: bool
    hostname: str
    flags: int
    network: str
    memory: int = 0
    fuel: int = 0
    sysctls: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, ...] = ()
    http: tuple[Any, ...] = ()
    sockets: SocketPolicy | None = None  # the last: `pack` and `unpack` count on it


class Command(Record):
    """One process in a sandbox: the module's path in the rootfs, which export to call, and what it is given."""

    module: str
    entry: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    terminal: bool
    console_size: tuple[int, int] | None
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int | None
    capabilities: frozenset[str]
    rlimits: tuple[tuple[str, int, int], ...]


def pack(sandbox: Sandbox, command: Command) -> bytes:
    """The whole plan, for a server of HTTP."""
    mounts = tuple(tuple(mount) for mount in sandbox.mounts)
    volumes = tuple(tuple(volume) for volume in sandbox.volumes)
    sockets = None if sandbox.sockets is None else tuple(sandbox.sockets)
    place: Any = (sandbox.rootfs, mounts, volumes, *tuple(sandbox)[3:-1], sockets)
    return marshal.dumps((place, tuple(command)))


def unpack(message: bytes) -> tuple[Sandbox, Command]:
    """What `pack` packed. The sender must be trusted."""
    (rootfs, mounts, volumes, *rest, sockets), words = marshal.loads(message)
    rest.append(None if sockets is None else SocketPolicy(*sockets))
    made = (tuple(RootMount(*mount) for mount in mounts), tuple(Volume(*volume) for volume in volumes))
    return Sandbox(rootfs, *made, *rest), Command(*words)
