"""What a build is asked for, what it stands on and what comes of it: values and contracts, no work."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wherry.build.cache import BuildCache
from wherry.build.cachemounts import CacheMounts
from wherry.build.indexes import LayerIndexes
from wherry.core.content.store import ContentStore
from wherry.core.images.store import ImageStore
from wherry.core.leases.store import LeaseStore
from wherry.core.modules.compiler import Compiler
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.errors import InvalidArgument
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.mount import Mount
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One build. ``context`` is a tar archive, plain or compressed by gzip, bzip2, xz or zstd.

    ``dockerfile`` is a path in the context. ``tags`` are names as users type them; none leaves the image untagged.
    ``build_args`` with None are as good as not given. ``target`` is a stage's alias or number, "" the last stage.
    ``platform`` may be several, with commas between: they become one index. "" leaves it to FROM, to the base image,
    or to the kind of the entry file. ``network`` is what RUNs get that name none: none, host, or "" for the engine's
    own choice. ``cache_from`` are images whose layers may be taken for steps that they were made by; ``secrets`` what
    ``RUN --mount=type=secret`` can ask for, by id. ``pull`` asks registries for base images that are here, too.
    """

    context: AsyncIterator[bytes] | bytes
    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    remote: str = ""
    network: str = ""
    cache_from: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """``image_id`` is the digest of ``config``; ``target`` the descriptor of the manifest; ``tags`` canonical names."""

    image_id: Digest
    target: Descriptor
    config: ImageConfig
    tags: tuple[str, ...]


class StepFailed(InvalidArgument):
    """The program of a RUN ended with ``code``, which is also what the client's command ends with."""

    code = 1


@dataclass(frozen=True, slots=True)
class StepMount:
    """Something mounted for one RUN: the host's ``source``, or a tmpfs of ``size`` bytes (0: the kernel's choice) if
    that is ""."""

    target: str
    source: str = ""
    writable: bool = True
    size: int = 0


@dataclass(frozen=True, slots=True)
class RunStep:
    """A RUN to be carried out. ``id`` is unique and fit for a container's; what changes in ``rootfs`` is the layer;
    ``layers`` are its host folders, topmost first, for looking files up; ``argv[0]`` is a program in it, of a wasm
    platform the path of a module. ``network`` is none, host, or "" for the engine's own choice."""

    id: str
    rootfs: Sequence[Mount]
    layers: Sequence[str]
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    platform: Platform
    mounts: tuple[StepMount, ...] = ()
    network: str = ""


class StepRunner(Protocol):
    """Runs a RUN step as a container runs."""

    async def run(self, step: RunStep, output: Callable[[str, bytes], None]) -> int:
        """The exit code. ``output`` gets ("stdout" or "stderr", bytes) as they come. When cancelled, nothing of the
        process or its mounts is left. WherryError: it could not be started."""


class Fetcher(Protocol):
    """Brings images that a build begins with."""

    async def fetch(
        self, reference: Reference, platform: Platform | None, tell: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """Pull the image, so that it is in the image store. ``tell`` gets the messages for the user. NotFound and the
        like, in the registry's words."""


@dataclass(frozen=True, slots=True)
class BuildServices:
    """The contracts a build stands on.

    ``temporary`` is a folder of the builder's own (see spool.sweep). ``clock`` gives seconds since the epoch, for
    leases and names only: no image depends on it. ``new_id`` gives names that were never used before. ``largest``
    bounds, in bytes, what a build may put into ``temporary`` as one file. Without ``compiler`` modules are compiled
    when first used; without ``runner`` a RUN is refused. ``indexes`` are what builds learned of layers before.
    ``cache_mounts`` keeps the folders of ``RUN --mount=type=cache``; ``private`` is a folder of memory for secrets.
    Without them those mounts are refused.
    """

    content: ContentStore
    images: ImageStore
    snapshots: Snapshotter
    leases: LeaseStore
    cache: BuildCache
    temporary: str
    default_platform: Platform
    clock: Callable[[], float]
    new_id: Callable[[], str]
    compiler: Compiler | None = None
    runner: StepRunner | None = None
    fetcher: Fetcher | None = None
    largest: int = 16 << 30
    indexes: LayerIndexes = field(default_factory=LayerIndexes)
    cache_mounts: CacheMounts | None = None
    private: str = ""
