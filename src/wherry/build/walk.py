"""Going through a plan, stage by stage and step by step: what each instruction is handed to, and what is told of it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from wherry.build import files, run
from wherry.build.cache import fingerprint
from wherry.build.entry import file_at, is_module, module_path
from wherry.build.events import StepFinished, StepStarted, TriggersFound, Warned
from wherry.build.graph import StagePlan, declared
from wherry.build.images import base_state
from wherry.build.request import StepFailed
from wherry.build.session import EPOCH_ARG, Session
from wherry.build.state import State, commanded, configured, shell_words
from wherry.core.threads import blocking
from wherry.dockerfile import words
from wherry.dockerfile.faults import one_line
from wherry.dockerfile.instructions import Arg, Cmd, Entrypoint, Instruction, Label, Run, Transfer, Workdir
from wherry.dockerfile.parser import parse_trigger
from wherry.errors import InvalidArgument, WherryError
from wherry.oci.artifact import WASM
from wherry.oci.digest import Digest
from wherry.oci.document import DOCUMENT_LIMIT
from wherry.oci.platform import Platform

_ALWAYS_TAKEN: Final = frozenset({*run.PROXIES, *map(str.lower, run.PROXIES), EPOCH_ARG})

MOST_LAYERS: Final = 127
"""Docker's limit; overlayfs takes some more."""

Outcome = tuple[State, bool | None]
"""The stage after a step, and whether the cache had what the step made; None: it made no files."""


class Walk:
    """One pass through one plan. ``automatic`` are the platform's ARGs, which a stage has once it declares them."""

    def __init__(self, session: Session, automatic: Mapping[str, str]) -> None:
        self._session = session
        self._plan = session.plan
        self._automatic = automatic
        self._number = 0
        self._total = self._plan.steps + bool(session.request.labels)

    async def run(self) -> State:
        """Build all stages of the plan; returns the last one. Faults begin with their place in the Dockerfile."""
        for warning in self._plan.dockerfile.warnings:
            self._session.progress(Warned(0, warning))
        for arg in self._plan.dockerfile.meta_args:
            await self._step(State(None, ""), arg, "", _unchanged)
        for index in self._plan.order:
            self._session.stages[index] = await self._stage(self._plan.stages[index])
        last = self._plan.stages[self._plan.order[-1]]
        state = await self._labelled(self._session.stages[last.index], last)
        self._warn_of_unused()
        return state

    async def _stage(self, stage: StagePlan) -> State:
        state = await self._step(State(None, ""), stage.stage.start, stage.name, lambda _: self._begin(stage))
        if triggers := state.config.on_build:
            self._session.progress(TriggersFound(len(triggers)))
            self._total += len(triggers)
            state = replace(state, config=replace(state.config, on_build=()))
        for trigger in triggers:
            instruction = replace(parse_trigger(trigger), line=stage.stage.start.line)
            state = await self._instruction(state, instruction, stage)
        for instruction in stage.stage.instructions:
            state = await self._instruction(state, instruction, stage)
        return state

    async def _begin(self, stage: StagePlan) -> Outcome:
        if not isinstance(stage.base, int):
            return await base_state(self._session, stage.base, stage.platform), False
        base = replace(self._session.stages[stage.base], args={}, cmd_set=False)
        if stage.platform:
            wanted = Platform.parse(stage.platform, self._session.services.default_platform).normalized()
            if base.platform is not None and not wanted.matches(base.platform):
                raise InvalidArgument(f"the stage it begins with is for {base.platform}, not for {wanted}")
            base = replace(base, platform=wanted)
        return base, False

    async def _labelled(self, state: State, stage: StagePlan) -> State:
        """The labels of the request, as one more step."""
        pairs = tuple(sorted(self._session.request.labels.items()))
        if not pairs:
            return state
        text = "LABEL " + " ".join(f"{name}={value}" for name, value in pairs)
        step = Label(pairs=pairs, line=stage.stage.start.line, end=stage.stage.start.line, text=text)
        return await self._step(state, step, stage.name, lambda before: self._configure(before, step))

    async def _instruction(self, state: State, instruction: Instruction, stage: StagePlan) -> State:
        return await self._step(state, instruction, stage.name, lambda before: self._act(before, instruction, stage))

    async def _act(self, state: State, instruction: Instruction, stage: StagePlan) -> Outcome:
        if isinstance(instruction, Arg):
            return self._declared(state, instruction), None
        step = instruction.expand(words.Expander(state.variables, self._plan.dockerfile.escape))
        match step:
            case Transfer():
                return await files.transfer(self._session, stage.index, state, step)
            case Workdir():
                return await files.workdir(self._session, state, step)
            case Run():
                return await run.run(self._session, self._number, stage.index, state, step)
        return await self._configure(state, step)

    async def _configure(self, state: State, step: Instruction) -> Outcome:
        if isinstance(step, Cmd | Entrypoint):
            state = commanded(state, step, await self._command(state, step))
        else:
            state = configured(state, step)
        return state.with_history(step.text, empty=True), None

    def _declared(self, state: State, step: Arg) -> State:
        scope = {**self._automatic, **self._plan.globals, **state.variables}
        values = declared(step, scope, self._session.build_args, self._plan.dockerfile)
        return replace(state, args={**state.args, **values}).with_history(step.text, empty=True)

    async def _command(self, state: State, step: Cmd | Entrypoint) -> tuple[str, ...]:
        """The shell form is for a shell; a module's command line is split into words instead, unless SHELL is set."""
        line = step.command
        if not line.shell or not line.words or state.config.shell:
            return shell_words(state, line)
        split = words.expand_words(line.words[0], state.variables)
        platform = state.platform
        if platform is None and split:
            data = file_at(await self._session.tree(state.layers), module_path(state.config, split[0]))
            platform = WASM if await blocking(is_module, data) else None
        return split if platform is not None and platform.is_wasm else shell_words(state, line)

    async def _step(
        self, state: State, instruction: Instruction, stage: str, act: Callable[[State], Awaitable[Outcome]]
    ) -> State:
        """Announce, act, tell how it went; a fault gets its place in the file in front."""
        self._number += 1
        number, progress = self._number, self._session.progress
        progress(StepStarted(number, self._total, stage, instruction.line, instruction.text))
        try:
            state, cached = await act(state)
            identity = await blocking(self._identity, state)
        except WherryError as error:
            raise self._placed(error, instruction) from error
        if cached is None:
            cached = await self._seen(identity)
        progress(StepFinished(number, identity, cached))
        return state

    def _identity(self, state: State) -> str:
        if len(state.layers) > MOST_LAYERS:
            raise InvalidArgument(f"max depth exceeded: an image may have at most {MOST_LAYERS} layers")
        document = state.image(self._session.services.default_platform, self._session.created).to_bytes()
        variables = sum(len(name) + len(value) for name, value in state.args.items())
        if max(len(document), variables) > DOCUMENT_LIMIT:
            raise InvalidArgument(f"the image's configuration is larger than {DOCUMENT_LIMIT >> 20} MiB")
        return str(Digest.of(document))

    async def _seen(self, identity: str) -> bool:
        """Whether an earlier build came to the same configuration."""
        key = fingerprint("configuration", identity)
        if await self._session.recall(key) is not None:
            return True
        await blocking(self._session.keep, key, None)
        return False

    def _placed(self, error: WherryError, instruction: Instruction) -> WherryError:
        place = f"{self._plan.dockerfile.name}:{instruction.line}: "
        if str(error).startswith(place):
            return error
        placed = type(error)(f"{place}{one_line(instruction.text)}: {error}")
        if isinstance(placed, StepFailed) and isinstance(error, StepFailed):
            placed.code = error.code
        return placed

    def _warn_of_unused(self) -> None:
        used = {*_ALWAYS_TAKEN, *(name for arg in self._args() for name, _ in arg.args)}
        unused = sorted(set(self._session.build_args) - used)
        if unused:
            self._session.progress(Warned(0, f"One or more build-args [{' '.join(unused)}] were not consumed"))

    def _args(self) -> Iterator[Arg]:
        yield from self._plan.dockerfile.meta_args
        for index in self._plan.order:
            instructions = self._plan.stages[index].stage.instructions
            yield from (instruction for instruction in instructions if isinstance(instruction, Arg))


async def _unchanged(state: State) -> Outcome:
    return state, None
