"""A small proto3 codec driven by field tables: bytes to frozen messages and back.

Messages are classes whose attributes name their field numbers, as a ``.proto`` file does. Here live the base class, the
kinds of field and the codec; the messages themselves lie in the modules beside this one. Not here: groups, ``oneof``,
extensions, floating point, JSON. The shim imports this, so nothing is imported but `types` and our errors.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from types import MappingProxyType

from wherry.errors import InvalidArgument

TYPE_CHECKING = False  # `import typing` would cost the shim memory and time; type checkers know the name alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda cls: cls


MAX_DEPTH = 16
"""How deep messages may lie in one another."""
MAX_ELEMENTS = 1 << 16
"""How many elements all repeated fields of one decoded message may have together: two bytes of input can ask for an
object, so the length of the input alone does not bound memory."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_EMPTY: Mapping[str, str] = MappingProxyType({})


class Field:
    """What a message's class body says of one field; `Message.__init_subclass__` turns it into the default."""

    __slots__ = ("default", "kind", "message", "name", "number", "repeated", "tag")

    def __init__(
        self, number: int, kind: str, default: object, message: type[Message] | None = None, repeated: bool = False
    ) -> None:
        self.number = number
        self.kind = kind
        self.default = default
        self.message = message
        self.repeated = repeated
        self.name = ""
        packed = repeated and kind in _SCALARS
        self.tag = encode_varint(number << 3 | (_LENGTH if packed or kind not in _SCALARS else _VARINT))


def string(number: int) -> Any:
    """A ``string`` field: str, "" when absent."""
    return Field(number, "string", "")


def strings(number: int) -> Any:
    """A ``repeated string`` field: a tuple."""
    return Field(number, "string", (), repeated=True)


def blob(number: int) -> Any:
    """A ``bytes`` field: bytes, b"" when absent."""
    return Field(number, "bytes", b"")


def boolean(number: int) -> Any:
    """A ``bool`` field."""
    return Field(number, "bool", False)


def uint32(number: int) -> Any:
    """A ``uint32`` or enum field: int, 0 when absent."""
    return Field(number, "uint32", 0)


def uint64(number: int) -> Any:
    """A ``uint64`` field: int, 0 when absent."""
    return Field(number, "uint64", 0)


def uint64s(number: int) -> Any:
    """A ``repeated uint64`` field: a tuple of ints; packed when encoded, either way when decoded."""
    return Field(number, "uint64", (), repeated=True)


def int32(number: int) -> Any:
    """An ``int32`` field: int, 0 when absent."""
    return Field(number, "int32", 0)


def int64(number: int) -> Any:
    """An ``int64`` field: int, 0 when absent."""
    return Field(number, "int64", 0)


def message(number: int, kind: type[Message]) -> Any:
    """A field that is a message: None when absent; the last one counts when it is given twice."""
    return Field(number, "message", None, kind)


def messages(number: int, kind: type[Message]) -> Any:
    """A repeated message field: a tuple."""
    return Field(number, "message", (), kind, repeated=True)


def string_map(number: int) -> Any:
    """A ``map<string, string>`` field: a read-only mapping."""
    return Field(number, "map", _EMPTY)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """Base of all messages: frozen, compared by value; fields not given hold proto3's defaults."""

    FIELDS: ClassVar[dict[int, Field]] = {}
    DEFAULTS: ClassVar[dict[str, object]] = {}

    def __init_subclass__(cls) -> None:
        cls.FIELDS = {}
        cls.DEFAULTS = {}
        for name, field in list(cls.__dict__.items()):
            if isinstance(field, Field):
                field.name = name
                cls.FIELDS[field.number] = field
                cls.DEFAULTS[name] = field.default
                setattr(cls, name, field.default)

    def __init__(self, **values: object) -> None:
        if not values.keys() <= self.DEFAULTS.keys():
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values.keys() - self.DEFAULTS.keys())}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.DEFAULTS)

    def __hash__(self) -> int:
        return hash((type(self), self.encode()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def encode(self) -> bytes:
        """The message as bytes, fields in the order of their declaration, defaults left out. InvalidArgument: a value
        its field cannot hold."""
        parts: list[bytes] = []
        for field in self.FIELDS.values():
            value = self.__dict__.get(field.name)
            if value:
                _append(parts, field, value)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Read one message; fields nobody declared are skipped. InvalidArgument: the bytes are not such a message."""
        return cls._decode(bytes(data), 0, len(data), [MAX_DEPTH, MAX_ELEMENTS])

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, messages as dicts in turn; absent messages are left out."""
        values = ((name, getattr(self, name)) for name in self.DEFAULTS)
        return {name: _plain(value) for name, value in values if value is not None}

    @classmethod
    def _decode(cls, data: bytes, position: int, end: int, budget: list[int]) -> Self:
        budget[0] -= 1
        if budget[0] < 0:
            raise InvalidArgument(f"{cls.__name__} is nested deeper than {MAX_DEPTH} messages")
        values: dict[str, Any] = {}
        fields = cls.FIELDS
        while position < end:
            tag = data[position]
            if tag < 0x80:  # as nearly all are
                position += 1
            else:
                tag, position = decode_varint(data, position, end)
            field = fields.get(tag >> 3)
            if field is None:
                position = _skip(data, position, end, tag)
                continue
            try:
                position = _READERS[tag & 7](values, field, data, position, end, budget)
            except (KeyError, UnicodeDecodeError):
                raise InvalidArgument(f"{cls.__name__}.{field.name} has a value of the wrong kind") from None
        budget[0] += 1
        result = cls.__new__(cls)
        result.__dict__.update((name, tuple(v) if type(v) is list else v) for name, v in values.items())
        return result


def encode_varint(value: int) -> bytes:
    """An unsigned number of at most 64 bits, base 128, least significant group first."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at ``position`` and the position after it. InvalidArgument: cut short, or longer than ten bytes."""
    value = shift = 0
    for index in range(position, min(end, position + 10)):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, index + 1
        shift += 7
    raise InvalidArgument(
        "message is truncated in a number" if end - position < 10 else "number is over ten bytes long"
    )


def _length(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Start and end of the length-prefixed value at ``position``."""
    if position < end and data[position] < 0x80:
        size, start = data[position], position + 1
    else:
        size, start = decode_varint(data, position, end)
    if size > end - start:
        raise InvalidArgument(f"message is truncated: a field claims {size} bytes where {end - start} are left")
    return start, start + size


def _skip(data: bytes, position: int, end: int, tag: int) -> int:
    kind = tag & 7
    if tag >> 3 == 0 or kind not in (_VARINT, _FIXED64, _LENGTH, _FIXED32):
        raise InvalidArgument(f"message has an impossible field tag {tag}")
    if kind == _VARINT:
        return decode_varint(data, position, end)[1]
    if kind == _LENGTH:
        return _length(data, position, end)[1]
    position += 8 if kind == _FIXED64 else 4
    if position > end:
        raise InvalidArgument("message is truncated in a fixed-size field")
    return position


def _add(values: dict[str, Any], field: Field, value: object, budget: list[int]) -> None:
    if not field.repeated:
        values[field.name] = value
        return
    _spend(field, budget)
    values.setdefault(field.name, []).append(value)


def _spend(field: Field, budget: list[int]) -> None:
    budget[1] -= 1
    if budget[1] < 0:
        raise InvalidArgument(f"message has more than {MAX_ELEMENTS} elements (in {field.name})")


def _read_varint(values: dict[str, Any], field: Field, data: bytes, position: int, end: int, budget: list[int]) -> int:
    convert = _SCALARS[field.kind]
    value, position = decode_varint(data, position, end)
    _add(values, field, convert(value), budget)
    return position


def _read_length(values: dict[str, Any], field: Field, data: bytes, position: int, end: int, budget: list[int]) -> int:
    start, stop = _length(data, position, end)
    if field.message is not None:
        _add(values, field, field.message._decode(data, start, stop, budget), budget)  # noqa: SLF001 - the same class
    elif field.kind == "string":
        _add(values, field, data[start:stop].decode(), budget)
    elif field.kind == "bytes":
        _add(values, field, data[start:stop], budget)
    elif field.kind == "map":
        entry = MapEntry._decode(data, start, stop, budget)  # noqa: SLF001 - the same class
        _spend(field, budget)
        values.setdefault(field.name, {})[entry.key] = entry.value
    elif field.repeated:
        while start < stop:
            start = _read_varint(values, field, data, start, stop, budget)
    else:
        raise KeyError(field.kind)
    return stop


def _signed(bits: int) -> Callable[[int], int]:
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    return lambda value: ((value & mask) ^ half) - half


_SCALARS: dict[str, Callable[[int], int]] = {
    "bool": bool,
    "uint32": lambda value: value & 0xFFFFFFFF,
    "uint64": lambda value: value,
    "int32": _signed(32),
    "int64": _signed(64),
}
_RANGES = {
    "bool": range(2),
    "uint32": range(1 << 32),
    "uint64": range(1 << 64),
    "int32": range(-(1 << 31), 1 << 31),
    "int64": range(-(1 << 63), 1 << 63),
}
_READERS: dict[int, Callable[..., int]] = {_VARINT: _read_varint, _LENGTH: _read_length}


def _append(parts: list[bytes], field: Field, value: Any) -> None:
    if field.kind in _SCALARS:
        if field.repeated:
            body = b"".join([_scalar(field, item) for item in value])
            parts += (field.tag, encode_varint(len(body)), body)
        else:
            parts += (field.tag, _scalar(field, value))
        return
    for item in _items(field, value):
        body = _body(field, item)
        parts += (field.tag, encode_varint(len(body)), body)


def _items(field: Field, value: Any) -> Iterator[Any]:
    if field.kind == "map":
        return iter([MapEntry(key=key, value=value[key]) for key in value])
    return iter(value if field.repeated else (value,))


def _body(field: Field, value: Any) -> bytes:
    if isinstance(value, Message):
        return value.encode()
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(f"{field.name} is not valid Unicode: {value!r}") from None
    return bytes(value)


def _scalar(field: Field, value: int) -> bytes:
    if value not in _RANGES[field.kind]:
        raise InvalidArgument(f"{field.name} cannot hold {value}: it is a {field.kind}")
    return encode_varint(int(value) & _MASK64)


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, (dict, MappingProxyType)) else value


class MapEntry(Message):
    """One entry of a ``map<string, string>`` field, as it lies on the wire."""

    key: str = string(1)
    value: str = string(2)
