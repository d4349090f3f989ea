"""The codec: by hand-made bytes, by round trips, by input that means harm."""

import inspect
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import InvalidArgument
from wherry.wire import events, metrics, protobuf, task, ttrpc, wellknown
from wherry.wire.protobuf import MAX_DEPTH, MAX_ELEMENTS, Message, decode_varint, encode_varint

MODULES = (task, events, metrics, ttrpc, wellknown)
CLASSES = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message)
    }
    - {Message},
    key=lambda cls: cls.__qualname__,
)


class Everything(Message):
    text: str = protobuf.string(1)
    texts: tuple[str, ...] = protobuf.strings(2)
    data: bytes = protobuf.blob(3)
    flag: bool = protobuf.boolean(4)
    u32: int = protobuf.uint32(5)
    u64: int = protobuf.uint64(6)
    many: tuple[int, ...] = protobuf.uint64s(7)
    i32: int = protobuf.int32(8)
    i64: int = protobuf.int64(9)
    one: wellknown.Timestamp | None = protobuf.message(10, wellknown.Timestamp)
    few: tuple[wellknown.Any, ...] = protobuf.messages(11, wellknown.Any)
    pairs: dict[str, str] = protobuf.string_map(100)


class Deep(Message):
    pass


Deep.FIELDS[1] = protobuf.message(1, Deep)
Deep.FIELDS[1].name = "inner"
Deep.DEFAULTS["inner"] = None


def test_bytes_by_hand() -> None:
    # From protobuf's own documentation: field 1 = 150, field 2 = "testing".
    assert Everything(u32=150).encode() == bytes.fromhex("28 96 01")
    assert Everything(text="testing").encode() == bytes.fromhex("0a 07 74 65 73 74 69 6e 67")
    assert Everything(i32=-2).encode() == bytes.fromhex("40 fe ff ff ff ff ff ff ff ff 01")
    assert Everything(many=(3, 270, 86942)).encode() == bytes.fromhex("3a 06 03 8e 02 9e a7 05")
    assert Everything(pairs={"a": "b"}).encode() == bytes.fromhex("a2 06 06 0a 01 61 12 01 62")
    assert Everything().encode() == b""
    assert Everything(one=wellknown.Timestamp()).encode() == bytes.fromhex("52 00")


def test_unpacked_numbers_are_read_too() -> None:
    assert Everything.decode(bytes.fromhex("38 03 38 8e 02 3a 02 01 02")).many == (3, 270, 1, 2)


def test_unknown_fields_are_skipped() -> None:
    unknown = bytes.fromhex("f8 7f 96 01  f9 7f 0102030405060708  fa 7f 02 aabb  fd 7f 01020304")
    assert Everything.decode(unknown + Everything(text="x").encode() + unknown) == Everything(text="x")


def test_out_of_range_is_cut_as_the_spec_says() -> None:
    wide = b"\x28" + encode_varint((1 << 33) + 5)
    assert Everything.decode(wide).u32 == 5
    assert Everything.decode(b"\x40" + encode_varint(0xFFFFFFFF)).i32 == -1
    assert Everything.decode(b"\x20\x05").flag is True


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x28",
        b"\x28" + b"\x80" * 10 + b"\x01",
        b"\x28" + b"\xff" * 20,
        b"\x0a\x02\xff\xfe",
        b"\x08\x01",  # a string as a number
        b"\x2a\x01\x01",  # a number as a string
        b"\x2d\x01\x02\x03\x04",  # as a fixed32
        b"\x0b",  # a group
        b"\x0f",
        b"\x00",
        b"\x02\x00",
        b"\xf9\x7f\x01",
        b"\xfd\x7f\x01",
        b"\x52\x02\x08",
        b"\xa2\x06\x02\x0a\x05",
        b"\x3a\x02\x80\x80",
    ],
)
def test_hostile_bytes(data: bytes) -> None:
    with pytest.raises(InvalidArgument) as raised:
        Everything.decode(data)
    assert "\n" not in str(raised.value)


def test_nesting_is_bounded() -> None:
    data = b""
    for _ in range(MAX_DEPTH - 1):
        data = b"\x0a" + encode_varint(len(data)) + data
    Deep.decode(data)
    with pytest.raises(InvalidArgument, match="nested deeper"):
        Deep.decode(b"\x0a" + encode_varint(len(data)) + data)
    deep = b""
    for _ in range(20_000):
        deep = b"\x0a" + encode_varint(len(deep)) + deep
    with pytest.raises(InvalidArgument, match="nested deeper"):
        Deep.decode(deep)


def test_elements_are_bounded() -> None:
    Everything.decode(b"\x12\x00" * MAX_ELEMENTS)
    for element in (b"\x12\x00", b"\x5a\x00", b"\x38\x01", b"\xa2\x06\x00"):
        with pytest.raises(InvalidArgument, match="more than"):
            Everything.decode(element * (MAX_ELEMENTS + 1))
    with pytest.raises(InvalidArgument, match="more than"):
        Everything.decode(b"\x3a" + encode_varint(MAX_ELEMENTS + 1) + b"\x01" * (MAX_ELEMENTS + 1))


def test_a_megabyte_of_anything_takes_no_time() -> None:
    started = time.monotonic()
    for data in (b"\x08" * (1 << 20), b"\xf8\x7f\x00" * 350_000, b"\xfa\x7f\x00" * 350_000):
        try:
            Everything.decode(data)
        except InvalidArgument:
            continue
    assert time.monotonic() - started < 30


def test_values_that_do_not_fit() -> None:
    for bad in (Everything(u32=-1), Everything(u32=1 << 32), Everything(i32=1 << 31), Everything(u64=1 << 64)):
        with pytest.raises(InvalidArgument, match="cannot hold"):
            bad.encode()
    with pytest.raises(InvalidArgument, match="not valid Unicode"):
        Everything(text="\ud800").encode()


def test_messages_are_frozen_values() -> None:
    message = Everything(text="x")
    with pytest.raises(AttributeError):
        message.text = "y"  # type: ignore[misc]
    with pytest.raises(TypeError, match="no field"):
        Everything(txet="x")  # type: ignore[call-arg]
    assert message == Everything(text="x")
    assert message != Everything(text="y")
    assert hash(message) == hash(Everything(text="x"))
    assert repr(message) == "Everything(text='x')"
    with pytest.raises(TypeError):
        message.pairs["x"] = "y"


def test_as_a_dict() -> None:
    message = Everything(one=wellknown.Timestamp(seconds=5), few=(wellknown.Any(type_url="t"),), pairs={"a": "b"})
    found = message.to_dict()
    assert (found["one"], found["few"]) == ({"seconds": 5, "nanos": 0}, [{"type_url": "t", "value": b""}])
    assert (found["pairs"], found["text"], found["many"]) == ({"a": "b"}, "", [])
    assert "one" not in Everything().to_dict()


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_everything = st.builds(
    Everything,
    text=_text,
    texts=st.lists(_text, max_size=4).map(tuple),
    data=st.binary(max_size=300),
    flag=st.booleans(),
    u32=st.integers(0, 2**32 - 1),
    u64=st.integers(0, 2**64 - 1),
    many=st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple),
    i32=st.integers(-(2**31), 2**31 - 1),
    i64=st.integers(-(2**63), 2**63 - 1),
    one=st.none() | st.builds(wellknown.Timestamp, seconds=st.integers(-(2**63), 2**63 - 1)),
    few=st.lists(st.builds(wellknown.Any, type_url=_text, value=st.binary(max_size=9)), max_size=3).map(tuple),
    pairs=st.dictionaries(_text, _text, max_size=3),
)


@given(_everything)
def test_round_trip(message: Everything) -> None:
    assert Everything.decode(message.encode()) == message
    assert Everything.decode(memoryview(message.encode())) == message


@given(_everything, st.data())
def test_damage_never_ends_in_anything_but_our_error(message: Everything, data: st.DataObject) -> None:
    raw = bytearray(message.encode() or b"\x00")
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    for cls in (Everything, *CLASSES):
        try:
            cls.decode(bytes(raw))
        except InvalidArgument as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@given(st.integers(0, 2**64 - 1))
def test_varints(value: int) -> None:
    raw = encode_varint(value)
    assert decode_varint(raw, 0, len(raw)) == (value, len(raw))
    with pytest.raises(InvalidArgument):
        decode_varint(raw[:-1], 0, len(raw) - 1)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__qualname__)
def test_every_message_declares_what_it_annotates(cls: type[Message]) -> None:
    assert [field.name for field in cls.FIELDS.values()] == list(inspect.get_annotations(cls))
    assert cls.decode(b"") == cls()
    assert cls().encode() == b""


def test_the_shim_can_afford_the_import() -> None:
    """Without site and environment, as the shim runs; modules that cost megabytes are not among what is loaded."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "import wherry.wire.ttrpc, wherry.wire.task, wherry.wire.events, wherry.wire.metrics\n"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    source = Path(protobuf.__file__).parents[2]
    command = [sys.executable, "-I", "-S", "-c", program, str(source)]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    foreign = [name for name in loaded if not name.startswith("wherry")]
    assert set(foreign) <= {"__future__", "types", "struct", "_struct"}
