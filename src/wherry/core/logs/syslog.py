"""What is said to a syslog server, and where it is: addresses, facilities, formats. Pure; sending is in sending.py.

Source: RFC 3164, RFC 5424, RFC 5425; moby daemon/logger/syslog for the options, their defaults and errors.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from wherry.errors import InvalidArgument

_DEFAULT_PORT: Final = 514
_LOCAL: Final = "/dev/log"
_DAEMON: Final = "daemon"
_INFO: Final = 6
_ERROR: Final = 3
_FACILITIES: Final = {
    name: number
    for number, name in enumerate("kern user mail daemon auth syslog lpr news uucp cron authpriv ftp".split())
} | {f"local{number}": 16 + number for number in range(8)}
_FORMATS: Final = ("", "rfc3164", "rfc5424", "rfc5424micro")
_TLS: Final = "tcp+tls"
_SCHEMES: Final = ("udp", "tcp", _TLS, "unix", "unixgram")
_UNSAFE: Final = re.compile(r"[^!-~]+")
_LONGEST_TAG: Final = 128


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of PEM by which a server is known, "" for what the system trusts, and by which we are known to it."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """One server and how it is spoken to. ``scheme`` is udp, tcp, tcp+tls, unix (a stream), unixgram, or "" for the
    local server; ``path`` is a socket's; ``facility`` a number; ``format`` "" is what local servers are used to."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    facility: int = _FACILITIES[_DAEMON]
    format: str = ""
    tag: str = ""
    tls: Tls = Tls()

    @classmethod
    def parse(
        cls,
        address: str,
        facility: str,
        format: str,  # noqa: A002 - the option's name
        tag: str,
        tls: Tls = Tls(),
    ) -> "Target":
        """The options' texts. InvalidArgument, worded as docker's."""
        if format not in _FORMATS:
            raise InvalidArgument("Invalid syslog format")
        scheme, host, port, path = _address(address)
        tag = _UNSAFE.sub("_", tag)[:_LONGEST_TAG]
        return cls(scheme, host, port, path, _facility(facility), format, tag, tls)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme == _TLS

    def __str__(self) -> str:
        place = self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")
        return f"{self.scheme or 'unixgram'} {place}"

    def message(self, stream: str, time_ns: int, line: bytes, hostname: str, pid: int) -> bytes:
        """One line (without its newline) as the server wants it, with a newline. ``time_ns`` since the epoch."""
        priority = self.facility * 8 + (_ERROR if stream == "stderr" else _INFO)
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        if self.format.startswith("rfc5424"):
            fraction = f".{time_ns // 1000 % 1_000_000:06}" if self.format.endswith("micro") else ""
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
            head = f"<{priority}>1 {stamp} {hostname} {self.tag or '-'} {pid} {self.tag[:32] or '-'} - "
        else:
            # RFC 3164 gives days below ten a space, and local time; a server away from here is told the host's name.
            local = moment.astimezone()
            where = f"{hostname} " if self.format else ""
            head = f"<{priority}>{local:%b} {local.day:2} {local:%H:%M:%S} {where}{self.tag}[{pid}]: "
        message = head.encode() + line + b"\n"
        if self.secure and self.format.startswith("rfc5424"):
            return b"%d %b" % (len(message), message)  # RFC 5425, 4.3
        return message


def _address(text: str) -> tuple[str, str, int, str]:
    if not text:
        return "", "", 0, _LOCAL
    scheme, separator, rest = text.partition("://")
    if not separator or not rest:
        raise InvalidArgument(f"syslog-address should be in form proto://address, got {text[:120]}")
    if scheme not in _SCHEMES:
        raise InvalidArgument(f"unsupported scheme: '{scheme[:40]}' (known: {', '.join(_SCHEMES)})")
    if scheme.startswith("unix"):
        if not rest.startswith("/") or "\0" in rest:
            raise InvalidArgument(f"syslog-address: the path of a socket must be absolute, got {rest[:120]!r}")
        return scheme, "", 0, rest
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise InvalidArgument(f"invalid syslog-address: {text[:120]!r}")
    return scheme, host, _DEFAULT_PORT if port is None else port, ""


def _facility(text: str) -> int:
    if not text:
        return _FACILITIES[_DAEMON]
    if text in _FACILITIES:
        return _FACILITIES[text]
    if text.isascii() and text.isdecimal() and len(text) <= 2 and int(text) <= 23:
        return int(text)
    raise InvalidArgument("invalid syslog facility")
