"""What a task writes to its FIFOs, read to the end."""

from wherry.core.tasks.fifos import FifoReader


async def read_all(path: str) -> bytes:
    return await read_to_end(FifoReader(path))


async def read_to_end(reader: FifoReader) -> bytes:
    """To be opened before the task is started: a reader that comes when all writers are gone waits for one."""
    try:
        parts = []
        while data := await reader.read():
            parts.append(data)
        return b"".join(parts)
    finally:
        reader.close()
