"""Base images of builds, pulled by the engine. The builder's contract is in build/request.py."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from wherry.core.remotes.remote import ANONYMOUS, Credentials
from wherry.engine.pulls import PullRequest, Pulls
from wherry.engine.registries import domain_of
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference


class BaseImages:
    """A `Fetcher`. ``logins`` are a client's, by registry address."""

    def __init__(self, pulls: Pulls, logins: Mapping[str, Credentials]) -> None:
        self._pulls = pulls
        self._logins = logins

    async def fetch(
        self, reference: Reference, platform: Platform | None, tell: Callable[[Mapping[str, Any]], None]
    ) -> None:
        """See `Fetcher.fetch`."""
        request = PullRequest(reference, str(platform or ""), login_for(reference.domain, self._logins))
        async with aclosing(self._pulls.stream(request)) as messages:
            async for message in messages:
                if error := message.get("error"):
                    raise NotFound(error)
                tell(message)


def login_for(domain: str, logins: Mapping[str, Credentials]) -> Credentials:
    """A client's login for a registry; nobody, if it has none."""
    for address, credentials in logins.items():
        try:
            if domain_of(address) == domain:
                return credentials
        except InvalidArgument:
            continue  # what a client has for other registries is no matter of this one
    return ANONYMOUS
