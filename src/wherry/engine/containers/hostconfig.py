"""HostConfig: checked and completed with docker's defaults. Pure; what it asks of the kernel is in spec/."""

from collections.abc import Mapping
from typing import Any, Final

from wherry.engine.document import (
    Form,
    checked,
    is_flag,
    is_number,
    is_object,
    is_objects,
    is_size,
    is_text,
    is_text_map,
    is_texts,
)
from wherry.engine.networks import links
from wherry.engine.networks.files import check_dns, extra_hosts
from wherry.engine.networks.settings import mode_of
from wherry.engine.restart import RestartPolicy
from wherry.engine.spec.devices import THROTTLES
from wherry.errors import InvalidArgument, Unimplemented

SHM_SIZE: Final = 64 << 20
RESOURCES: Final[dict[str, tuple[Form, Any]]] = {
    "CpuShares": (is_number, 0),
    "Memory": (is_number, 0),
    "NanoCpus": (is_number, 0),
    "CgroupParent": (is_text, ""),
    "CpuPeriod": (is_number, 0),
    "CpuQuota": (is_number, 0),
    "CpuRealtimePeriod": (is_number, 0),
    "CpuRealtimeRuntime": (is_number, 0),
    "CpusetCpus": (is_text, ""),
    "CpusetMems": (is_text, ""),
    "MemoryReservation": (is_number, 0),
    "MemorySwap": (is_number, 0),
    "MemorySwappiness": (is_number, None),
    "OomKillDisable": (is_flag, None),
    "PidsLimit": (is_number, None),
    "Ulimits": (is_objects, None),
    "BlkioWeight": (is_number, 0),
    **dict.fromkeys(THROTTLES, (is_objects, None)),
}
HOST_CONFIG: Final[dict[str, tuple[Form, Any]]] = {
    "Binds": (is_texts, None),
    "ContainerIDFile": (is_text, ""),
    "LogConfig": (is_object, {}),
    "NetworkMode": (is_text, "default"),
    "PortBindings": (is_object, {}),
    "RestartPolicy": (is_object, {}),
    "AutoRemove": (is_flag, False),
    "VolumeDriver": (is_text, ""),
    "VolumesFrom": (is_texts, None),
    "ConsoleSize": (is_size, [0, 0]),
    "Annotations": (is_text_map, {}),
    "CapAdd": (is_texts, None),
    "CapDrop": (is_texts, None),
    "CgroupnsMode": (is_text, "private"),
    "Devices": (is_objects, None),
    "DeviceCgroupRules": (is_texts, None),
    "DeviceRequests": (is_objects, None),
    "Dns": (is_texts, []),
    "DnsOptions": (is_texts, []),
    "DnsSearch": (is_texts, []),
    "ExtraHosts": (is_texts, None),
    "GroupAdd": (is_texts, None),
    "IpcMode": (is_text, "private"),
    "Cgroup": (is_text, ""),
    "Links": (is_texts, None),
    "OomScoreAdj": (is_number, 0),
    "PidMode": (is_text, ""),
    "Privileged": (is_flag, False),
    "PublishAllPorts": (is_flag, False),
    "ReadonlyRootfs": (is_flag, False),
    "SecurityOpt": (is_texts, None),
    "StorageOpt": (is_text_map, None),
    "Tmpfs": (is_text_map, None),
    "UTSMode": (is_text, ""),
    "UsernsMode": (is_text, ""),
    "ShmSize": (is_number, SHM_SIZE),
    "Sysctls": (is_text_map, None),
    "Runtime": (is_text, ""),
    "Isolation": (is_text, ""),
    "Mounts": (is_objects, None),
    "MaskedPaths": (is_texts, None),
    "ReadonlyPaths": (is_texts, None),
    "Init": (is_flag, None),
    **RESOURCES,
}
_LEAST_MEMORY: Final = 512 << 10


def host_config(document: Any) -> dict[str, Any]:
    """InvalidArgument tells what is wrong; Unimplemented names what is not offered."""
    host = checked(document or {}, HOST_CONFIG, "host configuration")
    links.check(host["Links"])
    host["RestartPolicy"] = policy = RestartPolicy.from_json(host["RestartPolicy"]).to_json()
    if host["AutoRemove"] and policy["Name"] != "no":
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    host["LogConfig"] = _log_config(host["LogConfig"])
    host["Init"] = host["Init"] or None
    _check_modes(host)
    host |= _meant(host)
    _check_network(host)
    check_resources(host)
    return host


def update_of(document: Any) -> dict[str, Any]:
    """The body of POST /containers/x/update: only what it names. InvalidArgument tells what is wrong."""
    if not isinstance(document, Mapping):
        raise InvalidArgument("invalid update: an object is wanted")
    forms = {**RESOURCES, "RestartPolicy": (is_object, None)}
    named = {name: value for name, value in document.items() if name in forms and value not in (None, 0, "", {}, [])}
    changes = {name: value for name, value in checked(named, forms, "update").items() if name in named}
    if changes.get("RestartPolicy", {}).get("Name"):
        changes["RestartPolicy"] = RestartPolicy.from_json(changes["RestartPolicy"]).to_json()
    else:
        changes.pop("RestartPolicy", None)
    return changes


def check_resources(host: Mapping[str, Any]) -> None:
    """InvalidArgument: limits that contradict each other or the kernel, as docker words it."""
    memory, swap, reservation = host["Memory"], host["MemorySwap"], host["MemoryReservation"]
    faults = (
        (0 < memory < _LEAST_MEMORY, "Minimum memory limit allowed is 512KB"),
        (0 < reservation < _LEAST_MEMORY, "Minimum memory reservation allowed is 512KB"),
        (memory < 0, "memory limit must not be negative"),
        (memory == 0 and swap > 0, "You should always set the Memory limit when using Memoryswap limit, see usage"),
        (0 < swap < memory, "Minimum memoryswap limit should be larger than memory limit, see usage"),
        (0 < memory < reservation, "Minimum memory limit can not be less than memory reservation limit, see usage"),
        (host["NanoCpus"] and host["CpuPeriod"], "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
        (host["NanoCpus"] and host["CpuQuota"], "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        (
            host["CpuPeriod"] and not 1_000 <= host["CpuPeriod"] <= 1_000_000,
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (0 < host["CpuQuota"] < 1_000, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (host["CpuShares"] < 0, "invalid CPU shares: the minimum is 2"),
        (
            bool(host["BlkioWeight"]) and not 10 <= host["BlkioWeight"] <= 1000,
            "Range of blkio weight is from 10 to 1000",
        ),
        (
            bool(set(host["CpusetCpus"]) - set("0123456789,-")),
            f"Invalid value {host['CpusetCpus'][:60]} for cpuset cpus: invalid format: {host['CpusetCpus'][:60]}",
        ),
        (
            bool(set(host["CpusetMems"]) - set("0123456789,-")),
            f"Invalid value {host['CpusetMems'][:60]} for cpuset mems: invalid format: {host['CpusetMems'][:60]}",
        ),
        (host.get("ShmSize", 0) < 0, "SHM size can not be less than 0"),
        (
            not -1000 <= host.get("OomScoreAdj", 0) <= 1000,
            f"Invalid value {host.get('OomScoreAdj')}, range for oom score adj is [-1000, 1000]",
        ),
    )
    for wrong, text in faults:
        if wrong:
            raise InvalidArgument(text)


def _log_config(document: Mapping[str, Any]) -> dict[str, Any]:
    log = checked(document, {"Type": (is_text, ""), "Config": (is_text_map, {})}, "log configuration")
    return {"Type": log["Type"], "Config": dict(log["Config"])}


def _check_modes(host: Mapping[str, Any]) -> None:
    """Namespaces can be one's own or the host's; only a network can be another container's."""
    for field in ("IpcMode", "PidMode", "UTSMode"):
        if host[field].startswith("container:"):
            raise Unimplemented(f"{field} container:NAME is not offered yet: use host, none or leave it out")
    if host["Isolation"] not in ("", "default"):
        raise InvalidArgument(f"invalid isolation: \"{host['Isolation'][:60]}\" - linux only supports 'default'")
    for option in host["StorageOpt"] or ():
        if option != "size":
            raise InvalidArgument(f"unknown option {option[:100]}")
        raise InvalidArgument("--storage-opt is not offered: a writable layer has no bound but the disk's")
    for field, (known, told) in _MODES.items():
        if host[field] not in known:
            raise InvalidArgument(f"invalid {told}: {host[field][:120]}")


def _meant(host: Mapping[str, Any]) -> dict[str, Any]:
    """What the values stand for by which clients say that they want nothing particular, as docker tells it back."""
    swappiness, most = host["MemorySwappiness"], host["PidsLimit"]
    return {
        "MemorySwap": host["MemorySwap"] or max(host["Memory"], 0) * 2,
        "IpcMode": host["IpcMode"] or "private",
        "CgroupnsMode": host["CgroupnsMode"] or "private",
        "ShmSize": host["ShmSize"] or SHM_SIZE,
        "MemorySwappiness": None if swappiness == -1 else swappiness,
        "PidsLimit": None if most is not None and most <= 0 else most,
    }


def _check_network(host: dict[str, Any]) -> None:
    host["NetworkMode"] = mode_of(host)
    check_dns(host["Dns"])
    extra_hosts(host["ExtraHosts"] or ())


_MODES: Final = {
    "IpcMode": (("", "none", "private", "shareable", "host"), "IPC mode"),
    "PidMode": (("", "host"), "PID mode"),
    "UTSMode": (("", "host"), "UTS mode"),
    "UsernsMode": (("", "host"), "userns mode"),
    "CgroupnsMode": (("", "private", "host"), "cgroup namespace mode"),
}
