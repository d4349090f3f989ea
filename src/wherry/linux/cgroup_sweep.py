"""Taking away what is left of a container's cgroup. No part of the shim: its own cgroups it removes itself."""

import os
from collections.abc import Iterable


def hierarchies(mountinfo: Iterable[str]) -> list[str]:
    """Where cgroups are mounted, of either version, by lines of /proc/self/mountinfo. Pure."""
    found = []
    for line in mountinfo:
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) > 4 and right.split()[:1] in (["cgroup"], ["cgroup2"]):
            found.append(fields[4])
    return found


def sweep(path: str) -> None:
    """Remove the folders of cgroup ``path`` in every hierarchy, as far as nothing runs in them; quietly if there are
    none. A runtime that is killed while it makes a container may leave some, or make them after it was cleaned up."""
    relative = os.path.normpath("/" + path).strip("/")
    if not relative:
        return
    with open("/proc/self/mountinfo") as file:
        tops = hierarchies(file)
    for top in tops:
        for folder, _, _ in os.walk(os.path.join(top, relative), topdown=False):
            try:
                os.rmdir(folder)
            except OSError:  # a process is in it, or somebody was faster
                continue
