"""The folder of what need not survive a boot: bundles, FIFOs, the shims' event socket. Made, taken away, swept.

Below a user's runtime folder every engine has one, named after its root. A clean stop takes it away unless containers
go on; those of engines that were killed and never came back, the next engine of the same user sweeps up.
"""

import contextlib
import json
import os
import shutil
import stat

from wherry.daemon.folders import answers, make_parent, private_folder
from wherry.linux import links, netns

_ROOT = "root"
"""A symbolic link to the engine's root: when that is gone, so is the engine."""
_LEFTOVERS = ("retired", "spares")
"""Of tasks that are no more."""
_RECORD = "task.json"
"""In a bundle; its ``address`` is the shim's socket (core/tasks/bundle.py)."""
_NAMESPACES = "netns"
"""Network namespaces, each pinned at a file (core/networks/namespaces.py)."""
_LEASES = "leases"
"""Addresses in use, in a folder for each bridge (core/networks/cni.py)."""
_QUIET = 60.0
"""Seconds without a change before a folder may be swept: an engine that is just starting has not bound its socket."""


def make(path: str, root: str, uid: int) -> None:
    """Make the folder of the engine on ``root``. Its parent is everybody's way to the default socket: root's may be
    passed through.

    FailedPrecondition; PermissionDenied; ResourceExhausted.
    """
    parent = os.path.dirname(path)
    if uid == 0:
        make_parent(parent, uid)
    else:
        private_folder(parent, uid)
    private_folder(path, uid)
    os.utime(path)
    with contextlib.suppress(FileExistsError):
        os.symlink(root, os.path.join(path, _ROOT))


def remove(path: str) -> None:
    """Take the folder away if only folders and sockets are in it: containers that go on have files there.

    Nobody listens at those sockets any more: the engine that did is the caller.
    """
    _remove(path, frozenset({stat.S_IFSOCK}))


def sweep(parent: str, now: float) -> None:
    """Remove the folders below ``parent`` of engines that are surely dead: nobody answers at a socket in it, nothing
    changed lately, and no container is in it, or its engine's root is gone and none of its shims answers.

    ``now`` in seconds since the epoch. What cannot be looked at is left alone.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                if _is_state(path) and _dead(path, now):
                    _bury(path)


def _is_state(path: str) -> bool:
    """Whether it is an engine's folder, and not the shims' own, say."""
    name = os.path.basename(path)
    return len(name) == 12 and set(name) <= set("0123456789abcdef") and stat.S_ISDIR(os.lstat(path).st_mode)


def _dead(path: str, now: float) -> bool:
    if now - os.lstat(path).st_mtime < _QUIET:
        return False
    return not any(answers(found) for found, kind in _entries(path) if kind == stat.S_IFSOCK)


def _bury(path: str) -> None:
    for name in _LEFTOVERS:
        shutil.rmtree(os.path.join(path, name), ignore_errors=True)
    if not any(kind == stat.S_IFREG for _, kind in _entries(path)):
        _remove(path, frozenset({stat.S_IFSOCK, stat.S_IFIFO}))
    elif _orphaned(path) and not any(os.path.ismount(folder) for folder, _, _ in os.walk(path)):
        _leave_networks(path)
        shutil.rmtree(path)


def _leave_networks(path: str) -> None:
    """Let go of the network namespaces that are pinned here, and take off the host the bridges they were joined by."""
    for name in _names(os.path.join(path, _NAMESPACES)):
        netns.remove(os.path.join(path, _NAMESPACES, name))
    for link in _names(os.path.join(path, _LEASES)):
        with contextlib.suppress(OSError, ValueError):
            links.remove_bridge(link)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _orphaned(path: str) -> bool:
    """Whether its engine's root is gone for good, and with it whoever could still ask for what runs here."""
    link = os.path.join(path, _ROOT)
    if not os.path.islink(link) or os.path.exists(link):
        return False
    records = [found for found, _ in _entries(path) if os.path.basename(found) == _RECORD]
    return not any(answers(address) for address in map(_shim, records) if address)


def _shim(record: str) -> str:
    """The path of the socket in a bundle's record; "" is none. OSError: the record cannot be read."""
    with open(record, "rb") as file:
        try:
            document = json.load(file)
        except ValueError as error:
            raise OSError(f"{record}: {error}") from error
    return str(document.get("address", "")).removeprefix("unix://") if isinstance(document, dict) else ""


def _entries(path: str) -> list[tuple[str, int]]:
    """All that is below but folders and the link to the root, each with its kind."""
    found = [os.path.join(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files)]
    kinds = [(entry, stat.S_IFMT(os.lstat(entry).st_mode)) for entry in found if entry != os.path.join(path, _ROOT)]
    return [(entry, kind) for entry, kind in kinds if kind != stat.S_IFDIR]


def _remove(path: str, kinds: frozenset[int]) -> None:
    """Each folder that holds nothing but entries of ``kinds`` goes, innermost first."""
    link = os.path.join(path, _ROOT)
    for folder, _, _ in os.walk(path, topdown=False):
        # Somebody else may be faster: then it is gone, or in use again.
        with contextlib.suppress(OSError):
            entries = [os.path.join(folder, name) for name in os.listdir(folder)]
            if all(entry == link or stat.S_IFMT(os.lstat(entry).st_mode) in kinds for entry in entries):
                for entry in entries:
                    os.unlink(entry)
                os.rmdir(folder)
