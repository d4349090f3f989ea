"""The runtime spec's ``process``: words, environment, folder, user, limits. Pure: the user is already resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.engine.document import is_number
from wherry.engine.spec.grants import split
from wherry.engine.spec.security import security
from wherry.errors import InvalidArgument

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What docker grants a container that asks for nothing.
# Source: moby, oci/caps/defaults.go; the list is part of docker's documentation of `docker run`.
DEFAULT_CAPABILITIES: Final = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    )
)
# Beyond the default ones; linux/capability.h.
_MORE_CAPABILITIES: Final = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "BLOCK_SUSPEND",
        "BPF",
        "CHECKPOINT_RESTORE",
        "DAC_READ_SEARCH",
        "IPC_LOCK",
        "IPC_OWNER",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "NET_ADMIN",
        "NET_BROADCAST",
        "PERFMON",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    )
)
_RLIMITS: Final = (
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
)


@dataclass(frozen=True, slots=True)
class User:
    """Who a process runs as, by numbers; ``home`` is what HOME becomes."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def process(
    args: Sequence[str],
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    user: User,
    hostname: str,
    held: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """The main process of a container. ``held`` are its capabilities where `capabilities` does not tell.

    InvalidArgument: an unknown capability or limit.
    """
    height, width = host["ConsoleSize"]
    document: dict[str, Any] = {
        "terminal": config["Tty"],
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(args),
        "env": environment(config["Env"], tty=config["Tty"], hostname=hostname, home=user.home),
        "cwd": config["WorkingDir"] or "/",
        "rlimits": rlimits(host["Ulimits"] or ()),
        "noNewPrivileges": security(host["SecurityOpt"] or ()).no_new_privileges,
        "capabilities": _capability_sets(_held(host) if held is None else held, root=user.uid == 0),
        "oomScoreAdj": host["OomScoreAdj"],
    }
    if config["Tty"] and width and height:
        document["consoleSize"] = {"height": height, "width": width}
    return document


def exec_process(
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    user: User,
    size: tuple[int, int] | None,
    held: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """A process added to a container: ``config`` is the exec's, completed with the container's environment, folder and
    hostname; ``size`` (height, width) is its terminal's, in cells; ``held`` as `process` has it."""
    limits = {**host, "ConsoleSize": list(size) if size else [0, 0]}
    return process(config["Cmd"], config, limits, user, config["Hostname"], held)


def environment(own: Sequence[str], *, tty: bool, hostname: str, home: str) -> list[str]:
    """``own`` with what docker always sets, where ``own`` does not: PATH, HOSTNAME, HOME, and TERM on a terminal."""
    defaults = {"PATH": PATH, "HOSTNAME": hostname, **({"TERM": "xterm"} if tty else {}), "HOME": home}
    named = {entry.partition("=")[0] for entry in own}
    return [f"{key}={value}" for key, value in defaults.items() if key not in named] + list(own)


def capabilities(add: Sequence[str], drop: Sequence[str]) -> tuple[str, ...]:
    """The default set, less ``drop``, with ``add``; ``ALL`` in either is all. InvalidArgument: an unknown one."""
    everything = (*DEFAULT_CAPABILITIES, *_MORE_CAPABILITIES)
    added = _capability_names("CapAdd", add, everything)
    dropped = _capability_names("CapDrop", drop, everything)
    base = everything if "ALL" in added else () if "ALL" in dropped else DEFAULT_CAPABILITIES
    kept = [name for name in base if name not in dropped]
    return (*kept, *(name for name in added if name != "ALL" and name not in kept))


def every_capability() -> tuple[str, ...]:
    """All that there are: what --privileged grants."""
    return (*DEFAULT_CAPABILITIES, *_MORE_CAPABILITIES)


def _held(host: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = split(host)
    return capabilities(wanted.add, wanted.drop)


def _capability_names(field: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    result = []
    for name in names:
        upper = name.upper()
        full = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
        if full != "ALL" and full not in known:
            raise InvalidArgument(f'invalid {field}: unknown capability: "{full[:60]}"')
        result.append(full)
    return result


def _capability_sets(names: Sequence[str], *, root: bool) -> dict[str, list[str]]:
    """Only root has them from the start; to others they are a bound on what a setuid program could get."""
    held = list(names) if root else []
    return {"bounding": list(names), "effective": held, "permitted": held}


def rlimits(ulimits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """HostConfig.Ulimits. InvalidArgument: an unknown name, or a soft limit above the hard one."""
    result = []
    for limit in ulimits:
        name: Any = limit.get("Name")
        soft: Any = limit.get("Soft")
        hard: Any = limit.get("Hard")
        if name not in _RLIMITS or not is_number(soft) or not is_number(hard):
            raise InvalidArgument(f"invalid ulimit: {str(name)[:60]!r} (known: {', '.join(_RLIMITS)})")
        unlimited = 2**64 - 1
        soft, hard = (unlimited if soft < 0 else soft), (unlimited if hard < 0 else hard)
        if soft > hard:
            raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
        result.append({"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard})
    return result
