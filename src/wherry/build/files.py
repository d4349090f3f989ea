"""The steps that change files without running anything: COPY, ADD and WORKDIR."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace

from wherry.build import archive
from wherry.build.cache import fingerprint, fold
from wherry.build.graph import source, working_dir
from wherry.build.images import base_state
from wherry.build.placement import Attributes, Placement, mode_of, owner_of
from wherry.build.selection import Picked, digestible, pick
from wherry.build.session import Session
from wherry.build.state import State
from wherry.build.tree import Data, Entry, Tree
from wherry.core.diff.compression import decompressed, reading
from wherry.core.diff.tar_reader import TarReader
from wherry.core.threads import blocking
from wherry.dockerfile import words
from wherry.dockerfile.faults import one_line
from wherry.dockerfile.instructions import Add, Copy, Transfer, Workdir
from wherry.errors import InvalidArgument, Unimplemented

_LARGEST_HEREDOCS = 8 << 20
"""Characters of all here-documents of one instruction, expanded."""

_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "ftp://")


async def transfer(session: Session, stage: int, state: State, step: Transfer) -> tuple[State, bool]:
    """COPY and ADD: the stage after it, and whether the cache had it."""
    _check_sources(step)
    tree = await source_tree(session, stage, step.from_stage if isinstance(step, Copy) else "")
    chown_root = await session.tree(state.layers) if _is_named(step.chown) else Tree()
    picked, key = await blocking(_selected, session, state, step, tree, chown_root)
    record = await session.recall(key)
    if record is not None:
        return _after(state, step.text, key, record.layer is None).with_layer(record.layer, key), True
    root = await session.tree(state.layers)
    placement = await blocking(_placed, session, state, step, picked, root)
    layer = await session.store(key, placement.changes, placement.after, state)
    return _after(state, step.text, key, layer is None).with_layer(layer, key), False


def _after(state: State, text: str, key: str, empty: bool) -> State:
    return replace(state, key=key).with_history(text, empty=empty)


def _check_sources(step: Transfer) -> None:
    """Only files of the context and of stages are there to be had. InvalidArgument; Unimplemented."""
    for path in step.sources:
        if path.startswith(_REMOTE):
            if isinstance(step, Copy):
                raise InvalidArgument(f"source can't be a URL for COPY: {one_line(path)}")
            raise Unimplemented(f"ADD of a URL is not supported: download {one_line(path)} first, then COPY it")
    if isinstance(step, Add) and step.checksum:
        raise InvalidArgument("checksum can't be specified for non-HTTP(S) sources")


async def source_tree(session: Session, stage: int, name: str) -> Tree:
    """What ``--from=name`` of stage number ``stage`` stands for; "" is the context."""
    if not name:
        return session.context.tree
    found = source(session.plan.dockerfile, stage, name)
    if isinstance(found, int):
        return await session.tree(session.stages[found].layers)
    return await session.tree((await base_state(session, found, "")).layers)


def _is_named(chown: str) -> bool:
    return any(part and not part.isdigit() for part in chown.split(":"))


def _selected(session: Session, state: State, step: Transfer, tree: Tree, root: Tree) -> tuple[list[Picked], str]:
    """The sources, and the key of all that the layer depends on."""
    from_context = not (isinstance(step, Copy) and step.from_stage)
    parents = isinstance(step, Copy) and step.parents
    picked = list(pick(tree, step.sources, step.exclude, parents=parents, context=from_context))
    picked += _heredocs(session, state, step)
    owner = owner_of(step.chown, root)
    unpack = step.unpack is not False if isinstance(step, Add) else None
    several = len(step.sources) + len(step.files) > 1
    what = [_target(state, step.target), owner, mode_of(step.chmod), unpack, several, session.epoch]
    return picked, fold(fingerprint(state.key, "transfer", *what), digestible(picked))


def _heredocs(session: Session, state: State, step: Transfer) -> Iterator[Picked]:
    """The here-documents as files. They go to disk: a short text may expand to a long one, many times."""
    room = _LARGEST_HEREDOCS
    for file in step.files:
        text = file.chomped
        if file.expand:
            text = words.expand_text(text, state.variables, limit=room)
        room -= len(text)
        content = text.encode()
        data = Data(session.spool.written([content]), size=len(content))
        yield Picked(posixpath.basename(file.name), Entry("file", 0o644, data=data))


def _target(state: State, target: str) -> str:
    if not target.startswith("/"):
        target = posixpath.join("/", state.config.working_dir, target)
    return target


def _placed(session: Session, state: State, step: Transfer, picked: Sequence[Picked], root: Tree) -> Placement:
    if isinstance(step, Add) and step.unpack is not False:
        picked = [_unpacked(session, source) for source in picked]
    attributes = Attributes(owner_of(step.chown, root), mode_of(step.chmod))
    placement = Placement(root, attributes)
    placement.put(_target(state, step.target), picked, several=len(step.sources) + len(step.files) > 1)
    return placement


def _unpacked(session: Session, picked: Picked) -> Picked:
    """An archive as the folder it holds; anything else as it is."""
    if picked.entry.kind != "file" or not _is_archive(session, picked):
        return picked
    with open(session.spool.written(picked.entry.data.chunks()), "rb") as packed:
        path = session.spool.plain(packed, picked.name)
    tree = archive.tree_of(path)
    return Picked(picked.name, Entry("folder", 0o755), tuple(tree.walk()), picked.kept)


def _is_archive(session: Session, picked: Picked) -> bool:
    """Whether the content, uncompressed, begins with a tar header."""
    head = session.spool.written([picked.entry.data.head(1 << 20)])
    try:
        with open(head, "rb") as file, reading(picked.name):
            # Its first entry may be longer than what was kept of it; only the header counts.
            return next(iter(TarReader(decompressed(file))), None) is not None
    except InvalidArgument:
        return False


async def workdir(session: Session, state: State, step: Workdir) -> tuple[State, bool]:
    """WORKDIR: the folder is made if it is not there."""
    if not step.path:
        raise InvalidArgument("WORKDIR can not be an empty string")
    path = working_dir(state.config.working_dir, step.path)
    state = replace(state, config=replace(state.config, working_dir=path))
    key = fingerprint(state.key, "workdir", path, session.epoch)
    record = await session.recall(key)
    if record is not None:
        return _after(state, step.text, key, record.layer is None).with_layer(record.layer, key), True
    placement = Placement(await session.tree(state.layers))
    placement.folder(path)
    layer = await session.store(key, placement.changes, placement.after, state)
    return _after(state, step.text, key, layer is None).with_layer(layer, key), False
