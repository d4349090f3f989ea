"""Registries asked without an image coming in: logins, and what a name stands for there.

Source: Docker Engine API v1.51, SystemAuth and DistributionInspect.
"""

from typing import Any

from wherry.core.remotes.remote import ANONYMOUS, Credentials, Document, Repository
from wherry.engine.services import EngineServices
from wherry.errors import InvalidArgument, NotFound, PermissionDenied
from wherry.oci.artifact import has_config
from wherry.oci.descriptor import Descriptor
from wherry.oci.document import DOCUMENT_LIMIT
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import DEFAULT_DOMAIN, Reference

Json = dict[str, Any]
_HUB_NAMES = frozenset({"", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io", DEFAULT_DOMAIN})


class Registries:
    """What the engine says of registries."""

    def __init__(self, services: EngineServices) -> None:
        self._services = services

    async def login(self, address: str, credentials: Credentials) -> Json:
        """Whether the registry at ``address``, as users write it, takes the login. Unauthenticated; Unavailable."""
        token = await self._services.remotes.login(domain_of(address), credentials)
        return {"Status": "Login Succeeded", "IdentityToken": token}

    async def inspect(self, name: str, credentials: Credentials = ANONYMOUS) -> Json:
        """``docker buildx imagetools`` and others ask this: the descriptor and the platforms of a name."""
        repository, document = await self._document(name, credentials)
        target = document.descriptor
        described = {"mediaType": target.media_type, "digest": str(target.digest), "size": target.size}
        platforms = [platform.to_json() for platform in await self._platforms(repository, document)]
        return {"Descriptor": described, "Platforms": platforms}

    async def manifest(self, name: str, credentials: Credentials = ANONYMOUS) -> Document:
        """The manifest or index as the registry has it."""
        return (await self._document(name, credentials))[1]

    async def _document(self, name: str, credentials: Credentials) -> tuple[Repository, Document]:
        reference = Reference.parse(name)
        repository = self._services.remotes.repository(reference.domain, reference.path, credentials)
        try:
            return repository, await repository.document(str(reference.digest or reference.tag))
        except NotFound as error:
            raise NotFound(f"no such manifest: {reference.familiar()}: {error}") from None
        except PermissionDenied as error:
            raise type(error)(f"{reference.familiar()}: {error}") from None

    async def _platforms(self, repository: Repository, document: Document) -> list[Platform]:
        parsed = parse_manifest(document.data, document.descriptor.media_type)
        if isinstance(parsed, Index):
            return [entry.platform for entry in parsed.manifests if entry.platform is not None]
        if not has_config(parsed):
            return []
        config = ImageConfig.parse(await _whole(repository, parsed.config))
        return [config.platform] if config.os and config.architecture else []


async def _whole(repository: Repository, blob: Descriptor) -> bytes:
    if blob.size > DOCUMENT_LIMIT:
        raise InvalidArgument(
            f"config {blob.digest} is too large: {blob.size} bytes, at most {DOCUMENT_LIMIT} are read"
        )
    return b"".join([piece async for piece in repository.fetch(blob)])


def domain_of(address: str) -> str:
    """``https://localhost:5000/`` -> ``localhost:5000``; everything that Docker Hub is called is ``docker.io``."""
    if address in _HUB_NAMES:
        return DEFAULT_DOMAIN
    host = (address.partition("://")[2] or address).partition("/")[0]
    if host in _HUB_NAMES:
        return DEFAULT_DOMAIN
    return Reference.parse_bare(f"{host}/x").domain if "." in host or ":" in host or host == "localhost" else _bad(host)


def _bad(host: str) -> str:
    raise InvalidArgument(f"invalid registry {host[:100]!r}: write HOST or HOST:PORT, like localhost:5000")
