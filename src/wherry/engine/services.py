"""What the engine is built from: one frozen bundle of contracts, its configuration, and the seam to images.

`daemon/wiring.py` fills it with drivers, tests with fakes. No driver is named here and nothing is started.
"""

import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from typing import Protocol

from wherry.build.cache import BuildCache
from wherry.core.containers.store import ContainerStore
from wherry.core.content.store import ContentStore
from wherry.core.diff.limits import LIMITS, Limits
from wherry.core.images.store import ImageStore
from wherry.core.leases.store import LeaseStore
from wherry.core.logs.log import LogFactory
from wherry.core.metadata.transactions import Transactions
from wherry.core.modules.compiled import CompiledModules
from wherry.core.modules.compiler import Compiler
from wherry.core.networks.network import Namespaces, NetworkDriver, NetworkStore
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.remote import Remotes
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.core.tasks.tasks import Tasks
from wherry.core.volumes.store import VolumeStore
from wherry.oci.image import ImageConfig
from wherry.oci.platform import Platform


@dataclass(slots=True)
class Adjustable:
    """What a reload of the configuration changes while the engine runs; only that does, in the event loop's thread.

    ``log_driver`` and ``log_options`` are what a container gets that names none. ``labels`` are the engine's own.
    """

    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=dict)
    registries: RegistryConfig = field(default_factory=RegistryConfig)
    labels: Sequence[str] = ()
    debug: bool = False

    def become(self, other: "Adjustable") -> None:
        """Take over all that ``other`` says."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Parsed once by the daemon. ``root`` is the engine's durable folder, ``state`` its short-lived one (FIFOs).

    ``cgroup_parent`` is the cgroup that containers' cgroups are made under. ``runtimes`` maps a runtime's
    name to the shim binary the user configured.
    ``trust_policy`` is the policy's file, which may be missing unless it was ``given``; "" is none.
    ``path`` are the folders that programs of the host are looked for in.
    """

    root: str
    state: str
    default_platform: Platform
    cgroup_parent: str = "/wherry"
    runtimes: Mapping[str, str] = field(default_factory=dict)
    adjustable: Adjustable = field(default_factory=Adjustable)
    layer_limits: Limits = LIMITS
    rootless: bool = False
    trust_policy: str = ""
    trust_policy_given: bool = False
    path: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EngineServices:
    """The contracts the engine stands on. ``clock`` gives nanoseconds since the epoch, ``new_id`` 64 hex digits;
    ``collect`` drops content and snapshots that nothing needs (it blocks) and returns the bytes freed;
    ``transactions`` are those that containers and snapshots are written by. ``network_drivers`` are by the names that
    networks have them under. Without ``build_cache`` every build begins anew. ``compiled`` knows what lies compiled, if
    somebody keeps an account of it.
    """

    config: EngineConfig
    content: ContentStore
    images: ImageStore
    snapshots: Snapshotter
    volumes: VolumeStore
    networks: NetworkStore
    network_drivers: Mapping[str, NetworkDriver]
    namespaces: Namespaces
    containers: ContainerStore
    transactions: Transactions
    leases: LeaseStore
    tasks: Tasks
    compiler: Compiler
    logs: LogFactory
    remotes: Remotes
    collect: Callable[[], int]
    clock: Callable[[], int]
    new_id: Callable[[], str]
    random: random.Random
    build_cache: BuildCache | None = None
    compiled: CompiledModules | None = None


@dataclass(frozen=True, slots=True)
class RunnableImage:
    """An image ready to be run: unpacked, its configuration read.

    ``id`` is what `docker inspect` shows as the image's id; ``name`` the canonical name, or the id if it was asked for
    by id; ``snapshot`` the committed snapshot of its layers ("" when it has none); ``manifest`` the digest that was
    chosen; ``annotations`` the manifest's.
    """

    id: str
    name: str
    config: ImageConfig
    platform: Platform
    snapshot: str
    manifest: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


class RunnableImages(Protocol):
    """What containers need of images."""

    async def runnable(self, ref: str, platform: str | None) -> RunnableImage:
        """Find the image by name, id or unique id prefix, choose the manifest that fits ``platform`` (the image's only
        one when it is None), unpack what is not yet unpacked. NotFound: ``No such image: x:latest``; InvalidArgument:
        the reference or the platform is nonsense; NotFound also when no manifest fits the platform."""

    async def family(self, refs: Sequence[str]) -> Set[str]:
        """The ids of these images, and of those whose layers begin with all of one's; unknown ones have none."""


class Publisher(Protocol):
    """Where events go; publishing never waits."""

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None: ...
