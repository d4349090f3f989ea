"""How much of what costs a server more than its client is let pass: a bucket that fills again. No clock: times are
given, in seconds."""

from __future__ import annotations


class Calm:
    """``most`` may be spent at once, ``rate`` of it comes back each second."""

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, most: float, rate: float, now: float) -> None:
        self._most = self._left = most
        self._rate = rate
        self._at = now

    def spend(self, now: float) -> bool:
        """One more; False: that was one too many."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        return self._left >= 0

    def earn(self, amount: float = 1) -> None:
        """Something was done that is what a client is here for."""
        self._left = min(self._most, self._left + amount)
