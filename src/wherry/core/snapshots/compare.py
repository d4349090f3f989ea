"""Whether two folders hold the same: names, kinds, modes, owners, links, and every byte. Times and hard links apart."""

import os
import stat
from collections.abc import Iterator

_CHUNK = 1 << 20


def difference(folder: str, right: str) -> str:
    """The first thing in ``folder`` that is not as in ``right``, in words; "" if there is none. OSError."""
    stack = [""]
    while stack:
        inside = stack.pop()
        found, wanted = (_names(os.path.join(root, inside)) for root in (folder, right))
        for name in sorted(found | wanted):
            path = os.path.join(inside, name)
            if name not in found:
                return f"/{path} is missing"
            if name not in wanted:
                return f"/{path} does not belong there"
            fault = _entry(os.path.join(folder, path), os.path.join(right, path))
            if fault:
                return f"/{path} {fault}"
            if os.path.isdir(os.path.join(right, path)) and not os.path.islink(os.path.join(right, path)):
                stack.append(path)
    return ""


def _names(folder: str) -> set[str]:
    return set(os.listdir(folder))


def _entry(path: str, right: str) -> str:
    one, other = os.lstat(path), os.lstat(right)
    kind = stat.S_IFMT(other.st_mode)
    if stat.S_IFMT(one.st_mode) != kind or one.st_rdev != other.st_rdev:
        return "is something else"
    if (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return "has another owner or mode"
    if kind == stat.S_IFLNK:
        return "" if os.readlink(path) == os.readlink(right) else "leads elsewhere"
    if set(_attributes(path)) != set(_attributes(right)):
        return "has other extended attributes"
    if kind == stat.S_IFREG and (one.st_size != other.st_size or not _same_bytes(path, right)):
        return "has other contents"
    return ""


def _attributes(path: str) -> Iterator[tuple[str, bytes]]:
    for name in os.listxattr(path, follow_symlinks=False):
        yield name, os.getxattr(path, name, follow_symlinks=False)


def _same_bytes(path: str, right: str) -> bool:
    with open(path, "rb", buffering=0) as one, open(right, "rb", buffering=0) as other:
        while True:
            data = one.read(_CHUNK)
            if data != other.read(_CHUNK):
                return False
            if not data:
                return True
