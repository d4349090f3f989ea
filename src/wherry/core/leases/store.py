"""The lease store's contract: what keeps content and snapshots from the collector while work is under way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

ResourceKind = Literal["content", "snapshot"]


@dataclass(frozen=True, slots=True)
class Lease:
    """``expires`` in seconds since the epoch; after that the collector may drop it."""

    id: str
    created: float
    expires: float


class LeaseStore(Protocol):
    """Leases and what they hold. Durable when a call returns. All calls block; thread-safe."""

    def create(self, lease: Lease) -> None:
        """AlreadyExists."""

    def add(self, lease_id: str, kind: ResourceKind, *keys: str) -> None:
        """Hold resources (digests or snapshot keys), all or none. NotFound: the lease."""

    def delete(self, lease_id: str) -> None:
        """NotFound."""

    def walk(self) -> Iterator[Lease]:
        """Every lease."""

    def held(self) -> frozenset[tuple[ResourceKind, str]]:
        """Everything that some lease holds."""
