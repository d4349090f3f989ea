"""``wherry login`` and ``wherry logout``: who this user is at a registry, kept where docker keeps it."""

import sys

import click

from wherry.cli.app import App
from wherry.cli.command import command as declare
from wherry.cli.credentials import HUB, Logins, key_of
from wherry.errors import InvalidArgument, PermissionDenied


@declare("[OPTIONS] [SERVER]", "Log in to a registry; without SERVER, to Docker Hub.")
@click.option("-u", "--username", metavar="NAME", help="User name.")
@click.option("-p", "--password", metavar="PASSWORD", help="Password; --password-stdin does not show it in `ps`.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@click.argument("server", required=False, default="")
@click.pass_obj
def command(app: App, username: str | None, password: str | None, password_stdin: bool, server: str) -> None:
    """Without a name, what is kept already is tried first, as docker does."""
    domain = _domain(server)
    logins = Logins(app.environ)
    if username is None and password is None and not password_stdin and _kept_is_good(app, logins, domain):
        print("Login Succeeded")
        return
    username, password = _asked(app, username, password, password_stdin)
    login = {"username": username, "password": password, "serveraddress": key_of(domain)}
    answer = app.client.call("POST", "/auth", body=login) or {}
    token = answer.get("IdentityToken") or ""
    helper = logins.keep(domain, {**login, **({"identitytoken": token} if token else {})})
    if not helper:
        print(f"WARNING: the login is kept unencrypted in {logins.path}; credsStore names a helper", file=sys.stderr)
    print(answer.get("Status") or "Login Succeeded")


def _domain(server: str) -> str:
    return (server.partition("://")[2] or server).partition("/")[0]


def _kept_is_good(app: App, logins: Logins, domain: str) -> bool:
    known = logins.get(domain)
    if not known:
        return False
    try:
        app.client.call("POST", "/auth", body=known)
    except PermissionDenied:
        return False
    return True


def _asked(app: App, username: str | None, password: str | None, from_stdin: bool) -> tuple[str, str]:
    if from_stdin:
        if password is not None:
            raise InvalidArgument("--password and --password-stdin are mutually exclusive")
        if not username:
            raise InvalidArgument("Must provide --username with --password-stdin")
        return username, sys.stdin.read().rstrip("\r\n")
    if username and password is not None:
        return username, password
    if not sys.stdin.isatty():
        raise InvalidArgument("cannot perform an interactive login from a non TTY device: use -u and --password-stdin")
    username = username or click.prompt("Username", err=True)
    return str(username), str(password or click.prompt("Password", hide_input=True, err=True))


@declare("[SERVER]", "Log out from a registry; without SERVER, from Docker Hub.")
@click.argument("server", required=False, default="")
@click.pass_obj
def logout(app: App, server: str) -> None:
    """Nothing to forget is no error, as docker has it."""
    domain = _domain(server)
    shown = server or HUB
    if Logins(app.environ).forget(domain):
        print(f"Removing login credentials for {shown}")
    else:
        print(f"Not logged in to {shown}")
