"""Builds by the classic builder's API: a build's events as the JSON messages that `docker build` prints.

What a build does lies in the floor below; its RUN steps are run by a `StepRunner` (see steprunner.py).
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from wherry.build.cache import Kept, Record
from wherry.build.cachemounts import CacheMounts
from wherry.build.classic import messages
from wherry.build.events import BuildEvent, Built, StepOutput
from wherry.build.indexes import LayerIndexes
from wherry.build.request import BuildRequest, BuildResult, BuildServices, StepRunner
from wherry.build.solver import build
from wherry.core.remotes.remote import Credentials
from wherry.engine.bases import BaseImages
from wherry.engine.disk import CACHE_ID
from wherry.engine.filters import checked, moment
from wherry.engine.images import Images
from wherry.engine.progress import followed
from wherry.engine.pulls import Pulls
from wherry.engine.services import EngineConfig, EngineServices
from wherry.engine.transfer import temporary_folder
from wherry.errors import InvalidArgument, Unimplemented

Json = dict[str, Any]
_QUEUED: Final = 4 << 20
"""Bytes of a RUN's output that wait for a client; what is more, is dropped and said to be."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The query of ``POST /build``, read. ``tags`` are names as users type them; ``quiet`` tells the id alone."""

    tags: tuple[str, ...] = ()
    dockerfile: str = "Dockerfile"
    remote: str = ""
    quiet: bool = False
    no_cache: bool = False
    squash: bool = False
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: str = ""
    network: str = ""
    cache_from: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    pull: bool = False
    logins: Mapping[str, Credentials] = field(default_factory=dict)


def secrets_folder(config: EngineConfig) -> str:
    """Where secrets of builds lie while they are used: in memory, as all of the state folder on most machines."""
    return os.path.join(config.state, "secrets")


class NoCache:
    """A `BuildCache` that keeps nothing."""

    def get(self, key: str, *, now: float) -> Record | None:
        """Never a hit."""
        return None

    def put(self, key: str, record: Record, *, now: float) -> None:
        """Forgotten at once."""

    def drop(self, *, unused_since: float) -> int:
        """There is nothing to drop."""
        return 0

    def kept(self) -> Sequence[Kept]:
        """There is nothing."""
        return ()


class Builds:
    """`docker build` without BuildKit."""

    def __init__(self, services: EngineServices, images: Images, pulls: Pulls, runner: StepRunner | None) -> None:
        self._services = services
        self._runner = runner
        self._images = images
        self._pulls = pulls
        self._cache = services.build_cache or NoCache()
        self._indexes = LayerIndexes()
        self._cache_mounts = CacheMounts(os.path.join(services.config.root, "build-mounts"))

    async def build(self, options: BuildOptions, context: AsyncIterator[bytes]) -> AsyncIterator[Json]:
        """The build's messages, as they come. What fails before the first message is raised; later, it is the last one.

        Closing the iterator cancels the build.
        """
        if options.squash:
            raise Unimplemented("--squash is not offered: layers are shared between images instead")
        mailbox = _Mailbox()
        task = asyncio.create_task(self._run(options, context, mailbox))
        async with aclosing(followed(task, _said(task, mailbox, quiet=options.quiet))) as said:
            async for message in said:
                yield message

    async def _run(self, options: BuildOptions, context: AsyncIterator[bytes], mailbox: "_Mailbox") -> BuildResult:
        request = BuildRequest(
            context=context,
            dockerfile=options.dockerfile,
            tags=options.tags,
            build_args=options.build_args,
            labels=options.labels,
            target=options.target,
            platform=options.platform,
            no_cache=options.no_cache,
            pull=options.pull,
            remote=options.remote,
            network=options.network,
            cache_from=options.cache_from,
            secrets=options.secrets,
        )
        try:
            try:
                result = await build(request, self._build_services(options.logins), mailbox.put)
            finally:
                self._images.catalog.forget()
            await self._images.warm(str(result.target.digest))
            return result
        finally:
            mailbox.close()

    def _build_services(self, logins: Mapping[str, Credentials]) -> BuildServices:
        services = self._services
        return BuildServices(
            content=services.content,
            images=services.images,
            snapshots=services.snapshots,
            leases=services.leases,
            cache=self._cache,
            temporary=temporary_folder(services.config),
            default_platform=services.config.default_platform,
            clock=lambda: services.clock() / 1e9,
            new_id=services.new_id,
            compiler=services.compiler,
            runner=self._runner,
            indexes=self._indexes,
            cache_mounts=self._cache_mounts,
            private=secrets_folder(services.config),
            fetcher=BaseImages(self._pulls, logins),
        )

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> Json:
        """Forget the layer cache, and drop what only it pointed at. The filter ``until``: only what no build used since
        then, and no cache mounts; as with moby's builder, all others are passed over. InvalidArgument."""
        now = self._services.clock()
        until = checked(filters, (*filters, "until")).get("until", ())
        if len(until) > 1:
            raise InvalidArgument("filters expect only one value: until")
        limit = moment(until[0], now) if until else now
        before = {kept.key for kept in await asyncio.to_thread(self._cache.kept)}
        await asyncio.to_thread(lambda: self._cache.drop(unused_since=limit / 1e9))
        dropped = before - {kept.key for kept in await asyncio.to_thread(self._cache.kept)}
        mounts = await asyncio.to_thread(self._cache_mounts.clear) if not until else 0
        deleted = sorted(key[:CACHE_ID] for key in dropped)
        reclaimed = mounts + await self._images.collect()
        self._images.pruned("builder", reclaimed)
        return {"CachesDeleted": deleted or None, "SpaceReclaimed": reclaimed}


class _Mailbox:
    """Events from the build to whoever reads them. Putting never waits; only a RUN's output can be dropped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[BuildEvent | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._dropped = 0

    def put(self, event: BuildEvent) -> None:
        """Of the event loop's thread."""
        if isinstance(event, StepOutput):
            if self._waiting > _QUEUED:
                self._dropped += len(event.data)
                return
            self._waiting += len(event.data)
            if self._dropped:
                notice = f"[{self._dropped} bytes of output were dropped: the client reads too slowly]\n"
                self._queue.put_nowait(replace(event, data=notice.encode()))
                self._dropped = 0
        elif isinstance(event, Built):
            # The engine knows images by their manifest; the build itself speaks of configurations.
            event = replace(event, image_id=event.manifest)
        self._queue.put_nowait(event)

    def close(self) -> None:
        """No more will come."""
        self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[BuildEvent]:
        """Every event until `close`."""
        while (event := await self._queue.get()) is not None:
            if isinstance(event, StepOutput):
                self._waiting -= len(event.data)
            yield event


async def _said(task: asyncio.Task[BuildResult], mailbox: _Mailbox, *, quiet: bool) -> AsyncGenerator[Json, None]:
    """Of a quiet build its digest alone is said."""
    async for event in mailbox.events():
        for message in () if quiet else messages(event):
            yield message
    result = await task
    if quiet:
        yield {"stream": f"{result.target.digest}\n"}
