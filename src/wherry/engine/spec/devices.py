"""Devices of Linux containers: which may be used, which are made. Pure; the host's nodes are a parameter.

Source: OCI runtime-spec v1.1, config-linux.md#devices, #allowed-device-list; docker's defaults as documented.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import InvalidArgument
from wherry.linux.devices import DeviceNode

_RULE: Final = re.compile(r"([acb]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})")
# type, major, minor: null, zero, full, random, urandom, tty, console, ptmx, and every terminal.
_DEFAULT: Final = (
    ("c", 1, 3),
    ("c", 1, 5),
    ("c", 1, 7),
    ("c", 1, 8),
    ("c", 1, 9),
    ("c", 5, 0),
    ("c", 5, 1),
    ("c", 5, 2),
    ("c", 136, None),
)


# HostConfig's limits on single block devices: what the runtime spec calls them, and the field that has the number.
THROTTLES: Final[Mapping[str, tuple[str, str]]] = {
    "BlkioWeightDevice": ("weightDevice", "Weight"),
    "BlkioDeviceReadBps": ("throttleReadBpsDevice", "Rate"),
    "BlkioDeviceWriteBps": ("throttleWriteBpsDevice", "Rate"),
    "BlkioDeviceReadIOps": ("throttleReadIOPSDevice", "Rate"),
    "BlkioDeviceWriteIOps": ("throttleWriteIOPSDevice", "Rate"),
}


@dataclass(frozen=True, slots=True)
class Throttle:
    """A limit on one block device: ``key`` is the runtime spec's list that it goes into."""

    key: str
    path: str
    amount: int


def throttles(host: Mapping[str, Any]) -> tuple[Throttle, ...]:
    """InvalidArgument: a device without a path, or no number."""
    found = []
    for field, (key, name) in THROTTLES.items():
        for entry in host[field] or ():
            path, amount = entry.get("Path"), entry.get(name)
            if not isinstance(path, str) or not path.startswith("/"):
                raise InvalidArgument(f"bad device path in {field}: {str(path)[:100]!r}: an absolute one is wanted")
            if not isinstance(amount, int) or isinstance(amount, bool) or not 0 <= amount < 2**64:
                raise InvalidArgument(f"bad value of {path[:100]} in {field}: {str(amount)[:40]!r}")
            found.append(Throttle(key, path, amount))
    return tuple(found)


def block_limits(limits: Sequence[tuple[Throttle, DeviceNode]]) -> dict[str, Any]:
    """``linux.resources.blockIO``, as far as it is about single devices."""
    found: dict[str, Any] = {}
    for limit, node in limits:
        name = "weight" if limit.key == "weightDevice" else "rate"
        found.setdefault(limit.key, []).append({"major": node.major, "minor": node.minor, name: limit.amount})
    return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """One ``--device``: a node or a folder of nodes. ``access`` is made of r, w and m."""

    source: str
    target: str
    access: str


def wanted(host: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """HostConfig.Devices. InvalidArgument; also what of DeviceRequests and DeviceCgroupRules cannot be."""
    for request in host["DeviceRequests"] or ():
        kinds = request.get("Capabilities") or []
        driver = str(request.get("Driver") or "")[:60]
        shown = str(kinds).replace("'", "").replace(",", "")[:120]  # as Go prints lists
        raise InvalidArgument(f'could not select device driver "{driver}" with capabilities: {shown}')
    for text in host["DeviceCgroupRules"] or ():
        _rule(text)
    return tuple(_wanted(entry) for entry in host["Devices"] or ())


def _wanted(entry: Mapping[str, Any]) -> Wanted:
    source, target = entry.get("PathOnHost") or "", entry.get("PathInContainer") or entry.get("PathOnHost") or ""
    access = entry.get("CgroupPermissions") or "rwm"
    if not isinstance(source, str) or not isinstance(target, str) or not target.startswith("/"):
        raise InvalidArgument(f"invalid device: {str(source)[:100]!r}: absolute paths are wanted")
    if not isinstance(access, str) or not access or set(access) - set("rwm"):
        raise InvalidArgument(f"invalid device mode: {str(access)[:20]!r}: of r, w and m")
    return Wanted(source, target, access)


def device_spec(nodes: Sequence[DeviceNode]) -> list[dict[str, Any]]:
    """``linux.devices``: nodes, their paths the container's own."""
    return [
        {
            "path": node.path,
            "type": node.kind,
            "major": node.major,
            "minor": node.minor,
            "fileMode": node.mode,
            "uid": node.uid,
            "gid": node.gid,
        }
        for node in nodes
    ]


def device_rules(
    host: Mapping[str, Any], granted: Sequence[tuple[DeviceNode, str]], *, everything: bool
) -> list[dict[str, Any]]:
    """``linux.resources.devices``: ``granted`` are nodes with their access; ``everything`` is for --privileged."""
    if everything:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for kind, major, minor in _DEFAULT:
        rules.append(_allowed(kind, major, minor, "rwm"))
    rules += [_allowed(node.kind, node.major, node.minor, access) for node, access in granted]
    return rules + [_rule(text) for text in host["DeviceCgroupRules"] or ()]


def _allowed(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    numbers = {key: value for key, value in (("major", major), ("minor", minor)) if value is not None}
    return {"allow": True, "type": kind, "access": access, **numbers}


def _rule(text: str) -> dict[str, Any]:
    """``c 42:* rmw``. InvalidArgument."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"invalid device cgroup rule format: '{text[:100]}'")
    major, minor = (None if number == "*" else int(number) for number in found.group(2, 3))
    return _allowed(found[1], major, minor, found[4])
