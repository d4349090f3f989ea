"""The runtime spec that wherry's shim is given for a WASM container. Pure: a value out of values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wherry.engine.record import Record
from wherry.engine.spec.grants import split
from wherry.engine.spec.mounts import to_spec
from wherry.engine.spec.process import User, process
from wherry.engine.spec.resources import resources
from wherry.errors import InvalidArgument
from wherry.wasm import grants

FUEL: Final = "dev.wherry.fuel"
"""A label of a container or its image, or an annotation: how many units its guests may use."""

_DIGITS: Final = 19
"""Of the largest number there may be."""

HTTP: Final = "dev.wherry.http"
"""A label or annotation of the same kind: ``wagi`` or ``proxy``, how the module answers HTTP requests; a component that
can do nothing else does so unasked. Those that begin with it and a dot set its server up: the shim reads them."""
_KINDS: Final = ("wagi", "proxy")
_HTTP_RUNTIMES: Final = {"io.containerd.wagi.v1": "wagi"}


def wasm_spec(
    record: Record, *, args: Sequence[str], user: User, cgroup: str, annotations: Mapping[str, str]
) -> dict[str, Any]:
    """``args[0]`` is the module's path in the rootfs, with ``#name`` after it for an export other than ``_start``.

    There is no /proc, /dev or /sys in it: a module sees its rootfs and its volumes. A cgroup is asked for only where
    it is needed, for entering one takes longer than all the rest: one process can be frozen and counted without.
    """
    host = record.host_config
    hostname = record.config["Hostname"]
    limits = resources(host)
    return {
        "ociVersion": "1.1.0",
        "process": process(args, record.config, host, user, hostname),
        "root": {"path": "rootfs", "readonly": host["ReadonlyRootfs"]},
        "hostname": hostname,
        "mounts": to_spec(record.mounts),
        "annotations": {**host["Annotations"], **fuel(record), **http(record), **annotations, **_dropped(host)},
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces(host)],
            "resources": limits,
            **({"cgroupsPath": cgroup} if limits or host["CgroupParent"] else {}),
        },
    }


def fuel(record: Record) -> dict[str, str]:
    """The annotation by which the shim meters fuel, from the label or annotation that asks for it. InvalidArgument."""
    text = record.labels.get(FUEL) or record.host_config["Annotations"].get(FUEL) or ""
    if text and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 0 < int(text) < 1 << 63):
        raise InvalidArgument(f"invalid fuel {text[:40]!r}: a whole number of units above 0 is wanted in {FUEL}")
    return {FUEL: text} if text else {}


def has_fuel(record: Record) -> bool:
    """Whether its modules are to count their steps."""
    return bool(fuel(record))


def http(record: Record) -> dict[str, str]:
    """The annotations by which the shim makes a server of HTTP of it, {} for most. InvalidArgument: an unknown kind."""
    given = {**record.labels, **record.host_config["Annotations"]}
    found = {name: str(value) for name, value in given.items() if name.startswith(HTTP + ".")}
    kind = given.get(HTTP) or _HTTP_RUNTIMES.get(record.runtime, "")
    if kind not in ("", *_KINDS):
        raise InvalidArgument(f"invalid {HTTP} {kind[:40]!r}: {' or '.join(_KINDS)} is what there is")
    return {HTTP: kind, **found} if kind else found


def names_modules(record: Record) -> bool:
    """Whether its entry is no module but WAGI's list of them."""
    return bool(record.args) and record.args[0].endswith(".toml") and HTTP in http(record)


def _dropped(host: Mapping[str, Any]) -> dict[str, str]:
    """What the module is not granted, where that is anything: most containers say nothing of it."""
    dropped = split(host).dropped
    return {grants.ANNOTATION: ",".join(dropped)} if dropped else {}


def namespaces(host: Mapping[str, Any]) -> list[str]:
    """Its own of each kind, but for those that the user wants to share with the host."""
    shared = {
        "pid": host["PidMode"] == "host",
        "ipc": host["IpcMode"] == "host",
        "uts": host["UTSMode"] == "host",
        "network": host["NetworkMode"] == "host",
        "cgroup": host["CgroupnsMode"] == "host",
    }
    return ["mount", *(kind for kind, with_host in shared.items() if not with_host)]
