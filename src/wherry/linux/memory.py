"""madvise(2): telling the kernel what memory is not needed for now.

Source: https://man7.org/linux/man-pages/man2/madvise.2.html
"""

from __future__ import annotations

import ctypes

from wherry.linux.syscalls import check, libc
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

_MADV_DONTNEED = 4
_MADV_MERGEABLE = 12
_MADV_COLLAPSE = 25
LARGE = 2 << 20
"""Bytes of a large page, on every machine that wherry knows: where it is another size, nothing comes of asking."""
_KSM = "/sys/kernel/mm/ksm/run"
_KEEPS = ("Anonymous:", "Swap:", "Locked:")
"""What a mapping has none of whose every page the kernel can take from the file again."""


def give_back(address: int, length: int) -> None:
    """Unmap the pages of a mapping of a file's unchanged contents; they are mapped again when they are touched.

    Not for memory that was written to: that would lose what was written.
    """
    check(libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(_MADV_DONTNEED)))


def give_back_files() -> None:
    """Unmap what this process has not written to of the files it maps: its code, mostly. What is needed is mapped
    again by being touched, from the page cache; the rest was of use once. OSError: there is no /proc."""
    with open("/proc/self/smaps", encoding="ascii", errors="replace") as smaps:
        spans = unwritten(smaps)
    for address, length in spans:
        with suppress(OSError):  # a kind of mapping that can't be given back
            give_back(address, length)


def unwritten(smaps: Iterable[str]) -> list[tuple[int, int]]:
    """The mappings of files that can be given back: address and length of each. They can't be written to now, and never
    were: a private page that was, which relocating a library makes many of, is not in the file and would be lost.

    Source: https://docs.kernel.org/filesystems/proc.html (smaps), by whose lines ``smaps`` is read.
    """
    found: list[tuple[int, int]] = []
    mapping = None
    for line in smaps:
        words = line.split(None, 5)
        if not words[0].endswith(":"):
            mapping = _of_a_file(words)
        elif mapping is None:
            pass
        elif words[0] in _KEEPS and words[1] != "0":
            mapping = None
        elif words[0] == "VmFlags:":  # the last one
            found.append(mapping)
            mapping = None
    return found


def _of_a_file(words: list[str]) -> tuple[int, int] | None:
    """A mapping by its first line: address and length; None if it is of no file, or writable."""
    span, permissions, _, _, inode = words[:5]
    if inode == "0" or "w" in permissions:
        return None
    first, last = (int(end, 16) for end in span.split("-"))
    return first, last - first


def gather() -> None:
    """Have this process's heap moved into large pages, as far as it fills them. A kernel before 6.1 leaves
    it as it is. OSError: there is no /proc."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        blocks = heap_blocks(maps)
    for address in blocks:
        with suppress(OSError):  # not there at all yet, or no large page is free
            check(libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(LARGE), ctypes.c_int(_MADV_COLLAPSE)))


def heap_blocks(maps: Iterable[str]) -> list[int]:
    """The addresses at which large pages could lie in the heap: memory of no file, writable, private, and no stack.

    Source: https://docs.kernel.org/filesystems/proc.html (maps), by whose lines ``maps`` is read.
    """
    found: list[int] = []
    for line in maps:
        span, permissions, _, _, inode, *name = line.split(None, 5)
        if permissions == "rw-p" and inode == "0" and (not name or name[0].strip() == "[heap]"):
            first, last = (int(end, 16) for end in span.split("-"))
            found += range(-(-first // LARGE) * LARGE, last - LARGE + 1, LARGE)
    return found


def is_merging() -> bool:
    """Whether the machine's administrator has turned on KSM, the merging of equal pages.

    Source: https://docs.kernel.org/admin-guide/mm/ksm.html
    """
    try:
        with open(_KSM, "rb") as file:
            return file.read(1) == b"1"
    except OSError:
        return False


def offer_to_merge(address: int, length: int) -> None:
    """Let the kernel keep equal pages of this memory, here and in all children, as one."""
    check(libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(_MADV_MERGEABLE)))
