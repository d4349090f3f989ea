"""Containers as an engine would ask the shim for them: a folder, a specification, FIFOs and an overlay rootfs each."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry.wire import task as api

KINDS = ("mount", "pid", "ipc", "uts", "network", "cgroup")
"""Namespaces of every kind that a container has by default."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One container's folder and what its Create asks for."""

    folder: str
    stdout: str
    request: api.CreateTaskRequest


def make(folder: str, container_id: str, lower: str, spec: Mapping[str, Any]) -> Bundle:
    """A bundle below ``folder``; ``lower`` is the image's rootfs."""
    folder = os.path.join(folder, container_id)
    for name in ("rootfs", "upper", "work"):
        os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(spec, file)
    fifos = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    for fifo in fifos:
        os.mkfifo(fifo)
    layers = (f"lowerdir={lower}", f"upperdir={folder}/upper", f"workdir={folder}/work")
    mount = api.Mount(type="overlay", source="overlay", options=layers)
    request = api.CreateTaskRequest(id=container_id, bundle=folder, rootfs=(mount,), stdout=fifos[0], stderr=fifos[1])
    return Bundle(folder, fifos[0], request)


def spec(container_id: str, args: Sequence[str], kinds: Sequence[str] = KINDS, **linux: Any) -> dict[str, Any]:
    """The specification of a container that runs the module ``args[0]``, with namespaces of those ``kinds``."""
    return {
        "ociVersion": "1.1.0",
        "process": {"args": list(args), "env": ["PATH=/"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "hostname": container_id,
        "mounts": [],
        "linux": {"namespaces": [{"type": kind} for kind in kinds], **linux},
    }
