"""An engine's surroundings for tests: real stores in a folder, everything that runs or compiles made up."""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.fakes.logs import MemoryLogs
from tests.fakes.networks import FakeNamespaces, FakeNetworkDriver
from tests.fakes.remotes import MemoryRemotes
from wherry.core.containers.sqlite import SqliteContainerStore
from wherry.core.content.local import LocalContentStore
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.metadata.database import Database
from wherry.core.modules.compiler import CompiledModule, Compiler
from wherry.core.networks.sqlite import SqliteNetworkStore
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.folders import FolderSnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.tasks.tasks import Tasks
from wherry.core.volumes.local import LocalVolumeStore
from wherry.engine.background import Background
from wherry.engine.containers.containers import Containers
from wherry.engine.exec import Execs
from wherry.engine.networks.request import PREDEFINED, predefined
from wherry.engine.services import EngineConfig, EngineServices, RunnableImage
from wherry.errors import NotFound, WherryError
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig, RunConfig
from wherry.oci.platform import Platform
from wherry.wasm.module import ModuleInfo

WASM = Platform("wasi", "wasm")
LINUX = Platform("linux", "amd64")
MODULE = b"\0asm\1\0\0\0"


_INFO = ModuleInfo("module", 0).to_json()


class FakeCompiler:
    """Compiles nothing; ``fault`` is raised instead, when there is one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: WherryError | None = None

    def known(self, path: str, *, fuel: bool = False) -> CompiledModule | None:
        return CompiledModule(Digest.of(b""), "", _INFO) if path in self.asked and self.fault is None else None

    async def ensure(
        self, path: str, *, fuel: bool = False, progress: Callable[[str], None] | None = None
    ) -> CompiledModule:
        self.asked.append(path)
        if self.fault is not None:
            raise self.fault
        return CompiledModule(Digest.of(b""), "", _INFO)


class FakeImages:
    """Images by name, their one layer a committed snapshot."""

    def __init__(self) -> None:
        self.images: dict[str, RunnableImage] = {}

    async def runnable(self, ref: str, platform: str | None) -> RunnableImage:
        try:
            return self.images[ref]
        except KeyError:
            raise NotFound(f"No such image: {ref}:latest") from None

    async def family(self, refs: Sequence[str]) -> Set[str]:
        return {self.images[name].id for ref in refs if (name := ref.removesuffix(":latest")) in self.images}


class Recorder:
    """The event stream's place."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, Mapping[str, str]]] = []

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None) -> None:
        self.events.append((action, actor, attributes or {}))

    def actions(self, container_id: str) -> list[str]:
        return [action for action, actor, _ in self.events if actor == container_id]


class World:
    """``async with world.engine() as containers``: as often as a test restarts it."""

    def __init__(self, folder: Path, tasks: Tasks, *, overlay: bool = False, compiler: Compiler | None = None) -> None:
        self.folder, self.tasks = folder, tasks
        self.database = Database(str(folder / "db"))
        driver = OverlaySnapshotter if overlay else CopySnapshotter
        self.snapshots: FolderSnapshotter = driver(self.database, str(folder / "snapshots"))
        self.logs, self.compiler, self.images, self.events = MemoryLogs(), FakeCompiler(), FakeImages(), Recorder()
        self.network_driver, self.namespaces = FakeNetworkDriver(), FakeNamespaces()
        ids, run = itertools.count(1), uuid.uuid4().hex
        content = LocalContentStore(str(folder / "content"))
        self.services = EngineServices(
            config=EngineConfig(root=str(folder), state=str(folder / "state"), default_platform=LINUX),
            content=content,
            images=SqliteImageStore(self.database),
            snapshots=self.snapshots,
            volumes=LocalVolumeStore(self.database, str(folder / "volumes")),
            networks=self._networks(),
            network_drivers={"bridge": self.network_driver},
            namespaces=self.namespaces,
            containers=SqliteContainerStore(self.database),
            transactions=self.database,
            leases=SqliteLeaseStore(self.database),
            tasks=tasks,
            compiler=compiler or self.compiler,
            logs=self.logs,
            remotes=MemoryRemotes(),
            collect=lambda: 0,
            clock=time.time_ns,
            # Runtimes keep their own records by id: where there are some, no two worlds may share one.
            new_id=lambda: f"{next(ids):02x}{run if overlay else ''}".ljust(64, "e"),
            random=random.Random(7),
        )
        self.add_image("hello", WASM, entrypoint=("/hello.wasm",))

    def _networks(self) -> SqliteNetworkStore:
        """With the predefined ones, so that the first id that is given out is the first container's."""
        store = SqliteNetworkStore(self.database)
        for number, name in enumerate(PREDEFINED):
            store.add(predefined(f"{number}d".ljust(64, "d"), name, number))
        return store

    def add_image(
        self, name: str, platform: Platform, files: Mapping[str, bytes] | None = None, **config: Any
    ) -> RunnableImage:
        """An image whose rootfs holds ``files``, by default ``/hello.wasm``."""
        key = f"image-{name}"
        self.snapshots.prepare(f"new-{key}")
        root = Path(self.snapshots.layers(f"new-{key}")[0])
        for path, data in (files or {"hello.wasm": MODULE}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            (root / path).chmod(0o755)
        self.snapshots.commit(key, f"new-{key}")
        image = RunnableImage(
            id=str(Digest.of(name.encode())),
            name=f"docker.io/library/{name}:latest",
            config=ImageConfig(architecture=platform.architecture, os=platform.os, config=RunConfig(**config)),
            platform=platform,
            snapshot=key,
        )
        self.images.images[name] = image
        return image

    def replace_tasks(self, tasks: Tasks) -> None:
        """As a new engine has it, when its services were opened anew."""
        self.tasks = tasks
        self.services = replace(self.services, tasks=tasks)

    def engine(self) -> "Session":
        return Session(self)

    def close(self) -> None:
        self.database.close()


class Session:
    """One life of an engine. `kill` leaves it as SIGKILL would: nothing is told to anybody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._background = Background()

    async def __aenter__(self) -> Containers:
        await self._background.__aenter__()
        world = self._world
        self.containers = Containers(world.services, world.images, world.events, self._background)
        self.execs = Execs(self.containers)
        await self.containers.recover()
        return self.containers

    async def __aexit__(self, *_: object) -> None:
        await self.containers.close()
        await self._background.__aexit__(None, None, None)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what no event tells of, but not for ever."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
