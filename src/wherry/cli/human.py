"""Sizes and times as docker prints and reads them. Pure: the present comes as a parameter.

Source: github.com/docker/go-units, whose rounding is kept so that both tools show the same words.
"""

import re

from wherry.errors import InvalidArgument

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# Compiled when used: `run` pays for this module's import, and rarely for its use.
_SIZE = r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)(?:i?b)?"
_DURATION = r"(\d{1,12}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _scaled(size: float, base: float, units: tuple[str, ...], precision: int) -> str:
    unit = 0
    while size >= base and unit < len(units) - 1:
        size /= base
        unit += 1
    return f"{size:.{precision}g}{units[unit]}"


def human_size(size: float) -> str:
    """Bytes in powers of 1000: ``22.8kB``, ``1.2MB``."""
    return _scaled(size, 1000.0, _DECIMAL, 3)


def binary_size(size: float) -> str:
    """Bytes in powers of 1024: ``1.5MiB``, as `stats` shows memory."""
    return _scaled(size, 1024.0, _BINARY, 4)


def human_duration(seconds: float) -> str:
    """A span in the words of docker: ``Less than a second``, ``2 minutes``, ``About an hour``."""
    if seconds < 1:
        return "Less than a second"
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    steps = (
        (whole < 60, whole, "second"),
        (minutes < 60, minutes, "minute"),
        (hours < 48, hours, "hour"),
        (hours < 24 * 7 * 2, hours // 24, "day"),
        (hours < 24 * 30 * 2, hours // 24 // 7, "week"),
        (hours < 24 * 365 * 2, hours // 24 // 30, "month"),
        (True, hours // 24 // 365, "year"),
    )
    count, unit = next((count, unit) for fits, count, unit in steps if fits)
    if count == 1:
        return {"minute": "About a minute", "hour": "About an hour"}.get(unit, f"1 {unit}")
    return f"{count} {unit}s"


def ago(then: float, now: float) -> str:
    """``2 minutes ago``; both in seconds since the epoch. Docker's zero time, year 1, shows as ``N/A``."""
    return "N/A" if then <= 0 else f"{human_duration(max(0.0, now - then))} ago"


def parse_size(text: str) -> int:
    """Bytes of ``512m``, ``1.5g``, ``64kb`` (powers of 1024). InvalidArgument in docker's words."""
    match = re.fullmatch(_SIZE, text.strip(), re.ASCII | re.IGNORECASE)
    if not match:
        raise InvalidArgument(f"invalid size: '{text}'")
    exponent = " kmgtp".index(match[2].lower() or " ")
    return int(float(match[1]) * 1024**exponent)


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration: ``1m30s``, ``500ms``. InvalidArgument names the text."""
    end, total = 0, 0.0
    for match in re.finditer(_DURATION, text, re.ASCII):
        if match.start() != end:
            break
        end = match.end()
        total += float(match[1]) * _SECONDS[match[2]]
    if text == "0":
        return 0
    if not text or end != len(text):
        raise InvalidArgument(f'invalid duration "{text}": write it like 30s, 5m or 1h30m')
    return round(total * 1_000_000_000)


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time of the Engine API; 0.0 for its zero time or nonsense."""
    from datetime import UTC, datetime

    # Docker writes nanoseconds; fromisoformat of 3.11 takes any number of digits but keeps microseconds.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp()) if moment.year > 1 else 0.0
