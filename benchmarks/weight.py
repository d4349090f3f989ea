"""What processes weigh by themselves: as a proportional set size, but that strangers' use of the same files counts for
nothing. Who else runs Python on a machine must not decide on whether wherry is small."""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Sequence

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _OF_FILE = 1 << 63, 1 << 61
Page = tuple[str, str, int]
"""A page of a file: device, inode, offset in pages."""


def together(pids: Sequence[int], beside: Sequence[int] = ()) -> float:
    """Bytes of ``pids`` if only they and those ``beside`` them were there: a file's page that n of them map is one n-th
    of it for each. What they share by having forked has to be among themselves.

    Source: https://docs.kernel.org/admin-guide/mm/pagemap.html, https://docs.kernel.org/filesystems/proc.html
    """
    files = {pid: frozenset(_of_files(pid)) for pid in {*pids, *beside}}
    sharers = Counter(page for pages in files.values() for page in pages)
    shares = sum(_PAGE / sharers[page] for pid in pids for page in files[pid])
    return shares + sum(_anonymous(pid) for pid in pids)


def _anonymous(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss_Anon:"))


def _of_files(pid: int) -> Iterable[Page]:
    """The pages of files that a process has mapped, other than those it wrote to and has to itself by that."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        mappings = [line.split(None, 5)[:5] for line in maps]
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for span, _, offset, device, inode in mappings:
            if inode == "0":
                continue
            first, last = (int(end, 16) // _PAGE for end in span.split("-"))
            pagemap.seek(first * 8)
            entries = pagemap.read((last - first) * 8)
            start = int(offset, 16) // _PAGE
            for number, (entry,) in enumerate(struct.iter_unpack("=Q", entries)):
                if entry & _PRESENT and entry & _OF_FILE:
                    yield device, inode, start + number
