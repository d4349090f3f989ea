"""How a container's spec is tied to its network: the namespace, the three files of /etc, the ports it may serve. Pure.

Source: OCI runtime-spec v1.1, config-linux.md "Namespaces".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LISTEN: Final = "dev.wherry.listen"
"""The annotation that says at which ports a WASM container may listen: ``80/tcp,53/udp``. Without it, at any."""

OUTLET: Final = "dev.wherry.outlet"
"""The annotation that says of a WASM container's new network namespace that it will not stay empty."""


@dataclass(frozen=True, slots=True)
class Joint:
    """``namespace`` is the path of a network namespace, "" a new and empty one, None the host's. ``files`` are the
    host's paths by those in the container. ``listen`` is None where no port is forbidden. ``outlet``: the new namespace
    does not stay empty, for it gets a way out before the start."""

    namespace: str | None = ""
    files: Mapping[str, str] = field(default_factory=dict)
    listen: Sequence[tuple[int, str]] | None = ()
    outlet: bool = False


def joined(spec: dict[str, Any], joint: Joint, *, wasm: bool) -> dict[str, Any]:
    """``spec`` with its network. What the user mounts over one of the files stays."""
    linux = spec["linux"]
    namespaces = [entry for entry in linux["namespaces"] if entry["type"] != "network"]
    if joint.namespace is not None:
        namespaces.append({"type": "network", **({"path": joint.namespace} if joint.namespace else {})})
    result = {**spec, "linux": {**linux, "namespaces": namespaces}}
    covered = {mount["destination"] for mount in spec["mounts"]}
    if added := [_bind(path, source) for path, source in joint.files.items() if path not in covered]:
        result["mounts"] = [*spec["mounts"], *added]
    if wasm and joint.listen is not None:
        ports = ",".join(f"{port}/{protocol}" for port, protocol in joint.listen)
        outlet = {OUTLET: "yes"} if joint.outlet else {}
        result["annotations"] = {**spec["annotations"], LISTEN: ports, **outlet}
    return result


def _bind(path: str, source: str) -> dict[str, Any]:
    return {"destination": path, "type": "bind", "source": source, "options": ["rbind", "rw", "rprivate"]}
