"""The mounts of one RUN: what its ``--mount`` flags mean, made ready on the host before it, put away after it."""

import os
import posixpath
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from wherry.build.cache import fingerprint, fold
from wherry.build.files import source_tree
from wherry.build.layout import lay_out
from wherry.build.request import StepMount
from wherry.build.selection import Picked, digestible
from wherry.build.session import Session
from wherry.build.state import State
from wherry.build.tree import Tree
from wherry.core.faults import translating
from wherry.core.threads import blocking
from wherry.dockerfile import words
from wherry.dockerfile.faults import one_line
from wherry.dockerfile.instructions import Run
from wherry.dockerfile.mounts import RunMount
from wherry.errors import InvalidArgument, NotFound, Unimplemented

_SECRETS: Final = "/run/secrets"
_LARGEST_SECRET: Final = 500 << 10
"""Bytes; BuildKit's bound."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One mount. ``tree`` and ``path`` are what a bind shows, or what a new cache begins with."""

    flag: RunMount
    target: str
    tree: Tree | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """``env`` are secrets that are asked for as variables."""

    mounts: tuple[StepMount, ...] = ()
    env: tuple[str, ...] = ()


async def wanted(session: Session, stage: int, state: State, step: Run) -> tuple[Wanted, ...]:
    """The mounts of ``step``, its variables expanded. InvalidArgument; NotFound: a source; Unimplemented: ssh."""
    flags = step.mounts(words.Expander(state.variables, session.plan.dockerfile.escape))
    return tuple([await _wanted(session, stage, state, flag) for flag in flags])


async def _wanted(session: Session, stage: int, state: State, flag: RunMount) -> Wanted:
    if flag.type == "ssh":
        raise Unimplemented("RUN --mount=type=ssh is not offered: no agent can be forwarded")
    found = Wanted(flag, _target(state, flag))
    if flag.type == "bind" or (flag.type == "cache" and flag.from_stage):
        tree = await source_tree(session, stage, flag.from_stage)
        path = tree.resolve(flag.source)
        if tree.get(path) is None:
            raise NotFound(f'failed to calculate checksum: "/{one_line(path)}": not found')
        return replace(found, tree=tree, path=path)
    return found


def _target(state: State, flag: RunMount) -> str:
    """Where in the root; "" for a secret that is a variable only."""
    target = flag.target
    if flag.type == "secret":
        if not target and flag.env:
            return ""
        target = target or posixpath.join(_SECRETS, posixpath.basename(_secret_id(flag)))
    if not target:
        raise InvalidArgument(f"RUN --mount=type={flag.type} needs a target")
    path = posixpath.normpath(posixpath.join("/", state.config.working_dir, target)).replace("//", "/")
    if path == "/":
        raise InvalidArgument('invalid mount target "/"')
    return path


def _secret_id(flag: RunMount) -> str:
    return flag.id or flag.source or posixpath.basename(flag.target)


def key_of(mounts: Sequence[Wanted]) -> str:
    """What a layer depends on of the mounts: the files that are shown, not what caches or secrets hold. Blocks."""
    keys = []
    for item in mounts:
        flag = item.flag
        key = fingerprint("mount", flag.type, item.target, flag.id, flag.read_only, flag.size, flag.env)
        if item.tree is not None and (entry := item.tree.get(item.path)) is not None:
            key = fold(key, digestible([Picked("", entry, tuple(item.tree.walk(item.path)))]))
        keys.append(key)
    return fingerprint("mounts", *keys)


@asynccontextmanager
async def ready(session: Session, mounts: Sequence[Wanted]) -> AsyncIterator[Ready]:
    """Make them ready; all but caches is gone again at the end. InvalidArgument: a secret that must be there is not."""
    async with AsyncExitStack() as stack:
        found: list[StepMount] = []
        env: list[str] = []
        for item in mounts:
            match item.flag.type:
                case "tmpfs":
                    found.append(StepMount(item.target, size=item.flag.size))
                case "bind":
                    found.append(await _bound(session, item))
                case "cache":
                    found.append(await stack.enter_async_context(_cache(session, item)))
                case "secret" if (content := _secret(session, item.flag)) is not None:
                    if item.flag.env:
                        env.append(f"{item.flag.env}={content.decode('utf-8', 'surrogateescape')}")
                    if item.target:
                        found.append(stack.enter_context(_secret_file(session, item, content)))
        yield Ready(tuple(found), tuple(env))


async def _bound(session: Session, item: Wanted) -> StepMount:
    """A copy: what the RUN writes to it is nobody's."""
    place = session.spool.free()
    assert item.tree is not None  # `_wanted` saw to it
    await blocking(lay_out, item.tree, item.path, place)
    return StepMount(item.target, place, writable=not item.flag.read_only)


@asynccontextmanager
async def _cache(session: Session, item: Wanted) -> AsyncIterator[StepMount]:
    caches, flag = session.services.cache_mounts, item.flag
    if caches is None:
        raise Unimplemented("RUN --mount=type=cache is not offered by this engine")
    name = flag.id or item.target
    async with caches.use(name, flag.sharing or "shared", partial(_new_cache, item)) as folder:
        yield StepMount(item.target, folder, writable=not flag.read_only)


def _new_cache(item: Wanted, path: str) -> None:
    entry = item.tree.get(item.path) if item.tree is not None else None
    if item.tree is not None and entry is not None and entry.kind == "folder":
        lay_out(item.tree, item.path, path)
    else:
        os.mkdir(path)
    flag = item.flag
    os.chmod(path, 0o755 if flag.mode is None else flag.mode)
    if os.geteuid() == 0:
        os.chown(path, flag.uid or 0, flag.gid or 0)


def _secret(session: Session, flag: RunMount) -> bytes | None:
    name = _secret_id(flag)
    content = session.request.secrets.get(name)
    if content is None and flag.required:
        raise InvalidArgument(f"secret {one_line(name)}: not found")
    if content is not None and len(content) > _LARGEST_SECRET:
        raise InvalidArgument(f"secret {one_line(name)}: larger than {_LARGEST_SECRET >> 10} KiB")
    return content


@contextmanager
def _secret_file(session: Session, item: Wanted, content: bytes) -> Iterator[StepMount]:
    """In a folder of memory that nobody else may enter."""
    private = session.services.private
    if not private:
        raise Unimplemented("RUN --mount=type=secret is not offered by this engine")
    folder = os.path.join(private, f"secret-{session.services.new_id()}")
    with translating("keep a secret for a RUN"):
        os.makedirs(folder, mode=0o700)
    try:
        path = os.path.join(folder, "secret")
        with translating("keep a secret for a RUN"):
            with open(path, "xb") as file:
                file.write(content)
            if os.geteuid() == 0:
                os.chown(path, item.flag.uid or 0, item.flag.gid or 0)
            os.chmod(path, 0o400 if item.flag.mode is None else item.flag.mode)
        yield StepMount(item.target, path, writable=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are in use
            os.rmdir(private)
