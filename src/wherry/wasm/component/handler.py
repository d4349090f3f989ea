"""A component that answers HTTP, in the process that has it do so: instances and their calls."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.wasm.component.http.messages import IncomingRequest, Outparam
from wherry.wasm.component.program import HANDLER, ComponentGuest
from wherry.wasm.component.state import do_nothing
from wherry.wasm.guest import GuestConfig, trap_message
from wherry.wasm.loaded import Program

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def check(program: Program, name: str) -> None:
    """InvalidArgument: the program called ``name`` does not answer HTTP."""
    if program.component is None or program.component.handler is None:
        raise InvalidArgument(f"{name} does not answer HTTP: it exports no {HANDLER}0.2")


class HandlerGuest(ComponentGuest):
    """An instance. One at a time in a process: the host's functions are bound to its state."""

    def __init__(
        self,
        program: Program,
        config: GuestConfig,
        on_exit: Callable[[int], NoReturn],
        stdio_fds: tuple[int, int, int],
        idle: Callable[[], None],
    ) -> None:
        super().__init__(program, config, on_exit, stdio_fds=stdio_fds)
        self._component.state.idle = idle

    def instantiate(self) -> None:
        """Instantiate. What goes wrong is kept, and `handle` tells it."""
        self._instantiate()

    def handle(self, request: IncomingRequest, outparam: Outparam) -> str:
        """Have it answer a request. "", or how it trapped: message and backtrace."""
        if not self._failure:
            assert self._component.handler is not None
            self._called(self._component.handler, request, outparam)
        self._count()
        return trap_message(self._failure).rstrip() if self._failure else ""

    def _measure(self) -> None:
        """Not after each request: a look for its memory would take as long as all the rest."""

    @property
    def is_sound(self) -> bool:
        """It may be called again."""
        return not self._failure

    def close(self) -> None:
        """Free the store, and what the instance held."""
        self._component.state.idle = do_nothing
        self._component.forget()
        self._library.store_delete(self._store)
