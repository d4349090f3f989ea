"""System calls as data, and the one loop that carries them out. Making such lists is assembly.py's.

What a process has to do between its clone and its guest is known before it is cloned. One that does it line by line
touches thousands of the interpreter's objects, and each page of them becomes its own, for CPython counts references
there. So it is given a list in one piece of memory, the `Area`: numbers of calls with their arguments, and behind them
the texts and structures these point to. The area lies at the same address in whoever writes the list and in all that
are forked from it, so nothing has to be converted.
"""

from __future__ import annotations

import ctypes
import errno
from struct import Struct

from wherry.linux.syscalls import NUMBERS, bound, check, libc, libc_with_gil

STEP = Struct("=7q4i")
"""The call's number; six arguments; the errno that is as good as success, or 0; the offset in the area where the first
argument is to be read from, or 0; the offset where the result is to be put, or 0; the number by which it is told."""
VALUE = Struct("=i")
"""A descriptor as it lies in the area. Machines are little-endian: it may lie in the low half of an argument, too."""

MESSAGE_LIMIT = 1 << 18
"""Bytes of a message that an area receives."""
MOST_DESCRIPTORS = 16
_PAGE = 4096

_HEADER = Struct("=QI4xQQQQi4x")  # msghdr: name, its length, iovec, how many, control, its length, flags
_IOVEC = Struct("=QQ")
_CONTROL_HEADER = 16
_CONTROL = _HEADER.size + _IOVEC.size
_CONTROL_SIZE = _CONTROL_HEADER + 4 * MOST_DESCRIPTORS
DESCRIPTORS = _CONTROL + _CONTROL_HEADER
"""The offset of the descriptors that came with the last message."""
MESSAGE = _CONTROL + _CONTROL_SIZE
"""The offset of the last message."""

_MSG_CTRUNC, _MSG_TRUNC = 0x8, 0x20
_MSG_CMSG_CLOEXEC = 0x40000000
_PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS = 0x3, 0x22
_FAILED = ctypes.c_void_p(-1).value

_mmap = bound(
    libc, "mmap", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
)  # fmt: skip
_munmap = bound(libc, "munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
# With the GIL held throughout, also when a call blocks: a process that is being set up has one thread.
_call = bound(libc_with_gil, "syscall", ctypes.c_long, *[ctypes.c_long] * 7)
_errno = ctypes.get_errno
_RECVMSG = NUMBERS.get("recvmsg", -1)


class Refused(OSError):
    """A step failed: ``number`` is the one it is told by."""

    def __init__(self, number: int, error: int) -> None:
        super().__init__(error, f"step {number}")
        self.number = number


class Area:
    """The memory: what is received lies in it, and is carried out where it lies. Behind that is a page for whoever
    needs one at an address that is known beforehand."""

    __slots__ = ("_heading", "address", "page", "size", "view")

    def __init__(self) -> None:
        """Reserve it; it takes no memory before something is received. OSError."""
        self.size = (MESSAGE + MESSAGE_LIMIT + _PAGE - 1) // _PAGE * _PAGE
        address: int = _mmap(None, self.size + _PAGE, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, -1, 0)
        if address == _FAILED:
            raise OSError(ctypes.get_errno(), "cannot map an area")
        self.address = address
        self.page = address + self.size
        self.view = memoryview((ctypes.c_ubyte * self.size).from_address(address)).cast("B")
        head = _HEADER.pack(0, 0, address + _HEADER.size, 1, address + _CONTROL, _CONTROL_SIZE, 0)
        self._heading = head + _IOVEC.pack(address + MESSAGE, self.size - MESSAGE)

    def receive(self, fd: int) -> int:
        """Wait for a message, of a sender who must be trusted; its size, 0 at the end. OSError; also when a part of it,
        or of its descriptors, did not fit."""
        view = self.view
        view[:_CONTROL] = self._heading
        size = _call(_RECVMSG, fd, self.address, _MSG_CMSG_CLOEXEC, 0, 0, 0)
        if size < 0:
            raise OSError(_errno(), "recvmsg")
        if _HEADER.unpack_from(view)[6] & (_MSG_CTRUNC | _MSG_TRUNC):
            raise OSError(errno.EMSGSIZE, "a message came in part")
        return size  # type: ignore[no-any-return]  # ctypes gives its functions no type

    def carry_out(self, start: int, end: int) -> None:
        """Make the calls that lie from one offset to the other, in their order. Refused: one failed, and no further one
        was made."""
        view, take, call, size = self.view, STEP.unpack_from, _call, STEP.size
        while start < end:
            name, a, b, c, d, e, f, fine, source, target, number = take(view, start)
            if source:
                a = VALUE.unpack_from(view, source)[0]
            result = call(name, a, b, c, d, e, f)
            if result < 0 and _errno() != fine:
                raise Refused(number, _errno())
            if target:
                VALUE.pack_into(view, target, result)
            start += size

    def close(self) -> None:
        """Give it back: nothing of it may be used any more."""
        self.view.release()
        check(_munmap(self.address, self.size + _PAGE))

    def __getitem__(self, span: slice) -> memoryview:
        """A part of it, by offsets."""
        return self.view[span]

    def __setitem__(self, span: slice, data: bytes) -> None:
        self.view[span] = data

    def value(self, offset: int) -> int:
        """The number that lies there."""
        return VALUE.unpack_from(self.view, offset)[0]  # type: ignore[no-any-return]  # struct gives none

    def put(self, offset: int, value: int) -> None:
        """Have a number lie there."""
        VALUE.pack_into(self.view, offset, value)
