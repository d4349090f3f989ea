"""What the steps of one build share: its request and services, its temporary files, the trees of roots, the cache."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from wherry.build import archive
from wherry.build.cache import Layer, Record
from wherry.build.context import Context
from wherry.build.events import BuildEvent
from wherry.build.graph import Plan
from wherry.build.layer import write_layer
from wherry.build.request import BuildRequest, BuildServices
from wherry.build.spool import Spool
from wherry.build.state import State
from wherry.build.tree import Entry, Tree
from wherry.core.threads import blocking
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.digest import Digest

_TREES_KEPT: Final = 8
EPOCH_ARG: Final = "SOURCE_DATE_EPOCH"


class _Trees:
    """Roots by the layers that make them: the few that were used last, for each takes memory for all its names."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Digest, ...], Tree] = OrderedDict()

    def nearest(self, layers: tuple[Digest, ...]) -> tuple[int, Tree]:
        """The tree of the most of the lowest ``layers``, and how many those are."""
        for count in range(len(layers), 0, -1):
            if (tree := self._kept.get(layers[:count])) is not None:
                self._kept.move_to_end(layers[:count])
                return count, tree
        return 0, Tree()

    def keep(self, layers: tuple[Digest, ...], tree: Tree) -> None:
        """Remember a tree, and forget the one that was not used for longest."""
        self._kept[layers] = tree
        self._kept.move_to_end(layers)
        if len(self._kept) > _TREES_KEPT:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Session:
    """One build. ``epoch`` (seconds) is every time that the image contains; ``stages`` the finished ones by index."""

    request: BuildRequest
    services: BuildServices
    context: Context
    plan: Plan
    spool: Spool
    lease: str
    progress: Callable[[BuildEvent], None]
    epoch: int
    build_args: Mapping[str, str]
    stages: dict[int, State] = field(default_factory=dict)
    trees: _Trees = field(default_factory=_Trees)

    @property
    def created(self) -> str:
        """`epoch` as RFC 3339 text."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def tree(self, layers: Sequence[Layer]) -> Tree:
        """The root that the layers make. It is shared: copy it before changing it. DataLoss; InvalidArgument."""
        names = tuple(layer.diff_id for layer in layers)
        known, tree = self.trees.nearest(names)
        if known < len(names):
            tree = await blocking(self._extended, tree, layers[known:])
            self.trees.keep(names, tree)
        return tree

    def _extended(self, tree: Tree, layers: Sequence[Layer]) -> Tree:
        tree = tree.copy()
        for layer in layers:
            archive.apply_layer(tree, self.services.indexes.members(layer.diff_id, partial(self._plain, layer)))
        return tree

    def _plain(self, layer: Layer) -> str:
        """The path of the layer's archive, uncompressed."""
        with self.services.content.open(layer.descriptor.digest) as blob:
            return self.spool.plain(blob, f"layer {layer.descriptor.digest}")

    async def recall(self, key: str) -> Record | None:
        """What the cache has for ``key``, if its layer is still there; it is held until the build ends."""
        return None if self.request.no_cache else await blocking(self._recall, key)

    def _recall(self, key: str) -> Record | None:
        record = self.services.cache.get(key, now=self.services.clock())
        if record is None or record.layer is None:
            return record
        digest = record.layer.descriptor.digest
        self.services.leases.add(self.lease, "content", str(digest))
        try:
            self.services.content.info(digest)
        except NotFound:
            return None
        return record

    async def store(self, key: str, changes: Mapping[str, Entry], after: Tree, state: State) -> Layer | None:
        """Make ``changes`` a layer on top of ``state``, which makes its root ``after``; no changes, no layer."""
        layer = await blocking(self._store, key, changes)
        if layer is not None:
            self.trees.keep((*(below.diff_id for below in state.layers), layer.diff_id), after)
        return layer

    def _store(self, key: str, changes: Mapping[str, Entry]) -> Layer | None:
        layer = write_layer(self.services.content, changes, mtime=self.epoch) if changes else None
        self.keep(key, layer)
        return layer

    def keep(self, key: str, layer: Layer | None) -> None:
        """Remember what a step made, and hold it until the build ends. Blocks."""
        if layer is not None:
            self.services.leases.add(self.lease, "content", str(layer.descriptor.digest))
        self.services.cache.put(key, Record(layer), now=self.services.clock())


def epoch_of(build_args: Mapping[str, str]) -> int:
    """The time for everything in the image: SOURCE_DATE_EPOCH, or else 1970's first second: equal contexts shall make
    equal images, and neither the clock nor a file's time of checkout is part of what was built. InvalidArgument."""
    text = build_args.get(EPOCH_ARG, "") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) < 2**33):
        raise InvalidArgument(f"invalid {EPOCH_ARG}: {text[:40]!r} (seconds since 1970)")
    return int(text)
