"""Numbers of the signals used here, the same on every machine wherry knows. The `signal` module makes enums of them.

Source: https://man7.org/linux/man-pages/man7/signal.7.html
"""

from _signal import pidfd_send_signal  # type: ignore[import-not-found]  # what `signal` is made of, without enums

SIGKILL = 9
SIGCHLD = 17
SIGCONT = 18
SIGSTOP = 19
LAST = 64

ENDING = (1, 2, 3, 6, 10, 12, 14, 15, 16, 24, 25, 26, 27, 29, 30)
"""HUP INT QUIT ABRT USR1 USR2 ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR: those whose default is to end a process,
but for SIGKILL, SIGPIPE and the faults."""


def send(pidfd: int, number: int) -> None:
    """Send a signal to that very process. ProcessLookupError: it has ended."""
    pidfd_send_signal(pidfd, number)
