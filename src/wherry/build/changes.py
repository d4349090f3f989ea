"""Instructions that are given without a build: `docker commit --change`, `docker import --change`. Pure."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from wherry.build.state import State, commanded, configured, shell_words
from wherry.dockerfile import words
from wherry.dockerfile.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Onbuild,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from wherry.dockerfile.parser import parse_changes
from wherry.oci.image import RunConfig

_TAKEN: Final = (Cmd, Entrypoint, Env, Expose, Healthcheck, Label, Onbuild, StopSignal, User, Volume, Workdir)
_NAMES: Final = frozenset(kind.name for kind in _TAKEN)


def changed(config: RunConfig, changes: Sequence[str], *, wasm: bool) -> RunConfig:
    """``config`` after the instructions. With ``wasm`` a shell-form command line is split into words, since there is
    no shell. InvalidArgument: one is wrong, or is none that changes only the configuration."""
    if not changes:
        return config
    state = State(None, "", config)
    for instruction in parse_changes("\n".join(changes), _NAMES):
        state = _after(state, instruction, wasm)
    return state.config


def _after(state: State, instruction: Instruction, wasm: bool) -> State:
    step = instruction.expand(words.Expander(state.variables))
    if isinstance(step, Workdir):
        folder = posixpath.normpath(posixpath.join("/", state.config.working_dir, step.path))
        return replace(state, config=replace(state.config, working_dir=folder))
    if isinstance(step, Cmd | Entrypoint):
        line = step.command
        split = wasm and line.shell and bool(line.words) and not state.config.shell
        argv = words.expand_words(line.words[0], state.variables) if split else shell_words(state, line)
        # Of a container both are its own: an ENTRYPOINT does not take its CMD away.
        return commanded(replace(state, cmd_set=True), step, argv)
    return configured(state, step)
