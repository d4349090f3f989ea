"""madvise(2): telling the kernel what memory is not needed for now.

Source: https://man7.org/linux/man-pages/man2/madvise.2.html
"""

import ctypes

from wherry.linux.syscalls import check, libc

_MADV_DONTNEED = 4
_MADV_MERGEABLE = 12
_KSM = "/sys/kernel/mm/ksm/run"


def give_back(address: int, length: int) -> None:
    """Unmap the pages of a mapping of a file's unchanged contents; they are mapped again when they are touched.

    Not for memory that was written to: that would lose what was written.
    """
    check(libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(_MADV_DONTNEED)))


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
