"""What answers the requests that the server has read: one Protocol for every kind of handler."""

from __future__ import annotations

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Protocol

    from wherry.shim.httpd.exchange import Exchange, Job
    from wherry.shim.httpd.log import Log
    from wherry.wasm.guest import GuestConfig
    from wherry.wasm.loaded import Program

    class Serving(Protocol):
        """What a worker asks of a handler."""

        def serve(self, job: Job, exchange: Exchange) -> None:
            """Answer: read and write the exchange, and end it. Called in a worker, for one request after the other.
            Abort: it could not."""

    class Handler(Serving, Protocol):
        """A container's handler, from its child's birth on. It is made while the host's files are in reach, and loads
        then all that it will need: InvalidArgument, DataLoss and the like as of `Runtime.load`."""

        @property
        def program(self) -> Program:
            """The one that the sandbox is shut around: one that imports sockets, if there is such a one."""

        def open(self, base: GuestConfig) -> None:
            """In the container's rootfs, before the sandbox is shut. ``base`` is what every instance is given.
            InvalidArgument, FailedPrecondition: it can't be served."""

        def begin(self, log: Log) -> None:
            """Once the container is started, before its first request: from here on guests may run."""

        def accepts(self, path: str) -> bool:
            """Whether there is an answer for that path; if not, the server answers 404."""
