"""A Linux container's spec for an engine that is not root's."""

from typing import Any

import pytest

from wherry.engine.spec.rootless import rootless
from wherry.errors import FailedPrecondition

SPEC: dict[str, Any] = {
    "process": {"user": {"uid": 0, "gid": 0, "additionalGids": [5]}, "oomScoreAdj": -5, "args": ["sh"]},
    "mounts": [
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "gid=5", "mode=0620"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    ],
    "linux": {
        "namespaces": [{"type": "mount"}, {"type": "network"}],
        "resources": {"memory": {"limit": 1}},
        "cgroupsPath": "/wherry/x",
        "devices": [{"path": "/dev/fuse"}],
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
        "sysctl": {"net.core.somaxconn": "9"},
    },
}


def test_what_a_user_cannot_have_is_left_out() -> None:
    made = rootless(SPEC)
    assert made["process"] == {"user": {"uid": 0, "gid": 0}, "oomScoreAdj": 0, "args": ["sh"]}
    assert made["mounts"][0]["options"] == ["nosuid", "mode=0620"]
    assert made["mounts"][1] == SPEC["mounts"][1]
    assert set(made["linux"]) == {"namespaces", "seccomp", "sysctl"}
    ports = {"net.ipv4.ip_unprivileged_port_start": "0"}
    assert made["linux"]["sysctl"] == {**ports, "net.core.somaxconn": "9"}


def test_in_the_hosts_network() -> None:
    made = rootless({**SPEC, "linux": {**SPEC["linux"], "namespaces": [{"type": "mount"}], "sysctl": {}}})
    assert made["mounts"][1]["type"] == "bind"
    assert "ro" in made["mounts"][1]["options"]
    assert made["linux"]["sysctl"] == {}


def test_another_user_is_refused() -> None:
    process = {**SPEC["process"], "user": {"uid": 1000, "gid": 0}}
    with pytest.raises(FailedPrecondition, match="user 1000:0 needs an engine that runs as root"):
        rootless({**SPEC, "process": process})
