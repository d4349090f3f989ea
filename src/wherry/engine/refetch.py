"""A damaged or missing blob, had once more from the registries that the images' names begin with."""

from collections.abc import Iterable, Mapping

from wherry.core.remotes import transfer
from wherry.core.remotes.remote import Credentials
from wherry.engine.bases import login_for
from wherry.engine.image_catalog import UNTAGGED
from wherry.engine.services import EngineServices
from wherry.errors import NotFound, WherryError
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.reference import Reference


class Refetch:
    """``logins`` are a client's, by registry address."""

    def __init__(self, services: EngineServices, logins: Mapping[str, Credentials]) -> None:
        self._services = services
        self._logins = logins

    async def blob(self, blob: Descriptor, names: Iterable[str]) -> None:
        """Fetch it again, from the first of the images' repositories that has it, and put it in place of what is here.
        NotFound: none has it, and why."""
        refusals = []
        for name in dict.fromkeys(names):
            if name.startswith(UNTAGGED):
                continue
            reference = Reference.parse_bare(name)
            try:
                await self._from(reference, blob)
            except WherryError as error:
                refusals.append(f"{reference.familiar_name}: {error}")
            else:
                return
        raise NotFound("; ".join(refusals) or "no registry is known that has it")

    async def _from(self, reference: Reference, blob: Descriptor) -> None:
        login = login_for(reference.domain, self._logins)
        repository = self._services.remotes.repository(reference.domain, reference.path, login)
        content = self._services.content
        if blob.media_type in mediatypes.MANIFESTS | mediatypes.INDEXES:
            await transfer.keep(await repository.document(str(blob.digest)), content, replace=True)
        else:
            await transfer.fetch(repository, blob, content, lambda _: None, replace=True)
