"""Health checks from outside: a GET of a path of the container's own server. What a result means is in health.py.

A WASM container has no shell and no curl to look at itself with; the label says what is to be asked for instead.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wherry.engine.networks.ports import exposed
from wherry.errors import InvalidArgument

LABEL: Final = "dev.wherry.healthcheck.http"
"""``/path``, asked of the lowest TCP port that is published, or else exposed; or ``:PORT/path``."""

_FORM: Final = re.compile(r"(?::([0-9]{1,5}))?(/[!-~]{0,2000})")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([ -~]{0,200}))?\r?\n")
_LONGEST_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """Where to ask and for what."""

    port: int
    path: str


def target_of(config: Mapping[str, Any], host: Mapping[str, Any]) -> HttpTarget | None:
    """What the label of these Config and HostConfig asks for; None without it. InvalidArgument."""
    text = (config.get("Labels") or {}).get(LABEL)
    if text is None:
        return None
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"invalid label {LABEL}={text[:80]!r}: it is /path or :PORT/path")
    if match[1] is None:
        return HttpTarget(_port(config, host), match[2])
    if not 1 <= int(match[1]) <= 0xFFFF:
        raise InvalidArgument(f"invalid label {LABEL}={text[:80]!r}: ports go from 1 to 65535")
    return HttpTarget(int(match[1]), match[2])


def _port(config: Mapping[str, Any], host: Mapping[str, Any]) -> int:
    for documents in (host.get("PortBindings"), config.get("ExposedPorts")):
        found = [port for port, protocol in exposed(documents or {}) if protocol == "tcp"]
        if found:
            return found[0]
    raise InvalidArgument(f"label {LABEL}: no TCP port is published or exposed: name it, as in :8080/path")


async def ask(address: str, target: HttpTarget) -> tuple[int, str]:
    """0 for an answer below 400, else 1; and what came. The caller sees to a timeout."""
    url = f"http://{address}:{target.port}{target.path}"
    try:
        reader, writer = await asyncio.open_connection(address, target.port, limit=_LONGEST_LINE)
    except OSError as error:
        return 1, f"GET {url}: {_reason(error)}"
    try:
        head = f"GET {target.path} HTTP/1.1\r\nHost: {address}:{target.port}\r\nUser-Agent: wherry-healthcheck\r\n"
        writer.write(f"{head}Accept: */*\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
    except (OSError, ValueError) as error:  # ValueError: a line without an end
        return 1, f"GET {url}: {error}"
    finally:
        writer.transport.abort()  # nobody wants the rest, however much it is
    match = _STATUS.fullmatch(line)
    if match is None:
        return 1, f"GET {url}: the answer is no HTTP: {line[:80]!r}"
    status = int(match[1])
    return int(not 200 <= status < 400), f"GET {url}: {status} {(match[2] or b'').decode()}".rstrip()


def _reason(error: OSError) -> str:
    """asyncio's own words have the address once more."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "cannot connect"
