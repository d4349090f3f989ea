"""What wherryd, its shim and an idle container weigh, as proportional set sizes; and an image over its module."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import proc, weight
from benchmarks.engines import Wherryd
from benchmarks.figures import Bound, Row
from benchmarks.programs import Programs
from wherry.errors import Internal

_MB = 1e6
_SETTLE = 2.0
IDLE = Bound(1.2)
_IDLE = 15.0
"""Seconds: a shim keeps its spare child for ten after the last container, and rests two later."""


def memory_rows(engine: Wherryd, containers: int) -> list[Row]:
    """wherryd after all the rounds before, the shim with one idle container, and ``containers`` of them together."""
    time.sleep(_SETTLE)
    idle = proc.pss(engine.pid)
    first = idle_container(engine)
    shim = proc.parent_of(first)
    alone = proc.pss(shim) + proc.pss(first)
    pids = [first, *(idle_container(engine) for _ in range(containers - 1))]
    together = [proc.pss(pid) for pid in pids]
    more = (proc.pss(shim) + sum(together) - alone) / max(containers - 1, 1)
    ended = [container["Id"] for container in engine.api.call("GET", "/containers/json")]
    for container_id in ended:
        engine.api.remove(container_id)
    time.sleep(_IDLE)
    ours = [shim, *proc.children_of(shim)]
    rest = weight.together(ours, [engine.pid])
    shim_note = (
        f"PSS if nobody but wherryd ran Python beside its {len(ours)} processes; with nobody at all"
        f" {weight.together(ours) / _MB:.2f} MB, with who runs now {sum(map(proc.pss, ours)) / _MB:.2f} MB"
    )
    note = f"PSS; each further container adds {more / _MB:.2f} MB to the shim and its containers together"
    return [
        Row("memory", "wherryd, idle after the rounds above", "MB", idle / _MB, bound=Bound(70.0), note="PSS"),
        Row("memory", "shim, idle, no container left", "MB", rest / _MB, bound=Bound(15.0), note=shim_note),
        Row(
            "memory",
            f"each of {containers} idle containers",
            "MB",
            sum(together) / len(together) / _MB,
            max(together) / _MB,
            containers,
            IDLE,
            note,
        ),
    ]


def idle_container(engine: Wherryd) -> int:
    """Start one; returns its process's number."""
    body = {"Image": "idle", "HostConfig": {"NetworkMode": "none"}}
    container_id = engine.api.call("POST", "/containers/create", body)["Id"]
    engine.api.call("POST", f"/containers/{container_id}/start")
    state = engine.api.call("GET", f"/containers/{container_id}/json")["State"]
    if not state["Running"]:
        raise Internal(f"the idle container does not run: {state}")
    return int(state["Pid"])


def image_rows(engine: Wherryd, programs: Programs) -> list[Row]:
    """The sum of an image's blobs in the store, less the module's own size."""
    store = os.path.join(engine.root, "content")
    manifest = _find_manifest(store, "hello")
    blobs = [manifest, manifest["document"]["config"], *manifest["document"]["layers"]]
    module = os.path.getsize(programs.hello)
    layers = sum(layer["size"] for layer in manifest["document"]["layers"])
    frame = sum(blob["size"] for blob in blobs) - layers
    note = f"module {module:,} bytes, its layer {layers:,} as stored, manifest and config {frame:,}"
    over = float(sum(blob["size"] for blob in blobs) - module)
    return [Row("image", "image over its module's own size", "B", over, bound=Bound(2000.0), note=note)]


def _find_manifest(store: str, name: str) -> dict[str, Any]:
    """The descriptor of an image in an OCI layout, with its manifest under ``document``."""
    for entry in _read(store, "index.json")["manifests"]:
        if name in entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""):
            document = _read(store, "blobs", *entry["digest"].split(":"))
            return {**entry, "document": document}
    raise Internal(f"the store's index has no image {name}")


def _read(*path: str) -> Mapping[str, Any]:
    with open(os.path.join(*path), encoding="utf-8") as file:
        found: Mapping[str, Any] = json.load(file)
        return found
