"""Shutting in a helper process that reads what nobody trusts and leaves its result in one folder."""

import os

from wherry.linux import capabilities, clone, landlock
from wherry.linux.syscalls import syscall


def confine(folder: str) -> None:
    """Give up, for ever and for all threads to come, what is not needed to write into ``folder``: other files, the
    network, signals to others, capabilities, new privileges. To be called with one thread.

    What the kernel or the user's rights do not allow to give up, is kept. Raises OSError.
    """
    if os.geteuid() == 0:
        try:
            syscall("unshare", clone.CLONE_NEWNET | clone.CLONE_NEWIPC)
        except PermissionError:
            pass  # root of somebody's container, which may not: Landlock refuses TCP all the same
        capabilities.drop_bounding(())
    capabilities.set_effective(())
    landlock.confine(folder, tcp=landlock.TcpRules((), connect=False))
