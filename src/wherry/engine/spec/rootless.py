"""A Linux container's spec as an unprivileged engine can have it: one user, no cgroup, no device nodes. Pure.

It runs in a user namespace in which that user is root. What it cannot have is left out where docker's rootless mode
leaves it out, and refused where the container would not be what was asked for.
"""

from collections.abc import Mapping
from typing import Any

from wherry.errors import FailedPrecondition

_SYSFS = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev"]}
_UNPRIVILEGED_PORTS = {"net.ipv4.ip_unprivileged_port_start": "0"}


def rootless(spec: dict[str, Any]) -> dict[str, Any]:
    """``spec`` (as `linux_spec` and `joined` made it) for a user namespace with one user.

    FailedPrecondition: another user than root is to run it.
    """
    process, linux = spec["process"], spec["linux"]
    return {
        **spec,
        "process": {
            **process,
            "user": _only_root(process["user"]),
            "oomScoreAdj": max(0, process.get("oomScoreAdj", 0)),
        },
        "mounts": [_mount(mount, linux) for mount in spec["mounts"]],
        "linux": _without_cgroup(linux),
    }


def _only_root(user: Mapping[str, Any]) -> dict[str, Any]:
    if user["uid"] or user["gid"]:
        raise FailedPrecondition(
            f"user {user['uid']}:{user['gid']} needs an engine that runs as root: under this one a Linux container has "
            "one user, whom it knows as root: use --user 0:0"
        )
    return {"uid": 0, "gid": 0}


def _mount(mount: dict[str, Any], linux: Mapping[str, Any]) -> dict[str, Any]:
    if mount["type"] == "devpts":  # the group of terminals is not mapped
        return {**mount, "options": [option for option in mount["options"] if not option.startswith("gid=")]}
    if mount["type"] == "sysfs" and not any(entry["type"] == "network" for entry in linux["namespaces"]):
        return {**_SYSFS, "options": [*_SYSFS["options"], "ro"]}  # it shows the network's owner alone a new one
    return mount


def _without_cgroup(linux: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in linux.items() if name not in ("resources", "cgroupsPath", "devices")}
    if any(entry["type"] == "network" and not entry.get("path") for entry in linux["namespaces"]):
        kept["sysctl"] = {**_UNPRIVILEGED_PORTS, **linux.get("sysctl", {})}
    return kept
