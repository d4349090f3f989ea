"""A container's component as the server in httpd/ knows it."""

from __future__ import annotations

import os

from wherry.errors import WherryError
from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.shim.httpd.log import Log
from wherry.shim.proxy.conversation import Conversation
from wherry.wasm.component.handler import HandlerGuest, check
from wherry.wasm.guest import GuestConfig
from wherry.wasm.loaded import Program
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import NoReturn


class Site:
    """``program`` is complete; ``name`` is for messages; ``reuse`` requests are answered by one instance."""

    def __init__(self, program: Program, name: str, reuse: int) -> None:
        """InvalidArgument: it does not answer HTTP."""
        check(program, name)
        self._program = program
        self._reuse = reuse
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._base: GuestConfig | None = None
        self._guest: HandlerGuest | None = None
        self._answered = 0
        self._exit = -1
        self._conversation: Conversation | None = None

    @property
    def program(self) -> Program:
        return self._program

    def open(self, base: GuestConfig) -> None:
        self._base = base

    def begin(self, log: Log) -> None:
        """There is nothing to ask before the first request."""

    def accepts(self, path: str) -> bool:
        """It answers every path."""
        return True

    def serve(self, job: Job, exchange: Exchange) -> None:
        """Abort: it gave no answer, or none that is whole."""
        self._exit = -1
        conversation = self._conversation = Conversation(job, exchange)
        try:
            guest = self._guest or self._instance()
            failure = guest.handle(conversation.request(), conversation.outparam())
            self._answered += 1
            if self._answered >= self._reuse or not guest.is_sound or conversation.abort is not None:
                self._close()
        except WherryError as error:
            self._close()
            raise Abort(502, str(error)) from None
        except BaseException:
            self._close()  # whatever it was, it is not the next request's
            raise
        conversation.end(failure, self._exit)

    def _instance(self) -> HandlerGuest:
        assert self._base is not None
        self._answered = 0
        self._guest = HandlerGuest(self._program, self._base, self._exited, (self._null, 1, 2), self._idle)
        self._guest.instantiate()
        return self._guest

    def _close(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.close()

    def _idle(self) -> None:
        if self._conversation is not None:
            self._conversation.idle()

    def _exited(self, code: int) -> NoReturn:
        self._exit = code
        raise Trap("exit")
