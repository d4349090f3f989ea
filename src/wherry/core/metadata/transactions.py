"""Writing a little without a thread: the contract, and how an event loop makes use of it.

To a thread and back takes longer than a commit that waits for no disk.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from wherry.errors import Unavailable

T = TypeVar("T")


class Taken(Unavailable):
    """It would have to wait for somebody: nothing was done."""


class Transactions(Protocol):
    """What all stores write to."""

    def at_once(self, work: Callable[[], T]) -> T:
        """Do ``work``, which writes a little to stores and does nothing else, in one transaction.

        Taken: that would have to wait. Else what ``work`` raises; then nothing is written.
        """

    def whole(self, work: Callable[[], T]) -> T:
        """The same, waiting for whoever writes. Blocks."""


async def promptly(transactions: Transactions, work: Callable[[], T]) -> T:
    """``work``, which writes a little: here and now if that waits for nobody, else in a thread."""
    try:
        return transactions.at_once(work)
    except Taken:
        return await asyncio.to_thread(transactions.whole, work)
