"""What docker's flags carry, from text to the Engine API's values. Pure: files are read by the caller.

InvalidArgument everywhere, on one line, with the text that is wrong in it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from wherry.cli.human import parse_size
from wherry.errors import InvalidArgument

_RESTART = ("no", "always", "on-failure", "unless-stopped")
_VARIABLE = r"[^=\s\0]+"
_PROTOCOLS = ("tcp", "udp", "sctp")
_RECURSION = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}
_RLIMITS = frozenset(
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)


def key_values(items: Iterable[str], what: str = "label") -> dict[str, str]:
    """``key=value`` pairs; a bare key has an empty value. InvalidArgument names ``what`` they are."""
    pairs: dict[str, str] = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise InvalidArgument(f"invalid {what} {item!r}: empty name")
        pairs[key] = value
    return pairs


def environment(files: Iterable[tuple[str, str]], items: Iterable[str], inherited: Mapping[str, str]) -> list[str]:
    """The list for ``Env``: lines of the files first, then ``-e``. A name alone takes its value from ``inherited``.

    ``files`` are (name, contents).
    """
    found: list[str] = []
    for name, contents in files:
        for number, line in enumerate(contents.split("\n"), start=1):
            line = line.rstrip("\r").lstrip()
            if not line or line.startswith("#"):
                continue
            variable = line.partition("=")[0]
            if not re.fullmatch(_VARIABLE, variable, re.ASCII):
                raise InvalidArgument(f"{name}:{number}: invalid variable name {variable!r}")
            found += _variable(line, inherited)
    for item in items:
        if not item.partition("=")[0]:
            raise InvalidArgument(f"invalid environment variable: {item}")
        found += _variable(item, inherited)
    return found


def _variable(item: str, inherited: Mapping[str, str]) -> list[str]:
    """A name alone that is not set here is left out, as docker does."""
    if "=" in item:
        return [item]
    return [f"{item}={inherited[item]}"] if item in inherited else []


def volumes(items: Iterable[str], cwd: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """``-v``: (Binds, Volumes). A source that begins with ``.`` is meant from ``cwd``."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for item in items:
        parts = item.split(":")
        if len(parts) > 3 or not all(parts):
            raise InvalidArgument(f"invalid volume specification: {item!r}: expected [SOURCE:]TARGET[:OPTIONS]")
        target = parts[0] if len(parts) == 1 else parts[1]
        if not target.startswith("/"):
            raise InvalidArgument(f"invalid volume specification: {item!r}: the path in the container must be absolute")
        if len(parts) == 1:
            anonymous[target] = {}
        else:
            binds.append(":".join((_absolute(parts[0], cwd), *parts[1:])))
    return binds, anonymous


def _absolute(source: str, cwd: str) -> str:
    if source.split("/")[0] not in (".", "..", "~"):
        return source
    if source.startswith("~"):
        raise InvalidArgument(f"invalid volume source {source!r}: write the home folder's path")
    parts = cwd.rstrip("/").split("/")
    for part in source.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "/"


def _boolean(value: str) -> bool:
    if value.lower() not in ("1", "true", "0", "false"):
        raise InvalidArgument("use true or false")
    return value.lower() in ("1", "true")


def _octal(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise InvalidArgument("expected an octal number such as 1777") from None


def _one_of(*known: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise InvalidArgument(f"use {', '.join(known[:-1])} or {known[-1]}")
        return value

    return read


def _text(value: str) -> str:
    if not value:
        raise InvalidArgument("it is empty")
    return value


_MOUNT_FLAGS = frozenset(("readonly", "volume-nocopy"))
"""May stand without a value."""
_MOUNT_NAMES = {"src": "source", "destination": "target", "dst": "target", "ro": "readonly"}
_MOUNT_FIELDS: Mapping[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "type": (_one_of("bind", "volume", "tmpfs"), ("Type",)),
    "source": (str, ("Source",)),
    "target": (str, ("Target",)),
    "readonly": (_boolean, ("ReadOnly",)),
    "tmpfs-size": (parse_size, ("TmpfsOptions", "SizeBytes")),
    "tmpfs-mode": (_octal, ("TmpfsOptions", "Mode")),
    "bind-propagation": (
        _one_of("rprivate", "private", "rshared", "shared", "rslave", "slave"),
        ("BindOptions", "Propagation"),
    ),
    "bind-recursive": (lambda value: _RECURSION[_one_of(*_RECURSION)(value)], ("BindOptions",)),
    "volume-nocopy": (_boolean, ("VolumeOptions", "NoCopy")),
    "volume-subpath": (_text, ("VolumeOptions", "Subpath")),
    "volume-driver": (_text, ("VolumeOptions", "DriverConfig", "Name")),
    "volume-label": (lambda value: key_values((value,)), ("VolumeOptions", "Labels")),
    "volume-opt": (lambda value: key_values((value,), "option"), ("VolumeOptions", "DriverConfig", "Options")),
}
"""How each field is read, and its place in the API's document."""


def mount(text: str) -> dict[str, Any]:
    """One ``--mount``: ``type=bind,source=/a,target=/b,readonly``."""
    result: dict[str, Any] = {"Type": "volume", "Source": "", "Target": ""}
    for field in text.split(","):
        key, separator, value = field.partition("=")
        key = key.strip().lower()
        name = _MOUNT_NAMES.get(key, key)
        if name not in _MOUNT_FIELDS or not (separator or name in _MOUNT_FLAGS):
            raise InvalidArgument(f"invalid mount {text!r}: bad field {field!r} (known: {', '.join(_MOUNT_FIELDS)})")
        read, place = _MOUNT_FIELDS[name]
        try:
            _put(result, place, read(value if separator else "true"))
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid mount {text!r}: {key}: {error}") from None
    if not result["Target"].startswith("/"):
        raise InvalidArgument(f"invalid mount {text!r}: target=/PATH is required")
    if result["Type"] == "bind" and not result["Source"].startswith("/"):
        raise InvalidArgument(f"invalid mount {text!r}: a bind needs source=/PATH")
    return result


def _put(document: dict[str, Any], place: Sequence[str], value: Any) -> None:
    """Set a field; what several fields say of one object comes together in it."""
    *folders, last = place
    for folder in folders:
        document = document.setdefault(folder, {})
    if isinstance(value, dict):
        document.setdefault(last, {}).update(value)
    else:
        document[last] = value


def tmpfs(items: Iterable[str]) -> dict[str, str]:
    """``--tmpfs /path[:options]``."""
    pairs = [item.partition(":") for item in items]
    for path, _, _ in pairs:
        if not path.startswith("/"):
            raise InvalidArgument(f"invalid tmpfs {path!r}: the path in the container must be absolute")
    return {path: options for path, _, options in pairs}


def ports(published: Iterable[str], exposed: Iterable[str]) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    """``-p`` and ``--expose``: (ExposedPorts, PortBindings). Ranges are unfolded, pairwise."""
    exposing: dict[str, Any] = {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for item in exposed:
        for number, protocol in _container_ports(item, item):
            exposing[f"{number}/{protocol}"] = {}
    for item in published:
        host_ip, host_port, container = _split_port(item)
        inner = _container_ports(container, item)
        outer = [""] * len(inner) if not host_port else [str(n) for n in _port_range(host_port, item)]
        if len(inner) == 1 and len(outer) > 1:
            outer = [host_port]
        if len(inner) != len(outer):
            raise InvalidArgument(f"invalid port specification {item!r}: the two ranges differ in length")
        for (number, protocol), port in zip(inner, outer, strict=True):
            exposing[f"{number}/{protocol}"] = {}
            bindings.setdefault(f"{number}/{protocol}", []).append({"HostIp": host_ip, "HostPort": port})
    return exposing, bindings


def _split_port(item: str) -> tuple[str, str, str]:
    """[HOST-IP:][HOST-PORT:]CONTAINER; an IPv6 address stands in brackets."""
    rest, _, container = item.rpartition(":")
    if not rest:
        return "", "", container
    host_ip, separator, host_port = rest.rpartition(":")
    if host_ip.startswith("[") and host_ip.endswith("]"):
        host_ip = host_ip[1:-1]
    elif rest.startswith("[") or (separator and (":" in host_ip or not host_ip)):
        raise InvalidArgument(f"invalid port specification {item!r}: expected [[IP:]HOST-PORT:]PORT[/PROTOCOL]")
    return host_ip, host_port, container


def _container_ports(text: str, item: str) -> list[tuple[int, str]]:
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid port specification {item!r}: the protocol is one of {', '.join(_PROTOCOLS)}")
    return [(number, protocol) for number in _port_range(numbers, item)]


def _port_range(text: str, item: str) -> Sequence[int]:
    first, separator, last = text.partition("-")
    numbers = [first, last] if separator else [first, first]
    if not all(n.isascii() and n.isdigit() and len(n) <= 5 and 0 <= int(n) <= 65535 for n in numbers):
        raise InvalidArgument(f"invalid port specification {item!r}: {text!r} is no port (0-65535)")
    low, high = map(int, numbers)
    if low > high:
        raise InvalidArgument(f"invalid port specification {item!r}: {text!r} ends before it begins")
    return range(low, high + 1)


def restart_policy(text: str) -> dict[str, Any]:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``."""
    name, separator, count = text.partition(":")
    if name not in _RESTART or (separator and (name != "on-failure" or not count.isdigit() or len(count) > 9)):
        raise InvalidArgument(f"invalid restart policy {text!r}: use {', '.join(_RESTART)} or on-failure:N")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def nano_cpus(text: str) -> int:
    """``--cpus 1.5`` in billionths."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?|\.\d{1,9}", text, re.ASCII):
        raise InvalidArgument(f"invalid number of CPUs: {text!r}")
    return round(float(text) * 1_000_000_000)


def ulimit(text: str) -> dict[str, Any]:
    """``nofile=1024[:2048]``."""
    name, _, limits = text.partition("=")
    soft, separator, hard = limits.partition(":")
    if (
        name not in _RLIMITS
        or not re.fullmatch(r"-1|\d{1,19}", soft)
        or (separator and not re.fullmatch(r"-1|\d{1,19}", hard))
    ):
        raise InvalidArgument(f"invalid ulimit {text!r}: expected NAME=SOFT[:HARD]")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}


def filters(items: Iterable[str]) -> dict[str, list[str]]:
    """``--filter key=value``, repeated, as the API's ``filters``."""
    found: dict[str, list[str]] = {}
    for item in items:
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise InvalidArgument(f"invalid filter {item!r}: expected key=value")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found
