"""The builder's one entrance: a request in, an image out. The recipe reads from top to bottom."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from wherry.build import context
from wherry.build.entry import compiled, decided
from wherry.build.events import BuildEvent, Built, Tagged
from wherry.build.export import name_image, store_image, store_index
from wherry.build.graph import automatic_args, plan
from wherry.build.request import BuildRequest, BuildResult, BuildServices
from wherry.build.session import Session, epoch_of
from wherry.build.spool import Spool
from wherry.build.walk import Walk
from wherry.core.leases.leased import leased
from wherry.core.threads import blocking
from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument, Unimplemented
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference


async def build(request: BuildRequest, services: BuildServices, progress: Callable[[BuildEvent], None]) -> BuildResult:
    """Build an image, store it and name it. ``progress`` is called from the event loop; what it raises ends the build.

    A build that fails or is cancelled leaves no image, no name and no snapshot; its blobs are the collector's, and
    what the cache learned stays. InvalidArgument: a fault in the request, the context, the Dockerfile or a module;
    NotFound: a file, stage or image that is named and not there; Unimplemented; ResourceExhausted: the disk is full.
    """
    if request.remote:
        raise Unimplemented("a remote build context is not supported: fetch it, and build from the folder")
    tags = tuple(_tag(name) for name in request.tags)
    build_args = {name: value for name, value in request.build_args.items() if value is not None}
    epoch_of(build_args)
    platforms = _platforms(request.platform, services.default_platform)
    async with _workplace(services) as (spool, lease):
        path = await spool.receive(request.context)
        found = await blocking(context.load, path, spool, request.dockerfile)
        made = [
            await _image(replace(request, platform=text), services, found, spool, lease, progress) for text in platforms
        ]
        result = made[0] if len(made) == 1 else await blocking(store_index, services, lease, made)
        await blocking(name_image, services, result.target, tags)
    progress(Built(str(result.image_id), str(result.target.digest)))
    for tag in tags:
        progress(Tagged(tag.familiar()))
    return replace(result, tags=tuple(map(str, tags)))


def _platforms(text: str, host: Platform) -> tuple[str, ...]:
    """The platforms asked for, each once; "" alone leaves it to the Dockerfile. InvalidArgument."""
    texts = [part.strip() for part in text.split(",")] if text else [""]
    return tuple({Platform.parse(part, host).normalized() if part else None: part for part in texts}.values())


async def _image(
    request: BuildRequest,
    services: BuildServices,
    found: context.Context,
    spool: Spool,
    lease: str,
    progress: Callable[[BuildEvent], None],
) -> BuildResult:
    """The image for the one platform of ``request``, stored and not named yet."""
    build_args = {name: value for name, value in request.build_args.items() if value is not None}
    host = services.default_platform
    automatic = automatic_args(host, Platform.parse(request.platform, host) if request.platform else host)
    planned = plan(found.dockerfile, request.target, build_args, automatic)
    session = Session(request, services, found, planned, spool, lease, progress, epoch_of(build_args), build_args)
    state = await Walk(session, automatic).run()
    platform = await decided(session, state)
    if platform.is_wasm:
        await compiled(session, state)
    return await blocking(store_image, services, lease, state, state.image(platform, session.created))


def _tag(name: str) -> Reference:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise InvalidArgument(f"invalid tag {one_line(name)}: a name cannot be given to a digest")
    return reference


@asynccontextmanager
async def _workplace(services: BuildServices) -> AsyncIterator[tuple[Spool, str]]:
    """A spool and a lease, both gone at the end, however it comes."""
    name = services.new_id()
    spool = Spool(services.temporary, name, services.largest)
    async with leased(services.leases, f"build-{name}", services.clock()) as lease:
        try:
            # Within the block: a cancel that arrives while it is made is told when it has been.
            await blocking(spool.open)
            yield spool, lease
        finally:
            await blocking(spool.close)
