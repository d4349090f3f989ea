"""Opening files that an image, a volume or a guest has laid there, by a process that has more rights than they."""

import errno
import os
import stat


def open_regular(path: str) -> int:
    """Open ``path`` for reading if it is a regular file; the descriptor is close-on-exec.

    What else lies there is not opened at all: a FIFO would block, and opening some devices already does something.
    Raises OSError, EINVAL for what is no regular file.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(found)
