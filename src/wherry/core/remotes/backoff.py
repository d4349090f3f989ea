"""When to try again: what is worth another attempt, and after how long. Pure.

Source: RFC 9110 section 10.2.3 (Retry-After).
"""

from email.utils import parsedate_to_datetime

ATTEMPTS = 5
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_FIRST = 0.25
_LONGEST = 30.0
_LONGEST_ASKED = 120.0


def delay(attempt: int, retry_after: str, now: float, jitter: float) -> float:
    """Seconds to wait after failed ``attempt`` (1 is the first); ``now`` in seconds since the epoch, ``jitter`` within
    0 .. 1. What the server asks for is kept, up to two minutes."""
    asked = _asked(retry_after.strip(), now)
    if asked is not None:
        return min(max(asked, 0.0), _LONGEST_ASKED)
    return float(min(_FIRST * 2 ** (attempt - 1), _LONGEST)) * (0.5 + jitter / 2)


def _asked(text: str, now: float) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return parsedate_to_datetime(text).timestamp() - now if text else None
    except (ValueError, OverflowError, TypeError):
        return None
