"""The engine about itself, in the words of the Engine API: version, info, disk usage.

Source: Docker Engine API v1.51, SystemVersion, SystemInfo, SystemDataUsage. What the machine is, lies in machine.py.
"""

import asyncio
from typing import Any

import wherry
from wherry.core.logs.options import DRIVERS
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.proxies import shown
from wherry.engine import machine
from wherry.engine.containers.containers import Containers
from wherry.engine.disk import build_cache, rooms, union
from wherry.engine.events import Events
from wherry.engine.image_pieces import ImagePieces
from wherry.engine.images import Images
from wherry.engine.runtimes import WHERRY
from wherry.engine.services import EngineServices

Json = dict[str, Any]
API_VERSION = "1.51"
MIN_API_VERSION = "1.24"
_STATES = {"running": "running", "restarting": "running", "paused": "paused"}
_DISK_TYPES = frozenset({"container", "image", "volume", "build-cache"})


class System:
    """What `docker version`, `docker info` and `docker system df` show."""

    def __init__(self, services: EngineServices, containers: Containers, images: Images, events: Events) -> None:
        self._services = services
        self._containers = containers
        self._images = images
        self._events = events
        self._pieces = ImagePieces(services, images.catalog)

    async def version(self) -> Json:
        """The body of GET /version."""
        facts = await asyncio.to_thread(machine.facts)
        details = {
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
            "Arch": facts.architecture,
            "KernelVersion": facts.kernel,
            "GitCommit": "",
            "GoVersion": facts.python,
            "BuildTime": "",
        }
        engine = {"Name": "Engine", "Version": wherry.__version__, "Details": {**details, "Experimental": "false"}}
        runtimes = {"Name": "wasmtime", "Version": facts.wasmtime, "Details": {}}
        return {
            "Platform": {"Name": "wherry"},
            "Components": [engine, runtimes],
            "Version": wherry.__version__,
            **details,
        }

    async def info(self) -> Json:
        """The body of GET /info."""
        states = [_STATES.get(record["State"], "stopped") for record in await self._containers.list(all=True)]
        images = await self._images.catalog.entries()
        facts, layers = await asyncio.gather(asyncio.to_thread(machine.facts), asyncio.to_thread(machine.sandbox))
        missing = [f"WARNING: the sandbox lacks {layer.name}: {layer.reason}" for layer in layers if layer.reason]
        here = [layer.name for layer in layers if not layer.reason]
        return {
            **_capabilities(facts),
            **self._configuration(),
            **_machine(facts),
            "Containers": len(states),
            "ContainersRunning": states.count("running"),
            "ContainersPaused": states.count("paused"),
            "ContainersStopped": states.count("stopped"),
            "Images": len(images),
            "NEventsListener": self._events.listeners,
            "SystemTime": machine.rfc3339(self._services.clock()),
            "SecurityOptions": [f"name={name}" for name in here] + (["name=rootless"] if self._rootless else []),
            "Warnings": missing or None,
        }

    @property
    def _rootless(self) -> bool:
        return self._services.config.rootless

    def _configuration(self) -> Json:
        config = self._services.config
        now = config.adjustable
        known = self._services.tasks.known_runtimes()
        return {
            "ID": machine.engine_id(config.root),
            "Driver": self._services.snapshots.name,
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            "DockerRootDir": config.root,
            "RegistryConfig": _registries(now.registries),
            "HttpProxy": shown(now.registries.proxies.http),
            "HttpsProxy": shown(now.registries.proxies.https),
            "NoProxy": now.registries.proxies.no,
            "LoggingDriver": now.log_driver,
            "Runtimes": {name: {"runtimeType": name, "status": {}} for name in known},
            "DefaultRuntime": WHERRY,
            "Debug": now.debug,
            "Labels": list(now.labels),
            "ServerVersion": wherry.__version__,
            "ExperimentalBuild": False,
            "LiveRestoreEnabled": True,
            "Plugins": {
                "Volume": ["local"],
                "Network": sorted({*self._services.network_drivers, "host", "null"}),
                "Authorization": None,
                "Log": list(DRIVERS),
            },
        }

    async def disk_usage(self, types: frozenset[str]) -> Json:
        """The body of GET /system/df; ``types`` limits what is looked at, none is everything."""
        wanted = types or _DISK_TYPES
        usage: Json = {"LayersSize": 0, "Images": None, "Containers": None, "Volumes": None, "BuildCache": None}
        if "image" in wanted:
            pieces = await self._pieces.all()
            room = rooms(pieces)
            usage["Images"] = [
                {**image, "Size": room[image["Id"]].size, "SharedSize": room[image["Id"]].shared}
                for image in await self._images.list()
                if image["Id"] in room
            ]
            usage["LayersSize"] = union(pieces)
        if "container" in wanted:
            usage["Containers"] = await self._containers.list(all=True, size=True)
        if "volume" in wanted:
            usage["Volumes"] = await self._containers.volumes.usage()
        if "build-cache" in wanted:
            cached = self._services.build_cache
            kept = await asyncio.to_thread(cached.kept) if cached is not None else ()
            usage["BuildCache"] = build_cache(kept, (await self._images.layers()).values())
        return usage


def _registries(config: RegistryConfig) -> Json:
    """What is configured of registries, as moby shows it; loopback is never asked for TLS."""
    mirrors = list(config.mirrors)
    hub = {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
    named = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        for name in config.insecure
        if "/" not in name
    }
    blocks = [block for block in config.insecure if "/" in block]
    return {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *blocks],
        "IndexConfigs": {"docker.io": hub, **named},
        "Mirrors": mirrors,
    }


def _machine(facts: machine.Facts) -> Json:
    return {
        "Name": facts.hostname,
        "OSType": "linux",
        "OperatingSystem": facts.operating_system,
        "OSVersion": facts.os_version,
        "Architecture": facts.machine,
        "KernelVersion": facts.kernel,
        "NCPU": facts.cpus,
        "MemTotal": facts.memory,
    }


def _capabilities(facts: machine.Facts) -> Json:
    """What limits hold, and the fields that clients read although there is nothing behind them here."""
    return {
        "MemoryLimit": facts.cgroup_memory,
        "SwapLimit": facts.cgroup_memory,
        "CpuCfsPeriod": facts.cgroup_cpu,
        "CpuCfsQuota": facts.cgroup_cpu,
        "CPUShares": facts.cgroup_cpu,
        "CPUSet": facts.cgroup_cpu,
        "PidsLimit": facts.cgroup_pids,
        "OomKillDisable": facts.cgroup_memory and facts.cgroup_version == "1",
        "IPv4Forwarding": True,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": facts.cgroup_version,
        "NFd": facts.open_files,
        "NGoroutines": facts.threads,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "GenericResources": None,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": ""},
        "CDISpecDirs": [],
    }
