"""Which kind of handler answers a container's HTTP requests. Loaded only by the child of such a container."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.shim.birth import Sandbox
from wherry.shim.httpd.front import Front
from wherry.shim.httpd.settings import Settings
from wherry.wasm.grants import matches

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.loaded import Program


def wagi(sandbox: Sandbox, library: str, page: int, cache: str) -> Front:
    """The server of the routes that ``sandbox.http`` tells of. ``page`` is where its meter lies, ``cache`` the folder
    of compiled code. InvalidArgument, DataLoss and the like: a program can't be loaded."""
    from wherry.shim.wagi.site import Site  # of the kinds the one that is asked for

    settings, _, routes = sandbox.http
    return Front(sandbox, Site(sandbox, library, routes, page), Settings(*settings), cache)


def proxy(sandbox: Sandbox, program: Program, name: str, cache: str) -> Front:
    """The server of one component of wasi:http, with the settings in ``sandbox.http`` if it tells of any.
    InvalidArgument: it is none."""
    from wherry.shim.proxy.site import Site  # as above

    settings = Settings(*sandbox.http[0]) if sandbox.http else Settings()
    if matches(sandbox.refused, "sock_listen"):
        raise InvalidArgument("a handler of HTTP needs listen, which is dropped: leave it out of --cap-drop")
    return Front(sandbox, Site(program, name, settings.reuse), settings, cache)
