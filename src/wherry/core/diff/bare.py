"""A bare module as the archive it could have been packed into: one file, so that it is unpacked as all layers are."""

import io
import tarfile
from typing import Any, BinaryIO


class as_archive(io.RawIOBase):  # noqa: N801 - reads like the function that it is for its callers
    """The bytes of a tar archive with ``blob``, of ``size`` bytes, as its file ``path``. It cannot seek."""

    def __init__(self, blob: BinaryIO, path: str, size: int) -> None:
        header = tarfile.TarInfo(path)
        header.size, header.mode = size, 0o755
        padding = bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
        head = header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        self._parts: list[Any] = [io.BytesIO(head), blob, io.BytesIO(padding)]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._parts:
            data = self._parts[0].read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._parts.pop(0)
        return 0
