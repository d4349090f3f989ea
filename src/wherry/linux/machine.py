"""What this machine can give a container: capabilities, its kernel, AppArmor; and who shares a pid namespace. Read when
asked, kept nowhere."""

import os
import re

from wherry.linux.capabilities import NUMBERS


def bounding_capabilities() -> tuple[str, ...]:
    """The most (``CAP_*``) that a program started by this process could have. Source: proc_pid_status(5)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        mask = next((int(line.split()[1], 16) for line in file if line.startswith("CapBnd:")), 0)
    return tuple(name for name, number in NUMBERS.items() if mask >> number & 1)


def kernel_version() -> tuple[int, int]:
    """Major and minor; (0, 0) if uname tells none."""
    found = re.match(r"([0-9]+)\.([0-9]+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def has_apparmor() -> bool:
    """Whether the kernel confines programs by AppArmor."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


def neighbours(pid: int) -> list[int]:
    """The processes in the pid namespace of ``pid``, as far as this process may look. Blocks."""
    own = _pid_namespace(pid)
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [one for one in found if own and _pid_namespace(one) == own]


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
