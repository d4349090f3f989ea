"""The process that serves a group of containers: forks its zygote, then answers ttrpc until nobody needs it any more.

The zygote is forked before anything is imported that only a server needs: it shall be small.
"""

import marshal
import os

from wherry.linux import clone
from wherry.linux.steps import Area
from wherry.shim import child, zygote


def main(
    path: str, namespace: str, publish: str, topics: str, cache: str, group: str, listening: str, policy: str
) -> None:
    """Serve on the socket ``listening`` (a descriptor), which `start` left listening. All words are those that
    command.py puts together: ``path`` are folders joined by colons, ``topics`` those of events joined by commas,
    ``policy`` is a descriptor of policy.py's system call filters."""
    clone.set_name("wherry-shim")
    child.prepare()
    search = path.split(":")
    area = Area()

    def start_zygote() -> zygote.Zygote:
        return zygote.fork(search, area)

    present = start_zygote()
    from wherry.shim.server import Config, Server  # here, see above

    wanted = frozenset(topics.split(",") if topics else ())
    config = Config(search, namespace, publish, wanted, cache, group, _filters(int(policy)))
    Server(config, int(listening), present, start_zygote).run()


def _filters(fd: int) -> tuple[bytes, ...]:
    with os.fdopen(fd, "rb") as file:
        file.seek(0)  # where command.py, which shares the place in it, left off is its end
        found: tuple[bytes, ...] = marshal.load(file)
    return found
