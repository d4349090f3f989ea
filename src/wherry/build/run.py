"""RUN: a program of the stage's own root is run on it, and what it changed becomes the layer."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wherry.build import stubs
from wherry.build.cache import Layer, fingerprint
from wherry.build.cachefrom import layer_of
from wherry.build.entry import file_at, is_module, module_path
from wherry.build.events import StepOutput
from wherry.build.request import RunStep, StepFailed, StepMount, StepRunner
from wherry.build.rootfs import Rootfs
from wherry.build.runmounts import Ready, Wanted, key_of, ready, wanted
from wherry.build.session import Session
from wherry.build.state import State, shell_words
from wherry.build.tree import Tree
from wherry.core.threads import blocking
from wherry.dockerfile import words
from wherry.dockerfile.faults import one_line
from wherry.dockerfile.instructions import Run
from wherry.dockerfile.lines import Heredoc
from wherry.errors import InvalidArgument, NotFound, Unimplemented
from wherry.oci.artifact import WASM
from wherry.oci.platform import Platform

_SCRIPTS = "/dev/pipes"
"""Where a here-document that names its own interpreter lies while it runs; BuildKit's place."""

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class _Work:
    """All that a RUN is; ``script`` is what has to lie at ``argv[0]``, "" for nothing."""

    platform: Platform
    argv: tuple[str, ...]
    network: str
    mounts: tuple[Wanted, ...]
    script: str = ""


async def run(session: Session, number: int, stage: int, state: State, step: Run) -> tuple[State, bool]:
    """The stage after step ``number``, and whether the cache had it. StepFailed: the program did."""
    tree = await session.tree(state.layers)
    platform = state.platform or await _guessed(session, state, step, tree)
    runner = _checked(session, step, platform)
    argv, script = _command(state, step, platform)
    work = _Work(platform, argv, _network(session, step), await wanted(session, stage, state, step), script)
    if platform.is_wasm:
        await _check_module(state, argv[0], tree)
    key = await blocking(_key, session, state, work)
    layer, cached = await _cached(session, state, step, key)
    if not cached:
        layer = await _made(session, number, state, work, runner, tree)
        await blocking(session.keep, key, layer)
    text = _text(state, step)
    state = replace(state, key=key)
    return state.with_history(text, empty=layer is None).with_layer(layer, key), cached


async def _cached(session: Session, state: State, step: Run, key: str) -> tuple[Layer | None, bool]:
    record = await session.recall(key)
    if record is not None:
        return record.layer, True
    layer = await layer_of(session, state, _text(state, step))
    if layer is None:
        return None, False
    await blocking(session.keep, key, layer)
    return layer, True


def _text(state: State, step: Run) -> str:
    """The line of history, with the ARGs that the step could see in front, as docker writes them."""
    if not state.args:
        return step.text
    values = " ".join(f"{name}={value}" for name, value in sorted(state.args.items()))
    return f"RUN |{len(state.args)} {values} {step.text.partition(' ')[2]}"


def _key(session: Session, state: State, work: _Work) -> str:
    env = [f"{name}={value}" for name, value in state.variables.items()]
    what = [list(work.argv), env, state.config.working_dir or "/", state.config.user, session.epoch]
    # As the key was before there was anything else to a RUN: caches stay good.
    more = [work.network, work.script, key_of(work.mounts)] if work.network or work.script or work.mounts else []
    return fingerprint(state.key, "run", *what, *more)


async def _made(
    session: Session, number: int, state: State, work: _Work, runner: StepRunner, tree: Tree
) -> Layer | None:
    rootfs = Rootfs(session)
    try:
        mounts, layers = await blocking(rootfs.prepare, state)
        async with ready(session, work.mounts) as found:
            own = (*found.mounts, *await _script_mount(session, work))
            targets = [mount.target for mount in own if not mount.target.startswith("/dev/")]
            made = stubs.stubs(tree, [*targets, *(() if work.platform.is_wasm else stubs.USUAL)])
            code = await runner.run(
                RunStep(
                    id=rootfs.key,
                    rootfs=mounts,
                    layers=layers,
                    argv=work.argv,
                    env=_environment(session, state, found),
                    cwd=state.config.working_dir or "/",
                    user=state.config.user,
                    platform=work.platform,
                    mounts=own,
                    network=work.network,
                ),
                lambda stream, data: session.progress(StepOutput(number, stream, data)),
            )
        if code:
            raise _failed(work, code)
        await blocking(stubs.clear, layers, made)
        return await blocking(rootfs.pack)
    finally:
        await blocking(rootfs.remove)


def _failed(work: _Work, code: int) -> StepFailed:
    """In the words of the builder that docker's users of Linux images know, and of BuildKit for modules."""
    command = one_line(" ".join(work.argv))
    text = f"The command '{command}' returned a non-zero code: {code}"
    if work.platform.is_wasm:
        text = f'process "{command}" did not complete successfully: exit code: {code}'
    error = StepFailed(text)
    error.code = code
    return error


def _environment(session: Session, state: State, found: Ready) -> tuple[str, ...]:
    """ENV and ARG, the proxies that a build may always be given, and secrets."""
    proxies = {name for upper in PROXIES for name in (upper, upper.lower())}
    given = {name: value for name, value in session.build_args.items() if name in proxies}
    return (*(f"{name}={value}" for name, value in {**given, **state.variables}.items()), *found.env)


async def _script_mount(session: Session, work: _Work) -> Sequence[StepMount]:
    if not work.script:
        return ()
    path = await blocking(session.spool.written, [work.script.encode()])
    await blocking(os.chmod, path, 0o755)
    return (StepMount(work.argv[0], path, writable=False),)


async def _guessed(session: Session, state: State, step: Run, tree: Tree) -> Platform:
    """While no platform is decided, the kind of the program to be run decides."""
    data = file_at(tree, module_path(state.config, _wasm_argv(state, step)[0]))
    return WASM if await blocking(is_module, data) else session.services.default_platform.normalized()


def _checked(session: Session, step: Run, platform: Platform) -> StepRunner:
    """The runner. Unimplemented: what this release does not run; InvalidArgument: what no build may do."""
    if step.heredocs and platform.is_wasm:
        raise Unimplemented("a here-document needs a shell, and there is none for WebAssembly: RUN a module")
    if step.security != "sandbox":
        raise InvalidArgument("security.insecure is not allowed")
    if step.network == "host" and platform.is_wasm:
        raise InvalidArgument("network.host is not allowed")
    if session.services.runner is None:
        raise Unimplemented("RUN is not supported by this engine: build the files elsewhere and COPY them")
    return session.services.runner


def _network(session: Session, step: Run) -> str:
    """The step's own, else the request's; "" is the engine's own choice."""
    return (step.network if step.network != "default" else session.request.network).replace("default", "")


def _command(state: State, step: Run, platform: Platform) -> tuple[tuple[str, ...], str]:
    """The argument vector, and the script that has to lie at its first word."""
    if platform.is_wasm:
        return _wasm_argv(state, step), ""
    line = step.command
    if not step.heredocs:
        argv = shell_words(state, line)
        if not argv or not argv[0]:
            raise InvalidArgument("RUN needs a command")
        return argv, ""
    first = step.heredocs[0]
    if line.words == (first.raw,):
        # Nothing but the document: it is the program.
        text = first.chomped
        if text.startswith("#!"):
            return (f"{_SCRIPTS}/{first.name}",), text
        return shell_words(state, replace(line, words=(text,))), ""
    # The shell reads them as they stand in the Dockerfile.
    whole = "".join([line.words[0], *(f"\n{_restored(document)}" for document in step.heredocs)])
    return shell_words(state, replace(line, words=(whole,))), ""


def _restored(document: Heredoc) -> str:
    return f"{document.content}{document.name}"


def _wasm_argv(state: State, step: Run) -> tuple[str, ...]:
    """The exec form as it is; the shell form goes to SHELL if there is one, else it is split into words."""
    line = step.command
    if not line.shell or state.config.shell:
        argv = shell_words(state, line)
    else:
        argv = words.expand_words(" ".join(line.words), state.variables)
    if not argv or not argv[0]:
        raise InvalidArgument("RUN has no command left once its variables are expanded")
    return argv


async def _check_module(state: State, name: str, tree: Tree) -> None:
    data = file_at(tree, module_path(state.config, name))
    if data is None:
        raise NotFound(f'exec: "{one_line(name)}": stat {one_line(name)}: no such file or directory')
    if not await blocking(is_module, data):
        raise InvalidArgument(f'exec: "{one_line(name)}": exec format error: not a WebAssembly module')
