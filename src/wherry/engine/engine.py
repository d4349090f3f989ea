"""The engine as one object: what Docker means by containers, images, builds and events. No HTTP, no drivers.

`Engine` joins the nouns and owns the one group that everything in the background lives in.
"""

from types import TracebackType
from typing import Self

from wherry.engine.background import Background
from wherry.engine.builds import Builds
from wherry.engine.check import Checks
from wherry.engine.containers.containers import Containers
from wherry.engine.events import Events
from wherry.engine.exec import Execs
from wherry.engine.images import Images
from wherry.engine.makings import Makings
from wherry.engine.module_sbom import Sboms
from wherry.engine.pulls import Pulls
from wherry.engine.pushes import Pushes
from wherry.engine.registries import Registries
from wherry.engine.services import EngineServices
from wherry.engine.steprunner import TaskStepRunner
from wherry.engine.system import System


class Engine:
    """``async with Engine(services) as engine: await engine.recover()``.

    Leaving the block stops watching the containers; they go on, and `recover` of the next engine finds them. The
    services are the caller's to close.
    """

    def __init__(self, services: EngineServices) -> None:
        self.services = services
        self._background = Background()
        self.events = Events(services)
        self.images = Images(services, self.events)
        self.containers = Containers(services, self.images, self.events, self._background)
        self.volumes = self.containers.volumes
        self.networks = self.containers.networks
        self.exec = Execs(self.containers)
        self.images.latest = lambda: (live.record for live in self.containers.registry)
        self.makings = Makings(services, self.images, self.containers, self.events)
        self.pulls = Pulls(services, self.images, self.events)
        self.pushes = Pushes(services, self.images, self.events)
        self.registries = Registries(services)
        self.builds = Builds(services, self.images, self.pulls, TaskStepRunner(services, self.containers.sandboxes))
        self.checks = Checks(services)
        self.sboms = Sboms(services, self.images)
        self.system = System(services, self.containers, self.images, self.events)

    async def __aenter__(self) -> Self:
        await self._background.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.containers.close()
        await self._background.__aexit__(kind, error, trace)

    async def recover(self) -> None:
        """Find the containers that run on from an earlier engine: their tasks, exit codes, logs, restart policies.
        Once, before the first request."""
        await self.containers.recover()
