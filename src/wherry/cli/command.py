"""Click, bent to docker's manners: options that end at the image, ``--flag=false``, docker's words for wrong usage."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from wherry.booleans import BOOLEANS

Callback = Callable[..., Any]


class Command(click.Command):
    """A leaf command. ``usage`` is what stands behind its name in the usage line."""

    def __init__(self, *args: Any, usage: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.usage = usage

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The part after the name."""
        return [self.usage] if self.usage else ["[OPTIONS]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let flags be written ``--rm=true`` and ``--rm=false``, as Go's flag parsing has it."""
        options = {name: p for p in self.params if isinstance(p, click.Option) for name in p.opts}
        return super().parse_args(ctx, _unfold_flags(ctx, args, options))

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, one paragraph, options: one screen."""
        formatter.write(f"Usage:  {ctx.command_path} {self.usage or '[OPTIONS]'}\n\n{self.help or ''}\n")
        click.Command.format_options(self, ctx, formatter)


def _unfold_flags(ctx: click.Context, args: Sequence[str], options: Mapping[str, click.Option]) -> list[str]:
    """Rewrite ``--flag=true`` and ``--flag=false``, as far as options go."""
    unfolded: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--" or (arg[:1] != "-" and not ctx.allow_interspersed_args):
            return [*unfolded, arg, *rest]
        name, separator, value = arg.partition("=")
        option = options.get(name)
        if separator and option is not None and option.is_flag:
            if value not in BOOLEANS:
                raise click.UsageError(f'invalid argument "{value}" for "{name}" flag: use true or false', ctx)
            # Off is what is not said, or for a flag that is on by itself its other name.
            unfolded += [name] if BOOLEANS[value] else option.secondary_opts[:1]
            continue
        unfolded.append(arg)
        if _wants_next(arg, options):
            unfolded += [value for value in (next(rest, None),) if value is not None]
    return unfolded


def _wants_next(arg: str, options: Mapping[str, click.Option]) -> bool:
    """Whether the word after this one is its value: ``--name x``, ``-e x`` and ``-ite x``, but not ``-ex``."""
    if arg.startswith("--"):
        return arg in options and not options[arg].is_flag
    for position, letter in enumerate(arg[1:], start=2):
        option = options.get(f"-{letter}")
        if option is not None and not option.is_flag:
            return position == len(arg)
    return False


class Entry(NamedTuple):
    """A command before it is imported: the module under ``commands``, the name in it, the line in ``--help``."""

    module: str
    help: str
    attribute: str = "command"
    section: str = "Commands"


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for it by name, and none of them to list them."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the table's order."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one that was typed."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        found = getattr(import_module(f"wherry.cli.commands.{entry.module}"), entry.attribute)
        if not isinstance(found, click.Command):  # pragma: no cover - the table is tested
            raise TypeError(f"{entry.module}.{entry.attribute} is no command")
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Docker's words for a name that is none."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command: {ctx.command_path} {args[0]}", ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections from the table, one line a command."""
        formatter.write(f"Usage:  {ctx.command_path} [OPTIONS] COMMAND\n\n{self.help or ''}\n")
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [(name, entry.help) for name, entry in self.entries.items() if entry.section == section]
            if all(help_ for _, help_ in rows):
                with formatter.section(section):
                    formatter.write_dl(rows)
            else:
                with formatter.section(section):
                    formatter.write_text(", ".join(name for name, _ in rows))
        click.Command.format_options(self, ctx, formatter)


def command(
    usage: str, help_: str, *, options_end_at_argument: bool = False, **attrs: Any
) -> Callable[[Callback], Command]:
    """Make a function a command."""
    settings = {
        "help_option_names": ["--help"],
        "allow_interspersed_args": not options_end_at_argument,
        "max_content_width": 100,
    }

    def decorate(function: Callback) -> Command:
        made = click.command(cls=Command, usage=usage, help=help_, context_settings=settings, **attrs)(function)
        if not isinstance(made, Command):  # pragma: no cover - click gives what cls says
            raise TypeError
        return made

    return decorate


def explain(error: click.UsageError) -> str:
    """The same fault in docker's words, without the way out."""
    path = error.ctx.command_path if error.ctx else "wherry"
    if isinstance(error, click.NoSuchOption):
        option = error.option_name
        return f"unknown flag: {option}" if option.startswith("--") else f"unknown shorthand flag: {option}"
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        missing = (
            [p for p in error.ctx.command.params if isinstance(p, click.Argument) and p.required] if error.ctx else []
        )
        plural = "s" if len(missing) > 1 else ""
        bound = "at least " if error.ctx and any(p.nargs == -1 for p in error.ctx.command.params) else ""
        return f"'{path}' requires {bound}{max(1, len(missing))} argument{plural}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        option = next((o for o in error.param.opts if o.startswith("--")), error.param.opts[0])
        return f"invalid value for {option}: {error.message}".rstrip(".")
    message = error.format_message().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        return f"'{path}' accepts no more arguments: {message[4:]}"
    return message[:1].lower() + message[1:]
