"""Where shims for Linux containers run when the engine is not root's: in a user and a mount namespace of their own.

containerd's shim keeps its socket, and runc its records, below /run/containerd, and both mount: an ordinary user may do
neither. On the stage the user is root, and a folder of the engine stands for /run/containerd. Each shim has a stage of
its own, which ends with it. Source: user_namespaces(7), unshare(1), containerd's defaults.DefaultStateDir.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry.errors import FailedPrecondition

_STANDS_FOR: Final = "/run/containerd"
_LONGEST_SOCKET: Final = 107
_SOCKET_NAME: Final = 64
"""The shim names its socket, in the folder ``s``, by a SHA-256."""

# $1 is the folder that stands for /run/containerd; the rest is the command. Where that is not there, it cannot be made
# in the host's /run: a new /run is, with all that the host's has.
_SCRIPT: Final = """
set -e
folder=$1
shift
if [ ! -d /run/containerd ]; then
    mkdir -p "$folder/run"
    mount -t tmpfs -o mode=755 tmpfs "$folder/run"
    for entry in /run/* /run/.[!.]*; do
        new=$folder$entry
        if [ -L "$entry" ]; then
            ln -s "$(readlink "$entry")" "$new"
        elif [ -d "$entry" ]; then
            mkdir "$new"
            mount --rbind "$entry" "$new"
        elif [ -e "$entry" ]; then
            : > "$new"
            mount --bind "$entry" "$new"
        fi
    done
    mkdir "$folder/run/containerd"
    mount --bind "$folder" "$folder/run/containerd"
    mount --rbind "$folder/run" /run
else
    mount --bind "$folder" /run/containerd
fi
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """``folder`` is the engine's own, and stands for /run/containerd: it will have ``s`` and ``runc``; ``path`` are the
    folders with unshare and mount."""

    folder: str
    path: Sequence[str]

    def command(self, words: Sequence[str]) -> list[str]:
        """``words`` as a command that is run on a new stage. FailedPrecondition: there is no unshare."""
        unshare = shutil.which("unshare", path=":".join(self.path))
        if unshare is None:
            raise FailedPrecondition("unshare is not installed, which Linux containers need here: install util-linux")
        longest = _LONGEST_SOCKET - len("/s/") - _SOCKET_NAME
        if len(os.fsencode(self.folder)) > longest:
            raise FailedPrecondition(
                f"{self.folder} is too long a path for the sockets of Linux containers, by "
                f"{len(os.fsencode(self.folder)) - longest} bytes: set XDG_RUNTIME_DIR to a shorter one"
            )
        # The shim would make it with mode 0600, which on its stage is enough for it, and for nobody outside.
        os.makedirs(os.path.join(self.folder, "s"), mode=0o700, exist_ok=True)
        new = ("--user", "--map-root-user", "--mount", "--propagation", "slave")
        return [unshare, *new, "/bin/sh", "-c", _SCRIPT, "sh", self.folder, *words]

    def outside(self, path: str) -> str:
        """Where a path as it is on the stage is for everybody else."""
        inside = path.removeprefix(f"{_STANDS_FOR}/")
        return path if inside == path else os.path.join(self.folder, inside)
