"""Logical lines into instructions: one reader per instruction, found in a table. Pure.

Source: https://docs.docker.com/reference/dockerfile/; the wording of the errors is BuildKit's.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

from wherry.dockerfile import flags, health, lines, words
from wherry.dockerfile.faults import did_you_mean, one_line, parse_error, quoted
from wherry.dockerfile.flags import Flags
from wherry.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    CommandLine,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from wherry.dockerfile.lines import Heredoc, Line
from wherry.errors import InvalidArgument

_MOST_INSTRUCTIONS: Final = 2000
_SPACE = re.compile(r"[\t\v\f\r ]+")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


def parse(data: bytes | str, name: str = "Dockerfile") -> Dockerfile:
    """Read a whole Dockerfile. InvalidArgument names file and line; nothing else is ever raised."""
    source = lines.read(data, name)
    if not source.lines:
        raise InvalidArgument(f"{name}: file with no instructions")
    if len(source.lines) > _MOST_INSTRUCTIONS:
        beyond = source.lines[_MOST_INSTRUCTIONS].start
        raise parse_error(name, beyond, f"a Dockerfile may have at most {_MOST_INSTRUCTIONS} instructions")
    meta_args: list[Arg] = []
    starts: list[From] = []
    bodies: list[list[Instruction]] = []
    for line in source.lines:
        instruction = _instruction(line, source.escape, name)
        if isinstance(instruction, From):
            starts.append(instruction)
            bodies.append([])
        elif bodies:
            bodies[-1].append(instruction)
        elif isinstance(instruction, Arg):
            meta_args.append(instruction)
        else:
            raise parse_error(
                name, line.start, f"no build stage in current context: {instruction.name} must come after FROM"
            )
    if not starts:
        raise InvalidArgument(f"{name}: dockerfile contains no stages to build: there is no FROM")
    stages = tuple(Stage(start, tuple(body)) for start, body in zip(starts, bodies, strict=True))
    syntax = source.directives.get("syntax", "")
    return Dockerfile(name, tuple(meta_args), stages, source.escape, syntax, source.warnings)


def parse_changes(text: str, taken: Collection[str], name: str = "change") -> tuple[Instruction, ...]:
    """Read instructions that belong to no stage; ``taken`` are the names that may be. InvalidArgument."""
    source = lines.read(text, name)
    for line in source.lines:
        word = _SPACE.split(line.text.strip(), maxsplit=1)[0]
        if word.upper() not in taken:
            raise InvalidArgument(f"{one_line(word)} is not a valid change command: use {', '.join(sorted(taken))}")
    return tuple(_instruction(line, source.escape, name) for line in source.lines)


def parse_trigger(trigger: str, name: str = "ONBUILD") -> Instruction:
    """Read an instruction that an image's ONBUILD kept. InvalidArgument."""
    source = lines.read(trigger, name)
    if len(source.lines) != 1:
        raise InvalidArgument(f"{name}: an ONBUILD trigger is one instruction: {quoted(trigger)}")
    _refuse_trigger(source.lines[0].text)
    return _instruction(source.lines[0], source.escape, name)


class _Place(TypedDict):
    line: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Request:
    """One logical line, cut: what a reader gets."""

    name: str
    flags: Flags
    rest: str
    heredocs: tuple[Heredoc, ...]
    escape: str
    place: _Place

    def words(self) -> tuple[str, ...]:
        """The arguments, parted by spaces only."""
        return tuple(_SPACE.split(self.rest)) if self.rest else ()

    def list(self) -> tuple[str, ...]:
        """A JSON array's strings, or else the arguments parted by spaces."""
        array = _json_strings(self.rest)
        return self.words() if array is None else array

    def command(self) -> CommandLine:
        """The exec form if it is a JSON array, or else the shell form."""
        array = _json_strings(self.rest)
        if array is None:
            return CommandLine((self.rest,) if self.rest else (), shell=True)
        return CommandLine(array, shell=False)

    def sole(self) -> str:
        """The whole of the arguments. InvalidArgument: there are none."""
        if not self.rest:
            raise InvalidArgument(f"{self.name} requires exactly one argument")
        return self.rest

    def some(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """``arguments``. InvalidArgument: there are none."""
        if not arguments:
            raise InvalidArgument(f"{self.name} requires at least one argument")
        return arguments


def _instruction(line: Line, escape: str, file: str) -> Instruction:
    try:
        return _read(line, escape)
    except InvalidArgument as error:
        raise parse_error(file, line.start, str(error)) from None


def _read(line: Line, escape: str) -> Instruction:
    text = line.text.strip()
    word, *after = _SPACE.split(text, maxsplit=1)
    name, rest = word.upper(), "".join(after)
    known = _READERS.get(name)
    if known is None:
        raise InvalidArgument(f"unknown instruction: {one_line(word)}{did_you_mean(word, _READERS)}")
    read, table = known
    given, rest = ((), rest) if name == "ONBUILD" else flags.cut(rest)
    place = _Place(line=line.start, end=line.end, text=text)
    return read(_Request(name, flags.read(given, table), rest.strip(), line.heredocs, escape, place))


def _json_strings(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array, None if it is no JSON array. InvalidArgument: an array of other things."""
    if not text.startswith("["):
        return None
    try:
        array: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in array):
        raise InvalidArgument("when using JSON array syntax, arrays must be comprised of strings only")
    # A lone surrogate (\ud800) is no character: it becomes U+FFFD, as Go reads it.
    strings = tuple(item.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for item in array)
    if any("\0" in item for item in strings):
        raise InvalidArgument("there is a NUL character in an argument")
    return strings


def _pairs(request: _Request) -> tuple[Pair, ...]:
    """``name=value ...``, or the old ``name value``."""
    parts = request.some(words.split(request.rest, request.escape))
    if "=" not in parts[0]:
        name, *value = _SPACE.split(request.rest, maxsplit=1)
        if not value:
            raise InvalidArgument(f"{request.name} must have two arguments")
        return ((name, value[0]),)
    pairs: list[Pair] = []
    for part in parts:
        name, equals, text = part.partition("=")
        if not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {quoted(part)}. Must be of the form: name=value")
        if not name:
            raise InvalidArgument(f"{request.name} names can not be blank")
        pairs.append((name, text))
    return tuple(pairs)


def _from(request: _Request) -> From:
    match request.words():
        case (base,):
            alias = ""
        case (base, keyword, alias) if keyword.lower() == "as":
            if not _STAGE_NAME.fullmatch(alias.lower()):
                raise InvalidArgument(
                    f"invalid name for build stage: {quoted(alias)}, name can't start with a number or contain symbols"
                )
        case _:
            raise InvalidArgument("FROM requires either one or three arguments")
    platform = request.flags.text("platform")
    return From(base=base, alias=alias.lower(), platform=platform, **request.place)


def _arg(request: _Request) -> Arg:
    args: list[tuple[str, str | None]] = []
    for word in request.some(words.split(request.rest, request.escape)):
        name, equals, value = word.partition("=")
        if not name:
            raise InvalidArgument("ARG names can not be blank")
        args.append((name, value if equals else None))
    return Arg(args=tuple(args), **request.place)


class _Transferred(TypedDict):
    sources: tuple[str, ...]
    files: tuple[Heredoc, ...]
    target: str
    chown: str
    chmod: str
    link: bool
    exclude: tuple[str, ...]


def _transfer(request: _Request) -> _Transferred:
    arguments = request.list()
    if len(arguments) < 2:
        raise InvalidArgument(
            f"{request.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    *sources, target = arguments
    if lines.heredoc_of(target):
        raise InvalidArgument(f"{request.name} cannot accept a heredoc as a destination")
    opened = {heredoc.raw for heredoc in request.heredocs}
    return _Transferred(
        sources=tuple(source for source in sources if source not in opened),
        files=request.heredocs,
        target=target,
        chown=request.flags.text("chown"),
        chmod=request.flags.text("chmod"),
        link=request.flags.true("link"),
        exclude=request.flags.texts("exclude"),
    )


def _copy(request: _Request) -> Copy:
    given = request.flags
    return Copy(from_stage=given.text("from"), parents=given.true("parents"), **_transfer(request), **request.place)


def _add(request: _Request) -> Add:
    given = request.flags
    unpack = given.true("unpack") if given.text("unpack") else None
    return Add(
        checksum=given.text("checksum"),
        keep_git_dir=given.true("keep-git-dir"),
        unpack=unpack,
        **_transfer(request),
        **request.place,
    )


def _run(request: _Request) -> Run:
    given = request.flags
    network, security = given.text("network") or "default", given.text("security") or "sandbox"
    if network not in ("default", "none", "host"):
        raise InvalidArgument(f"unsupported network mode {quoted(network)}")
    if security not in ("sandbox", "insecure"):
        raise InvalidArgument(f"security {quoted(security)} is not valid")
    run = Run(
        command=request.command(),
        heredocs=request.heredocs,
        mount_flags=given.texts("mount"),
        network=network,
        security=security,
        **request.place,
    )
    if not run.command.words:
        raise InvalidArgument("RUN requires at least one argument")
    # Values with variables can be judged only when those are known.
    if not any("$" in flag for flag in run.mount_flags):
        run.mounts(str)
    return run


def _shell(request: _Request) -> Shell:
    command = request.command()
    request.some(command.words)
    if command.shell:
        raise InvalidArgument("SHELL requires the arguments to be in JSON form")
    return Shell(words=command.words, **request.place)


def _volume(request: _Request) -> Volume:
    paths = tuple(path.strip() for path in request.some(request.list()))
    if "" in paths:
        raise InvalidArgument("VOLUME specified can not be an empty string")
    return Volume(paths=paths, **request.place)


def _healthcheck(request: _Request) -> Healthcheck:
    kind, *after = _SPACE.split(request.rest, maxsplit=1)
    if not kind:
        raise InvalidArgument("HEALTHCHECK requires at least one argument")
    rest = after[0] if after else ""
    given = request.flags
    if kind.upper() == "NONE":
        if rest:
            raise InvalidArgument("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(test=("NONE",), **request.place)
    if kind.upper() != "CMD":
        raise InvalidArgument(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    array = _json_strings(rest)
    test = (("CMD-SHELL", rest) if rest else ()) if array is None else ("CMD", *array)
    if len(test) < 2:
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    retries = given.text("retries") or "0"
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", retries):
        raise InvalidArgument(f"invalid number of retries: {quoted(retries)}")
    if int(retries) < 0:
        raise InvalidArgument(f"--retries cannot be negative ({int(retries)})")
    return Healthcheck(
        test=test,
        interval=health.interval("interval", given.text("interval")),
        timeout=health.interval("timeout", given.text("timeout")),
        start_period=health.interval("start-period", given.text("start-period")),
        start_interval=health.interval("start-interval", given.text("start-interval")),
        retries=int(retries),
        **request.place,
    )


def _refuse_trigger(text: str) -> None:
    name = _SPACE.split(text.strip(), maxsplit=1)[0].upper()
    if name == "ONBUILD":
        raise InvalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("MAINTAINER", "FROM"):
        raise InvalidArgument(f"{name} isn't allowed as an ONBUILD trigger")


def _onbuild(request: _Request) -> Onbuild:
    if not request.rest:
        raise InvalidArgument("ONBUILD requires at least one argument")
    _refuse_trigger(request.rest)
    # Read now what will be built later: the author of a mistake learns of it, not the user of the image.
    line = Line(request.place["line"], request.place["end"], request.rest, request.heredocs)
    _read(line, request.escape)
    bodies = (f"\n{heredoc.content}{heredoc.name}" for heredoc in request.heredocs)
    return Onbuild(trigger=request.rest + "".join(bodies), **request.place)


_Reader = Callable[[_Request], Instruction]
_COMMON: Final[flags.Table] = {"chown": "string", "chmod": "string", "link": "bool", "exclude": "strings"}

_READERS: Final[Mapping[str, tuple[_Reader, flags.Table]]] = {
    "ADD": (_add, {**_COMMON, "keep-git-dir": "bool", "checksum": "string", "unpack": "bool"}),
    "ARG": (_arg, {}),
    "CMD": (lambda request: Cmd(command=request.command(), **request.place), {}),
    "COPY": (_copy, {**_COMMON, "from": "string", "parents": "bool"}),
    "ENTRYPOINT": (lambda request: Entrypoint(command=request.command(), **request.place), {}),
    "ENV": (lambda request: Env(pairs=_pairs(request), **request.place), {}),
    "EXPOSE": (lambda request: Expose(ports=tuple(sorted(request.some(request.words()))), **request.place), {}),
    "FROM": (_from, {"platform": "string"}),
    "HEALTHCHECK": (
        _healthcheck,
        {
            "interval": "string",
            "timeout": "string",
            "start-period": "string",
            "start-interval": "string",
            "retries": "string",
        },
    ),
    "LABEL": (lambda request: Label(pairs=_pairs(request), **request.place), {}),
    "MAINTAINER": (lambda request: Maintainer(maintainer=request.sole(), **request.place), {}),
    "ONBUILD": (_onbuild, {}),
    "RUN": (_run, {"mount": "strings", "network": "string", "security": "string"}),
    "SHELL": (_shell, {}),
    "STOPSIGNAL": (lambda request: StopSignal(signal=request.sole(), **request.place), {}),
    "USER": (lambda request: User(user=request.sole(), **request.place), {}),
    "VOLUME": (_volume, {}),
    "WORKDIR": (lambda request: Workdir(path=request.sole(), **request.place), {}),
}
