"""A lease for as long as some work lasts."""

import contextlib
from collections.abc import AsyncIterator

from wherry.core.leases.store import Lease, LeaseStore
from wherry.core.threads import blocking
from wherry.errors import NotFound

_LONGEST = 24 * 3600.0
"""Seconds that work may take; what takes longer is collected under its hands."""


@contextlib.asynccontextmanager
async def leased(leases: LeaseStore, lease_id: str, now: float) -> AsyncIterator[str]:
    """Hold lease ``lease_id`` inside the block; ``now`` in seconds since the epoch. It is given back however the block
    ends, also when that is cancelled while the lease is made: one that stays keeps all that is younger."""
    try:
        await blocking(leases.create, Lease(lease_id, now, now + _LONGEST))
        yield lease_id
    finally:
        with contextlib.suppress(NotFound):  # it was never made, or has expired
            await blocking(leases.delete, lease_id)
