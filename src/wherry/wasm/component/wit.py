"""What the host offers to components: WASI 0.2's interfaces, read from the texts in wit/. Loaded by the compiler alone.

A type is a tuple that starts with its kind: ("u8",), ("list", T), ("tuple", (T, ...)), ("option", T), ("result", T or
None, E or None), ("enum", names), ("flags", names), ("record", ((name, T), ...)), ("variant", ((name, T or None),
...)), ("own", resource), ("borrow", resource). A resource is known by where it is defined, wherever else it is used: it
is one type. The texts say what the specification says, in the part of its language that this reads.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/WIT.md
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Type = tuple[Any, ...]
Function = tuple[tuple[Type, ...], Type | None]
"""Parameters and result."""

_PACKAGES: Final = ("io", "clocks", "random", "cli", "filesystem", "sockets", "http")
"""In an order in which each uses only those before it."""
_PLAIN: Final = frozenset("bool s8 s16 s32 s64 u8 u16 u32 u64 f32 f64 char string".split())
_TOKEN: Final = re.compile(r"->|[A-Za-z][\w-]*(?:[:/][a-z][\w-]*)*|[{}()<>,.;:=_]")


@dataclass(slots=True)
class Interface:
    """``resources`` are the names that stand for resource types here, own and used ones, each with its one identity."""

    resources: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)


def load() -> dict[str, Interface]:
    """The interfaces by name, ``wasi:io/streams``, without version."""
    interfaces: dict[str, Interface] = {}
    for package in _PACKAGES:
        text = (Path(__file__).parent / "wit" / f"{package}.wit").read_text(encoding="utf-8")
        read(text, interfaces)
    return interfaces


def read(text: str, interfaces: dict[str, Interface]) -> None:
    """Add the interfaces of a package. ValueError: the text is not what this reads."""
    _Reader(text, interfaces).package()


class _Reader:
    def __init__(self, text: str, interfaces: dict[str, Interface]) -> None:
        self._tokens: Iterator[str] = iter(_TOKEN.findall(text))
        self._interfaces = interfaces
        self._next = next(self._tokens, "")
        self._package = ""
        self._where = ""
        self._at = Interface()

    def _take(self, *expected: str) -> str:
        token = self._next
        if not token or (expected and token not in expected):
            raise ValueError(f"{self._where or 'the package'}: {token!r} instead of {' or '.join(expected) or 'more'}")
        self._next = next(self._tokens, "")
        return token

    def _skip(self, token: str) -> bool:
        found = self._next == token
        if found:
            self._take()
        return found

    def package(self) -> None:
        self._take("package")
        self._package = self._take()
        self._take(";")
        while self._next:
            self._take("interface")
            self._where = f"{self._package}/{self._take()}"
            self._at = self._interfaces[self._where] = Interface()
            self._take("{")
            while not self._skip("}"):
                self._item()

    def _item(self) -> None:
        word = self._take()
        defining = {"use": self._use, "type": self._alias, "resource": self._resource}.get(word)
        if defining is not None:
            defining()
        elif word in ("enum", "flags", "record", "variant"):
            name = self._take()
            self._at.types[name] = (word, self._members(word))
        else:
            self._take(":")
            self._function(word, ())

    def _use(self) -> None:
        path = self._take()
        source = self._interfaces[path if ":" in path else f"{self._package}/{path}"]
        self._take(".")
        self._take("{")
        while not self._skip("}"):
            name = self._take()
            own = self._take() if self._skip("as") else name
            if name in source.resources:
                self._at.resources[own] = source.resources[name]
            else:
                self._at.types[own] = source.types[name]
            self._skip(",")
        self._take(";")

    def _alias(self) -> None:
        name = self._take()
        self._take("=")
        made = self._at.types[name] = self._type()
        if made[0] == "own":
            self._at.resources[name] = made[1]
        self._take(";")

    def _resource(self) -> None:
        name = self._take()
        self._at.resources[name] = f"{self._where}.{name}"
        if self._skip(";"):
            return
        self._take("{")
        while not self._skip("}"):
            method = self._take()
            if method == "constructor":
                self._at.functions[f"[constructor]{name}"] = (self._params(()), ("own", self._at.resources[name]))
                self._take(";")
                continue
            self._take(":")
            if self._skip("static"):
                self._function(f"[static]{name}.{method}", ())
            else:
                self._function(f"[method]{name}.{method}", (("borrow", self._at.resources[name]),))

    def _function(self, name: str, first: tuple[Type, ...]) -> None:
        self._take("func")
        params = self._params(first)
        result = self._type() if self._skip("->") else None
        self._take(";")
        self._at.functions[name] = (params, result)

    def _params(self, first: tuple[Type, ...]) -> tuple[Type, ...]:
        self._take("(")
        params = list(first)
        while not self._skip(")"):
            self._take()
            self._take(":")
            params.append(self._type())
            self._skip(",")
        return tuple(params)

    def _members(self, word: str) -> tuple[Any, ...]:
        self._take("{")
        found: list[Any] = []
        while not self._skip("}"):
            name = self._take()
            if word == "record":
                self._take(":")
                found.append((name, self._type()))
            elif word == "variant":
                found.append((name, self._payload()))
            else:
                found.append(name)
            self._skip(",")
        return tuple(found)

    def _payload(self) -> Type | None:
        if not self._skip("("):
            return None
        found = self._type()
        self._take(")")
        return found

    def _type(self) -> Type:
        word = self._take()
        if word in _PLAIN:
            return (word,)
        if word in self._at.types:
            return self._at.types[word]
        if word in self._at.resources:
            return ("own", self._at.resources[word])
        if word == "result":
            return self._result()
        if self._next != "<":  # a resource of this interface, which is defined further down
            return ("own", f"{self._where}.{word}")
        inner = self._angles()
        if word == "tuple":
            return (word, inner)
        if word == "borrow":
            return (word, inner[0][1])
        if word in ("list", "option"):
            return (word, inner[0])
        raise ValueError(f"{self._where}: unknown type {word}")

    def _result(self) -> Type:
        if self._next != "<":
            return ("result", None, None)
        self._take()
        ok = None if self._skip("_") else self._type()
        error = self._type() if self._skip(",") else None
        self._take(">")
        return ("result", ok, error)

    def _angles(self) -> tuple[Type, ...]:
        self._take("<")
        inner = []
        while not self._skip(">"):
            inner.append(self._type())
            self._skip(",")
        return tuple(inner)


def anonymous(kind: Any) -> Any:
    """A type or function without the identities of its resources, which a component has its own of."""
    if isinstance(kind, tuple):
        if kind and kind[0] in ("own", "borrow"):
            return (kind[0], "")
        return tuple(anonymous(part) for part in kind)
    return kind


def spelt(kind: Type | None) -> str:
    """A type in words, short: named parts are not spelt out."""
    if kind is None:
        return "_"
    word, *parts = kind
    if word in ("list", "option"):
        return f"{word}<{spelt(parts[0])}>"
    if word == "tuple":
        return f"tuple<{', '.join(map(spelt, parts[0]))}>"
    if word == "result":
        return f"result<{spelt(parts[0])}, {spelt(parts[1])}>"
    if word in ("own", "borrow"):
        return f"{word}<resource>"
    return str(word)


def signature(function: Function) -> str:
    """A function's type in words."""
    params, result = function
    return f"func({', '.join(map(spelt, params))})" + (f" -> {spelt(result)}" if result is not None else "")
