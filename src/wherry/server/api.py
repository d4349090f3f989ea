"""The whole route table, put together from the engine's nouns."""

from wherry.engine.engine import Engine
from wherry.server.app import App
from wherry.server.call import ApiRoute
from wherry.server.metrics import Metrics
from wherry.server.routes import absent
from wherry.server.routes.archives import ArchiveRoutes
from wherry.server.routes.build import BuildRoutes
from wherry.server.routes.containers import ContainerRoutes
from wherry.server.routes.execs import ExecRoutes
from wherry.server.routes.images import ImageRoutes
from wherry.server.routes.makings import MakingRoutes
from wherry.server.routes.metrics import MetricsRoutes
from wherry.server.routes.networks import NetworkRoutes
from wherry.server.routes.registries import RegistryRoutes
from wherry.server.routes.streams import StreamRoutes
from wherry.server.routes.system import SystemRoutes
from wherry.server.routes.volumes import VolumeRoutes


def routes(engine: Engine, metrics: Metrics) -> list[ApiRoute]:
    """Every route that the engine answers; ``metrics`` are shown by one of them."""
    return [
        *ContainerRoutes(engine.containers).table(),
        *StreamRoutes(engine.containers).table(),
        *ArchiveRoutes(engine.containers).table(),
        *ExecRoutes(engine.exec).table(),
        *ImageRoutes(engine.images, engine.sboms).table(),
        *MakingRoutes(engine.makings).table(),
        *RegistryRoutes(engine.pulls, engine.pushes, engine.registries, engine.makings).table(),
        *BuildRoutes(engine.builds).table(),
        *VolumeRoutes(engine.volumes).table(),
        *NetworkRoutes(engine.networks).table(),
        *SystemRoutes(engine.system, engine.events, engine.checks).table(),
        *MetricsRoutes(engine.containers, metrics).table(),
        *absent.table(),
    ]


def application(engine: Engine) -> App:
    """The application that serves ``engine``."""
    metrics = Metrics()
    return App(routes(engine, metrics), metrics)
