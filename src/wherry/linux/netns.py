"""Network namespaces that outlive their processes: made, pinned by a bind mount, entered by one thread, let go.

What is set up inside (links, addresses, rules) is others' matter, but for the loopback device.
Source: https://man7.org/linux/man-pages/man7/network_namespaces.7.html, setns(2), unshare(2)
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from wherry.linux import clone, links, mounts
from wherry.linux.syscalls import check, libc

T = TypeVar("T")

# As Docker has it: in its own network a container needs no privilege for low ports, nor for ICMP echo sockets.
_PARAMETERS = (("ip_unprivileged_port_start", "0"), ("ping_group_range", "0 2147483647"))


def make(path: str) -> None:
    """Make a namespace, its loopback device up, and pin it at ``path``, a file that is made. Blocks. OSError."""
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    try:
        _elsewhere(lambda: _make_here(path))
    except BaseException:
        remove(path)
        raise


def _make_here(path: str) -> None:
    check(libc.unshare(ctypes.c_int(clone.CLONE_NEWNET)), "unshare")
    links.set_up("lo")
    for name, value in _PARAMETERS:
        with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as file:
            file.write(value)
    mounts.mount("/proc/thread-self/ns/net", path, "", mounts.MS_BIND)


def move(path: str, to: str) -> None:
    """Have what is pinned at ``path`` pinned at ``to``, a file that is made, instead. In between it is at both. Blocks.
    OSError: it could not be, and is where it was."""
    os.close(os.open(to, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    try:
        mounts.mount(path, to, "", mounts.MS_BIND)
    except BaseException:
        remove(to)
        raise
    remove(path)


def remove(path: str) -> None:
    """Unpin it: it goes when nobody is in it any more. One that is gone is no error. Blocks. OSError."""
    try:
        mounts.umount(path, mounts.MNT_DETACH)
    except OSError:
        pass  # not mounted: the file is all there is, if that
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def inside(path: str, work: Callable[[], T]) -> T:
    """Do ``work`` in the namespace at ``path``, in a thread of its own, and return its result. Blocks. OSError."""

    def enter_and_work() -> T:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            clone.setns(fd, clone.CLONE_NEWNET)
        finally:
            os.close(fd)
        return work()

    return _elsewhere(enter_and_work)


def _elsewhere(work: Callable[[], T]) -> T:
    """In a thread that ends: a namespace is a thread's own, and a pool's threads come back."""
    results: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        # Whatever it is, it is raised where it can be seen.
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]
