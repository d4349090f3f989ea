"""`suppress`, as contextlib has it, for the shim's processes: importing that brings half a megabyte along."""

from __future__ import annotations

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from types import TracebackType


class suppress:  # noqa: N801 - contextlib's name
    """Leave the block quietly when one of these is raised in it."""

    __slots__ = ("_errors",)

    def __init__(self, *errors: type[BaseException]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._errors)
