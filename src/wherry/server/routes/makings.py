"""Images of containers: `docker commit`. Of archives: see ``POST /images/create`` in registries.py."""

from collections.abc import Sequence

from wherry.engine.makings import Makings, Naming
from wherry.errors import InvalidArgument
from wherry.server.call import ApiRoute, Call, answer
from wherry.server.response import Response
from wherry.server.router import Route


class MakingRoutes:
    """The handler of ``/commit``."""

    def __init__(self, makings: Makings) -> None:
        self._makings = makings

    def table(self) -> Sequence[ApiRoute]:
        return (Route("POST", "/commit", self.commit),)

    async def commit(self, call: Call) -> Response:
        container = call.query.text("container")
        if not container:
            raise InvalidArgument("container names what is to be committed")
        pause = call.query.flag("pause", default=True)
        return answer(await self._makings.commit(container, naming(call), await call.optional_json(), pause=pause), 201)


def naming(call: Call) -> Naming:
    """What the query says of the image to be made."""
    query = call.query
    return Naming(
        repository=query.text("repo"),
        tag=query.text("tag"),
        comment=query.text("comment") or query.text("message"),
        author=query.text("author"),
        changes=[change for change in query.texts("changes") if change.strip()],
    )
