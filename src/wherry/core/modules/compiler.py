"""The contract of compiling: a module's file in, native code in the cache out. The driver runs a throwaway process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wherry.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class CompiledModule:
    """``digest`` is the module's; ``path`` the cached native code; ``info`` what inspection told (see wasm/module)."""

    digest: Digest
    path: str
    info: Mapping[str, Any]


class Compiler(Protocol):
    """Compiles modules at build, load, pull or create time, so that no start ever does."""

    def known(self, path: str, *, fuel: bool = False) -> CompiledModule | None:
        """What `ensure` would answer at once: the module at host ``path`` was compiled before. Blocks, shortly: for
        those who are in a thread already."""

    async def ensure(
        self, path: str, *, fuel: bool = False, progress: Callable[[str], None] | None = None
    ) -> CompiledModule:
        """Compile the module at host ``path`` unless it was compiled before; with ``fuel``, so that it counts
        its steps.

        InvalidArgument: not a module, or one that cannot run here (the message names the import or the fault).
        """

    async def binary(self, path: str, target: int) -> None:
        """Write the module in text at host ``path`` to the open file ``target`` as a binary one. InvalidArgument: it is
        wrong text."""
