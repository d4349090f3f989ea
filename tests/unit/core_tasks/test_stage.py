"""Shims of an engine that is not root's: their command, and where their sockets are for others."""

from pathlib import Path

import pytest

from wherry.core.tasks.launch import Address, parse_address
from wherry.core.tasks.stage import Stage
from wherry.errors import FailedPrecondition

SOCKET = "ab" * 32


def test_a_socket_is_found_from_outside(tmp_path: Path) -> None:
    stage = Stage("/run/user/1/wherry/abcdef012345", ["/usr/bin"])
    inside = f"unix:///run/containerd/s/{SOCKET}".encode()
    assert parse_address(inside, stage) == Address(f"/run/user/1/wherry/abcdef012345/s/{SOCKET}")
    assert parse_address(inside) == Address(f"/run/containerd/s/{SOCKET}")
    assert parse_address(b"unix:///tmp/other.sock", stage) == Address("/tmp/other.sock")


def test_the_command(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="install util-linux"):
        Stage("/tmp", [str(tmp_path)]).command(["shim"])
    with pytest.raises(FailedPrecondition, match="by 61 bytes: set XDG_RUNTIME_DIR to a shorter one"):
        Stage("/" + "x" * 100, ["/usr/bin"]).command(["shim"])
