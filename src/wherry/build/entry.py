"""An image's entry: the file its command line begins with, and what kind of program that is."""

import posixpath
import re

from wherry.build.cache import fingerprint
from wherry.build.events import Compiling, Warned
from wherry.build.session import Session
from wherry.build.state import State
from wherry.build.tree import Data, Tree
from wherry.core.modules.compiler import Compiler
from wherry.core.threads import blocking
from wherry.dockerfile.faults import one_line
from wherry.errors import InvalidArgument
from wherry.oci.artifact import WASM
from wherry.oci.image import RunConfig
from wherry.oci.platform import Platform
from wherry.wasm.entry import check_entry

_MAGIC = b"\0asm"
_HTTP = "dev.wherry.http"
_MODULES = ".toml"
"""A server of HTTP may have a list of its modules for an entry."""
_PLAIN_NAME = re.compile(r"[a-zA-Z0-9_.][a-zA-Z0-9_.-]{0,99}")


def module_path(config: RunConfig, word: str) -> str:
    """The absolute path of the module that ``word``, an ``argv[0]``, names; ``#export`` is no part of it."""
    return posixpath.join("/", config.working_dir, word.partition("#")[0])


def entry_path(config: RunConfig) -> str:
    """The entry's absolute path, "" if the image has none."""
    command = _words(config)
    return module_path(config, command[0]) if command and command[0] else ""


def _words(config: RunConfig) -> tuple[str, ...]:
    return (*(config.entrypoint or ()), *(config.cmd or ()))


def file_at(tree: Tree, path: str) -> Data | None:
    """The content of the file at ``path``, links followed; None if there is no such file."""
    entry = tree.find(path)
    return entry.data if entry is not None and entry.kind == "file" else None


def is_module(data: Data | None) -> bool:
    """Whether it begins as WebAssembly does. Blocks."""
    return data is not None and data.head(4) == _MAGIC


async def decided(session: Session, state: State) -> Platform:
    """The stage's platform: what was asked for, or WebAssembly's if the entry is a module, or else the default."""
    if state.platform is not None:
        return state.platform
    if path := entry_path(state.config):
        data = file_at(await session.tree(state.layers), path)
        if await blocking(is_module, data):
            return WASM
    return session.services.default_platform.normalized()


async def compiled(session: Session, state: State) -> None:
    """Compile the image's entry module now, so that a bad one fails the build and no start waits for a good one.

    InvalidArgument: what is wrong with the module. An entry that is not there is no fault: a volume may bring it.
    """
    compiler, path = session.services.compiler, entry_path(state.config)
    if compiler is None or not path or (path.endswith(_MODULES) and _HTTP in state.config.labels):
        return
    data = file_at(await session.tree(state.layers), path)
    if data is None:
        session.progress(Warned(0, f"the image's entry {one_line(path)} is not in it"))
        return
    export = _words(state.config)[0].partition("#")[2] or "_start"
    key = fingerprint("compiled", await blocking(data.sha256), export)
    if await session.recall(key) is None:
        session.progress(Compiling(path))
        await _compile(session, compiler, data, path, export)
        await blocking(session.keep, key, None)


async def _compile(session: Session, compiler: Compiler, data: Data, path: str, export: str) -> None:
    name = posixpath.basename(path)
    copy = await blocking(session.spool.written, data.chunks(), name if _PLAIN_NAME.fullmatch(name) else "module.wasm")
    try:
        module = await compiler.ensure(copy, progress=lambda text: session.progress(Compiling(path, text)))
        check_entry(module.info, path, export)
    except InvalidArgument as error:
        raise InvalidArgument(f"the image's entry {one_line(path)}: {error}") from None
