"""Containers as clients see them: the documents of `docker inspect` and `docker ps`. Pure.

Source: Docker Engine API v1.51, ContainerInspect and ContainerList.
"""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

from wherry.engine.containers.health import status_of
from wherry.engine.networks.links import parse_link
from wherry.engine.record import MountPoint, Record
from wherry.engine.spec.linux import MASKED, READ_ONLY
from wherry.engine.spec.security import security
from wherry.engine.times import human_duration, rfc3339

Json = dict[str, Any]


def inspect(document: Json, exec_ids: Sequence[str], network: Json) -> Json:
    """The whole of a container: what is `lasting` of it, its processes beside the first, and its NetworkSettings."""
    return {**document, "ExecIDs": list(exec_ids) or None, "NetworkSettings": network}


def lasting(record: Record, *, log_path: str, driver: str, layers: Sequence[str], files: Mapping[str, str]) -> Json:
    """What is told of a container by its record; ``layers`` are the host folders of its rootfs, topmost first, and
    ``files`` the host's paths of what it has as its own in /etc. What others change has its place in it."""
    args = record.args
    return {
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": args[0],
        "Args": list(args[1:]),
        "State": _state(record),
        "Image": record.image_id,
        "ResolvConfPath": files.get("/etc/resolv.conf", ""),
        "HostnamePath": files.get("/etc/hostname", ""),
        "HostsPath": files.get("/etc/hosts", ""),
        "LogPath": log_path,
        "Name": f"/{record.name}",
        "RestartCount": record.restarts,
        "Driver": driver,
        "Platform": record.platform.partition("/")[0],
        "ImageManifestDescriptor": None,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": security(record.host_config["SecurityOpt"] or ()).apparmor,
        "ExecIDs": None,
        "HostConfig": _host_config(record),
        "GraphDriver": {"Name": driver, "Data": _graph_data(layers)},
        "Mounts": _mounts(record),
        "Config": _config(record),
        "NetworkSettings": {},
    }


def _host_config(record: Record) -> Json:
    """As docker tells it: with what the runtime hides of /proc and /sys, and fields that mean something on Windows."""
    host = record.host_config
    usual = (None, None) if record.kind == "wasm" or host["Privileged"] else (MASKED, READ_ONLY)
    shown = {key: value for key, value in host.items() if value or key not in _UNSAID_HOST}
    for key, paths in zip(("MaskedPaths", "ReadonlyPaths"), usual, strict=True):
        shown[key] = list(paths) if host[key] is None and paths is not None else host[key]
    told = [f"/{name}:/{record.name}/{alias}" for name, alias in map(parse_link, host["Links"] or ())]
    return {**shown, **_WINDOWS, "Links": told or None}


def _config(record: Record) -> Json:
    told = {key: value for key, value in record.config.items() if value or key not in _UNSAID_CONFIG}
    # The first network's, if it was asked for: old clients look for it here.
    first: Mapping[str, Any] = next(iter(record.networks.values()), {})
    mac = {"MacAddress": first["MacAddress"]} if first.get("MacAddress") else {}
    return {**told, "Volumes": record.config["Volumes"] or None, "Image": record.image, **mac}


# What docker's documents leave out when it is empty.
_UNSAID_HOST: Final = frozenset({"Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"})
_UNSAID_CONFIG: Final = frozenset(
    {"ArgsEscaped", "ExposedPorts", "Healthcheck", "NetworkDisabled", "Shell", "StopSignal", "StopTimeout"}
)
_WINDOWS: Final = {"CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0}


def _state(record: Record) -> Json:
    state = record.state
    return {
        "Status": state.status,
        # Docker calls a container running while it is paused or waits for its next start.
        "Running": state.status in ("running", "paused", "restarting"),
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
        **({"Health": dict(state.health)} if state.health else {}),
    }


def _mounts(record: Record) -> list[Json]:
    """Those of `--tmpfs` are shown in HostConfig alone, as docker has it."""
    hidden = {posixpath.normpath(path) for path in record.host_config["Tmpfs"] or ()}
    return [_mount(point) for point in record.mounts if point.destination not in hidden]


def _mount(point: MountPoint) -> Json:
    return {
        "Type": point.type,
        **({"Name": point.name} if point.type == "volume" else {}),
        "Source": point.source,
        "Destination": point.destination,
        **({"Driver": point.driver} if point.type == "volume" else {}),
        "Mode": point.mode,
        "RW": point.writable,
        "Propagation": point.propagation if point.type == "bind" else "",
    }


def _graph_data(layers: Sequence[str]) -> Json:
    if not layers:
        return {}
    return {"UpperDir": layers[0], **({"LowerDir": ":".join(layers[1:])} if layers[1:] else {})}


def summary(record: Record, now: int, network: Json, ports: Sequence[Json], *, renamed: bool = False) -> Json:
    """One entry of `docker ps`; ``network`` are its NetworkSettings; ``renamed``: its image's name is another's now."""
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.image_id if renamed else record.image,
        "ImageID": record.image_id,
        "Command": _command(record.args),
        "Created": record.created // 1_000_000_000,
        "Ports": list(ports),
        "Labels": dict(record.labels),
        "State": record.state.status,
        "Status": status_text(record, now),
        "HostConfig": {"NetworkMode": record.host_config["NetworkMode"]},
        "NetworkSettings": {"Networks": network["Networks"]},
        "Mounts": _mounts(record),
    }


def status_text(record: Record, now: int) -> str:
    """``Up 3 minutes (Paused)``, ``Exited (0) 2 hours ago``, ``Created`` ..."""
    state = record.state
    if state.status in ("running", "paused"):
        up = f"Up {human_duration(now - state.started_at)}"
        return f"{up} (Paused)" if state.status == "paused" else f"{up}{_health_text(status_of(record))}"
    ago = f"({state.exit_code}) {human_duration(now - state.finished_at)} ago"
    return {
        "restarting": f"Restarting {ago}",
        "exited": f"Exited {ago}" if state.finished_at else f"Exited ({state.exit_code})",
        "removing": "Removal In Progress",
        "dead": "Dead",
    }.get(state.status, "Created")


def _health_text(status: str) -> str:
    return {"none": "", "starting": " (health: starting)"}.get(status, f" ({status})")


def _command(args: Sequence[str]) -> str:
    """The words in one line; those that the eye could not tell apart otherwise are quoted."""
    return " ".join(f"'{word}'" if " " in word else word for word in args)
