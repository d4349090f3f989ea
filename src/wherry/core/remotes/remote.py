"""The contract of registries: names resolved, blobs fetched and pushed. Drivers lie beside this file; none is named.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from wherry.core.remotes.hosts import RegistryConfig
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

Outcome = Literal["pushed", "exists", "mounted"]
Source = Callable[[int], AsyncGenerator[bytes, None]]
"""A blob that can be read again and again, each time from that many bytes on."""
Progress = Callable[[int], None]
"""Told how many bytes of a blob went through by now; less than before when a blob begins anew."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks. ``identity_token`` is what a login gave instead of a password; ``registry_token`` is shown as it is."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def anonymous(self) -> bool:
        return not (self.username or self.identity_token or self.registry_token)


ANONYMOUS = Credentials()


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as the registry has it, verified."""

    descriptor: Descriptor
    data: bytes


class Repository(Protocol):
    """One repository of one registry, for one user. It holds nothing that must be closed.

    Any method raises: NotFound (no such repository, tag or blob), Unauthenticated (log in first), PermissionDenied,
    Unavailable (not there, or not speaking sense, after all attempts), FailedPrecondition (its certificate).
    """

    async def resolve(self, reference: str) -> Descriptor:
        """What a tag, or a digest, is the name of."""

    async def document(self, reference: str) -> Document:
        """The manifest or index by tag or digest. InvalidArgument: larger than any honest one; DataLoss: it is not what
        its digest says."""

    def fetch(self, blob: Descriptor) -> AsyncGenerator[bytes, None]:
        """The blob's bytes, never more than its size, taken up again where a connection broke. Nothing is verified:
        whoever stores them does (core/content)."""

    async def push(self, blob: Descriptor, source: Source, *, mount: str = "", progress: Progress) -> Outcome:
        """Give the registry a blob unless it has it; from its repository ``mount``, if it will."""

    async def push_document(self, document: Document, tag: str = "") -> None:
        """Give it a manifest or index, all of whose blobs it has, under its digest or ``tag``. One with a subject is
        found by `referrers` from then on, whatever the registry's age."""

    async def tags(self) -> list[str]:
        """Every tag, sorted."""

    async def referrers(self, digest: Digest) -> list[Descriptor]:
        """What refers to a manifest: signatures and the like. None is no error."""


class Remotes(Protocol):
    """All registries there are, reached as the user configured."""

    def repository(self, domain: str, path: str, credentials: Credentials = ANONYMOUS) -> Repository:
        """``domain`` and ``path`` are those of a canonical reference. Asks nobody yet."""

    async def login(self, domain: str, credentials: Credentials) -> str:
        """Find out whether the registry takes them; the identity token to keep instead of the password, "" if it gives
        none. Unauthenticated; Unavailable."""

    def reconfigure(self, config: RegistryConfig) -> None:
        """From the next request on, registries are reached as ``config`` says; the folders of CAs stay."""
