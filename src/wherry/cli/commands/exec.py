"""``wherry exec``: another process in a running container."""

import contextlib
from typing import Any

import click

from wherry.cli import exits, refs
from wherry.cli.app import App
from wherry.cli.attached import check_terminal, interact, resize, watched
from wherry.cli.command import command as declare
from wherry.cli.complete import containers as containers_known
from wherry.cli.detach import checked_keys
from wherry.cli.session import Hooks
from wherry.cli.terminal import SignalWatch
from wherry.cli.textfile import read_text
from wherry.cli.values import environment


@declare(
    "[OPTIONS] CONTAINER COMMAND [ARG...]", "Execute a command in a running container.", options_end_at_argument=True
)
@click.option("-i", "--interactive", is_flag=True, help="Keep stdin open.")
@click.option("-t", "--tty", is_flag=True, help="Allocate a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Run it in the background.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable, or pass one on.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Set environment variables from a file.")
@click.option("-w", "--workdir", metavar="DIR", help="Working directory.")
@click.option("-u", "--user", metavar="UID[:GID]", help="User.")
@click.option("--privileged", is_flag=True, hidden=True)
@click.option("--detach-keys", callback=checked_keys, metavar="KEYS", help="Keys that detach (ctrl-p,ctrl-q).")
@click.argument("container", shell_complete=containers_known)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def command(app: App, /, container: str, words: tuple[str, ...], **given: Any) -> int:
    """The exit code is the process's own."""
    detach, tty, stdin = given["detach"], given["tty"], given["interactive"] and not given["detach"]
    if not detach:
        check_terminal(stdin, tty)
    body = {
        "Cmd": list(words),
        "Env": environment([(path, read_text(path)) for path in given["env_file"]], given["env"], app.environ),
        "WorkingDir": given["workdir"] or "",
        "User": given["user"] or "",
        "Privileged": given["privileged"],
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "DetachKeys": given["detach_keys"] or "",
    }
    made = app.client.call("POST", refs.container(container, "/exec"), None, body)
    path = f"/exec/{made['Id']}"
    if detach:
        app.client.call("POST", f"{path}/start", None, {"Detach": True, "Tty": tty})
        return 0
    return _attached(app, path, stdin, tty, given["detach_keys"])


def _attached(app: App, path: str, stdin: bool, tty: bool, keys: str | None) -> int:
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(SignalWatch(watched(sig_proxy=False, tty=tty)))
        hijacked = app.client.hijack(f"{path}/start", None, {"Detach": False, "Tty": tty})
        stack.callback(hijacked.duplex.close)
        hooks = Hooks(lambda _: None, lambda: resize(app, path))
        if not interact(hijacked, watch, hooks, stdin, tty, keys):
            return 0
    code = app.client.call("GET", f"{path}/json").get("ExitCode")
    return exits.FAILED if code is None else int(code)
