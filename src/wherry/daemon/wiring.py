"""From a configuration to a running engine's services: the one place that names drivers."""

import asyncio
import os
import random
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from wherry.build import spool
from wherry.build.cache import SqliteBuildCache
from wherry.core.containers.sqlite import SqliteContainerStore
from wherry.core.content.layout_index import stage_index
from wherry.core.content.local import LocalContentStore
from wherry.core.diff.limits import Limits
from wherry.core.gc.collector import Collector, Stores
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.logs.drivers import LogDrivers
from wherry.core.metadata.database import Database
from wherry.core.modules.compiled import CompiledModules
from wherry.core.modules.subprocess_compiler import CompilerConfig, SubprocessCompiler
from wherry.core.networks.cni import CniConfig, CniDriver
from wherry.core.networks.namespaces import PinnedNamespaces
from wherry.core.networks.network import Namespaces, NetworkDriver
from wherry.core.networks.pasta import PastaConfig, PastaDriver, TaskNamespaces
from wherry.core.networks.plugins import PluginConfig, Plugins
from wherry.core.networks.sqlite import SqliteNetworkStore
from wherry.core.remotes.registry import RegistryRemotes
from wherry.core.remotes.remote import Remotes
from wherry.core.snapshots import probe
from wherry.core.snapshots.copy import CopySnapshotter
from wherry.core.snapshots.overlay import OverlaySnapshotter
from wherry.core.snapshots.snapshotter import Snapshotter
from wherry.core.tasks.runtimes import RuntimeTable
from wherry.core.tasks.shim_tasks import ShimTasks, TasksConfig
from wherry.core.tasks.stage import Stage
from wherry.core.trust.policy import read_policy
from wherry.core.volumes.local import LocalVolumeStore
from wherry.daemon.config import DaemonConfig
from wherry.daemon.reload import adjustable
from wherry.engine.builds import secrets_folder
from wherry.engine.services import EngineConfig, EngineServices
from wherry.engine.transfer import temporary_folder
from wherry.oci.digest import Digest
from wherry.oci.platform import Platform
from wherry.wasm.library import library_path

_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_CACHE_KEPT = 14 * 24 * 3600.0
"""Seconds that the build cache keeps a layer which no build uses; looked at when the engine starts."""
_TOPICS = "/tasks/oom"
"""What wherry's own shim tells this engine, which learns of all else from the answers to its questions."""
_PASSED_ON = ("HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "LANG", "TMPDIR")


@asynccontextmanager
async def services(config: DaemonConfig, environ: Mapping[str, str]) -> AsyncIterator[EngineServices]:
    """Open the stores below ``config.root``, made if need be. DataLoss, FailedPrecondition, PermissionDenied,
    ResourceExhausted: they cannot be used. The caller holds the root's lock."""
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(Database, os.path.join(config.root, "metadata.db"))
        stack.callback(database.close)
        path = search_path(environ)
        tasks = await ShimTasks.open(_tasks_config(config, environ, path))
        stack.push_async_callback(tasks.close)
        remotes = RegistryRemotes(config.registries)
        stack.push_async_callback(remotes.close)
        yield await asyncio.to_thread(_services, config, database, tasks, remotes, path)


def _services(
    config: DaemonConfig, database: Database, tasks: ShimTasks, remotes: Remotes, path: list[str]
) -> EngineServices:
    root = config.root
    engine = EngineConfig(
        root=root,
        state=config.state,
        default_platform=Platform.host(),
        adjustable=adjustable(config),
        layer_limits=Limits(size=config.largest_layer, entries=config.most_entries),
        rootless=config.rootless,
        trust_policy=config.trust_policy,
        trust_policy_given=config.trust_policy_given,
        path=path,
    )
    check(config)
    spool.sweep(temporary_folder(engine))
    shutil.rmtree(secrets_folder(engine), ignore_errors=True)  # a killed engine's
    content = LocalContentStore(os.path.join(root, "content"))
    images = SqliteImageStore(database, lambda names: stage_index(content.root, names))
    snapshots = _snapshotter(database, os.path.join(root, "snapshots"))
    containers = SqliteContainerStore(database)
    leases = SqliteLeaseStore(database)
    collector = Collector(Stores(content, images, containers, leases, snapshots), database.sync)
    cache = SqliteBuildCache(database)
    cache.drop(unused_since=time.time() - _CACHE_KEPT)

    def cached() -> list[Digest]:
        return [kept.layer.descriptor.digest for kept in cache.kept()]

    compiled = CompiledModules(database, cache_folder(config))
    collector.recover(cached())
    compiled.sweep()
    compiler = SubprocessCompiler(
        CompilerConfig(cache=cache_folder(config), library=library_path(sys.path), environ={"PATH": ":".join(path)}),
        compiled,
    )
    return EngineServices(
        config=engine,
        content=content,
        images=images,
        snapshots=snapshots,
        volumes=LocalVolumeStore(database, os.path.join(root, "volumes")),
        networks=SqliteNetworkStore(database),
        network_drivers=_network_drivers(config, path),
        namespaces=_namespaces(config, path),
        containers=containers,
        transactions=database,
        leases=leases,
        tasks=tasks,
        compiler=compiler,
        logs=LogDrivers(),
        remotes=remotes,
        collect=lambda: collector.collect(cached()).size + compiled.sweep(),
        clock=time.time_ns,
        new_id=lambda: secrets.token_hex(32),
        random=random.Random(),
        build_cache=cache,
        compiled=compiled,
    )


def check(config: DaemonConfig) -> None:
    """What is wrong with the configuration and no store is needed for, is said at once. InvalidArgument. Blocks."""
    LogDrivers().check(config.log_driver, config.log_options)
    if config.trust_policy_given:
        read_policy(config.trust_policy, must_exist=True)


def _plugin_config(path: list[str]) -> PluginConfig:
    return PluginConfig(path=":".join(path))


def _network_drivers(config: DaemonConfig, path: list[str]) -> dict[str, NetworkDriver]:
    """Bridges are root's to make. What others have instead goes by the same name."""
    if config.rootless:
        return {"bridge": PastaDriver(PastaConfig(os.path.join(config.state, "pasta"), _plugin_config(path)))}
    # One lock for all engines of the machine: each asks the host's routes which subnets are free.
    places = CniConfig(
        leases=os.path.join(config.state, "leases"), lock=os.path.join(os.path.dirname(config.state), "networks.lock")
    )
    return {"bridge": CniDriver(places, Plugins(_plugin_config(path)))}


def _namespaces(config: DaemonConfig, path: list[str]) -> Namespaces:
    if config.rootless:
        return TaskNamespaces()
    return PinnedNamespaces(os.path.join(config.state, "netns"), _plugin_config(path))


def _snapshotter(database: Database, root: str) -> Snapshotter:
    """Overlayfs where this user and kernel can have it, copies elsewhere."""
    os.makedirs(root, mode=0o711, exist_ok=True)
    choice = probe.choose(root)
    if choice.driver == "overlay":
        return OverlaySnapshotter(database, root, userxattr=choice.userxattr)
    return CopySnapshotter(database, root)


def _tasks_config(config: DaemonConfig, environ: Mapping[str, str], path: list[str]) -> TasksConfig:
    passed = {name: environ[name] for name in _PASSED_ON if name in environ}
    shims = {**passed, "PATH": ":".join(path), "WHERRY_CACHE": cache_folder(config), "WHERRY_TOPICS": _TOPICS}
    # Runtimes keep records of their own by namespace: two engines on one machine must not share one.
    namespace = f"wherry-{os.path.basename(config.state)}"
    stage = Stage(config.state, path) if config.rootless else None
    return TasksConfig(config.state, RuntimeTable(path), shims, namespace=namespace, publisher=_own_path(), stage=stage)


def cache_folder(config: DaemonConfig) -> str:
    """Where compiled modules lie."""
    return os.path.join(config.root, "compiled")


def search_path(environ: Mapping[str, str]) -> list[str]:
    """Folders with programs: those that wherry was installed beside first, so that its own shim is found."""
    own = [os.path.dirname(sys.executable), os.path.dirname(_own_path())]
    given = [folder for folder in environ.get("PATH", "").split(":") if os.path.isabs(folder)]
    return list(dict.fromkeys([*own, *given, *_SYSTEM_PATH]))


def _own_path() -> str:
    return os.path.abspath(sys.argv[0])
