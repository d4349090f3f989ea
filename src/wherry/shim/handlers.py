"""Which kind of handler answers a container's HTTP requests. Loaded only by the child of such a container."""

from __future__ import annotations

from wherry.shim.birth import Sandbox
from wherry.shim.httpd.front import Front
from wherry.shim.httpd.settings import Settings


def make(sandbox: Sandbox, library: str) -> Front:
    """The server that ``sandbox.http`` tells of: its settings, its kind, and what that wants to know. InvalidArgument,
    DataLoss and the like: a program can't be loaded."""
    settings, _kind, told = sandbox.http
    from wherry.shim.wagi.site import Site  # of the kinds the one that is asked for

    return Front(sandbox, Site(sandbox, library, told), Settings(*settings))
