"""The builder's one entrance: a request in, an image out. The recipe reads from top to bottom."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from wherry.build import context
from wherry.build.entry import compiled, decided
from wherry.build.events import BuildEvent, Built, Tagged
from wherry.build.export import write_image
from wherry.build.graph import automatic_args, plan
from wherry.build.request import BuildRequest, BuildResult, BuildServices
from wherry.build.session import Session, epoch_of
from wherry.build.spool import Spool
from wherry.build.walk import Walk
from wherry.core.leases.store import Lease
from wherry.core.threads import blocking
from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument, NotFound, Unimplemented
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

_LEASE_SECONDS: Final = 24 * 3600.0


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
    epoch = epoch_of(build_args)
    host = services.default_platform
    asked = Platform.parse(request.platform, host) if request.platform else host
    async with _workplace(services) as (spool, lease):
        path = await spool.receive(request.context)
        found = await blocking(context.load, path, spool, request.dockerfile)
        automatic = automatic_args(host, asked)
        planned = plan(found.dockerfile, request.target, build_args, automatic)
        session = Session(request, services, found, planned, spool, lease, progress, epoch, build_args)
        state = await Walk(session, automatic).run()
        platform = await decided(session, state)
        if platform.is_wasm:
            await compiled(session, state)
        config = state.image(platform, session.created)
        result = await blocking(write_image, services, lease, state, config, tags)
    progress(Built(str(result.image_id), str(result.target.digest)))
    for tag in tags:
        progress(Tagged(tag.familiar()))
    return result


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
    now = services.clock()
    lease = Lease(f"build-{name}", now, now + _LEASE_SECONDS)
    try:
        # Within the block: a cancel that arrives while they are made is told when they have been.
        await blocking(services.leases.create, lease)
        await blocking(spool.open)
        yield spool, lease.id
    finally:
        await blocking(_clear, services, spool, lease)


def _clear(services: BuildServices, spool: Spool, lease: Lease) -> None:
    spool.close()
    try:
        services.leases.delete(lease.id)
    except NotFound:
        pass
