"""`Record`: immutable values for the code that every container inherits the memory of. Elsewhere, use a dataclass.

Importing `dataclasses` or `typing` brings in some sixty modules and megabytes; whatever of that lies beside something
a container touches becomes its own. So the zygote's closure (shim/zygote.py and all it imports) imports neither, nor
`collections`, `contextlib`, `enum`, `json`, `re`, `signal` or `socket`; a test holds that list.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]  # what a namedtuple has for its fields

TYPE_CHECKING = False  # `import typing` is what this is to avoid; type checkers know the name alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

    _Any = TypeVar("_Any", bound="Record")
else:

    def dataclass_transform(**_):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record(tuple):  # type: ignore[type-arg]  # its items are of the fields' types, which differ
    """Base of classes that only name their fields, with or without defaults. Compares, hashes, unpacks as a tuple."""

    __slots__ = ()
    fields: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.fields = tuple(cls.__annotations__)
        cls._defaults = {name: cls.__dict__[name] for name in cls.fields if name in cls.__dict__}
        for index, name in enumerate(cls.fields):
            setattr(cls, name, _tuplegetter(index, None))

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Positional, then named, then default values; TypeError for one too many or too few."""
        if len(values) == len(cls.fields) and not named:
            return tuple.__new__(cls, values)
        rest = cls.fields[len(values) :]
        given = {**cls._defaults, **named}
        if len(values) > len(cls.fields) or not set(named) <= set(rest) or not set(rest) <= set(given):
            raise TypeError(f"{cls.__name__} takes {', '.join(cls.fields)}")
        return tuple.__new__(cls, (*values, *(given[name] for name in rest)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: make another one")

    def __repr__(self) -> str:
        named = zip(self.fields, self, strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in named)})"


if TYPE_CHECKING:

    def unchecked(kind: type[_Any], values: Iterable[Any]) -> _Any:
        """A ``kind`` of all its values, in their order, without a look at them: a child that calls `Record.__new__`
        makes a dozen pages its own."""
        raise NotImplementedError

else:
    unchecked = tuple.__new__
