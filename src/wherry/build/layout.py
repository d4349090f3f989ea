"""A tree, or a part of one, written to a folder of the host: for RUN's bind mounts. Blocks.

The folder is new and the tree's folders are real ones, so that nothing is ever written through a link.
"""

import os

from wherry.build.tree import Entry, Tree, join
from wherry.core.faults import translating


def lay_out(tree: Tree, path: str, target: str) -> None:
    """Write the entry at normal ``path``, and all below it, to ``target``, which is not there yet.

    Owners are kept where this user may set them; device nodes are left out. ResourceExhausted.
    """
    entry = tree.get(path)
    if entry is None:
        return
    with translating("lay out files for a RUN"):
        _write(entry, target)
        folders = [("", entry)] if entry.kind == "folder" else []
        for inner, below in tree.walk(path) if folders else ():
            _write(below, join(target, inner))
            folders += [(inner, below)] if below.kind == "folder" else []
        # Last, innermost first: a folder that may not be written to could not be filled.
        for inner, folder in reversed(folders):
            _attributes(folder, join(target, inner))


def _write(entry: Entry, path: str) -> None:
    if entry.kind == "folder":
        os.mkdir(path, 0o700)
    elif entry.kind == "symlink":
        os.symlink(entry.link, path)
    elif entry.kind == "fifo":
        os.mkfifo(path)
        _attributes(entry, path)
    elif entry.kind == "file":
        with open(path, "xb") as file:
            for chunk in entry.data.chunks():
                file.write(chunk)
        _attributes(entry, path)


def _attributes(entry: Entry, path: str) -> None:
    if os.geteuid() == 0 and (entry.uid or entry.gid):
        os.chown(path, entry.uid, entry.gid)
    os.chmod(path, entry.mode)
