"""A mount as containerd's Mount message has it: what a snapshot hands to whoever makes a rootfs of it. Pure."""

from __future__ import annotations

from wherry.record import Record


class Mount(Record):
    """One mount(2) to be done: ``type`` is a filesystem or ``bind``, ``options`` are mount(8)'s words.

    ``target`` is relative to the rootfs and empty for the rootfs itself.
    Source: containerd api/types/mount.proto.
    """

    type: str
    source: str
    options: tuple[str, ...] = ()
    target: str = ""
