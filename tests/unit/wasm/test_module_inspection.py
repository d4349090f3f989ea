"""Inspection: what is told of modules and components, and what is said of everything else. No engine is loaded."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import InvalidArgument
from wherry.wasm import binary, imports
from wherry.wasm.binary import FuncType, Import
from wherry.wasm.entry import check_entry
from wherry.wasm.module import ModuleInfo, check_runnable, inspect, is_text
from wherry.wasm.reader import Malformed, Reader

HEADER = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"
PREVIEW1 = "wasi_snapshot_preview1"
THREE, FOUR = "(i32, i32, i32) -> i32", "(i32, i32, i32, i32) -> i32"
TOO_LARGE = "x is malformed at byte 14 (section code): a number of more than 32 bits"


def refusal(data: bytes) -> str:
    """What is said of bytes that can't be run; "" if they can."""
    try:
        info = inspect(data, "x")
        json.dumps(info.to_json())
        check_runnable(info, "x")
    except InvalidArgument as error:
        return str(error)
    return ""


def leb(number: int) -> bytes:
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def name(text: str) -> bytes:
    return leb(len(text.encode())) + text.encode()


def vec(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


I32, I64 = b"\x7f", b"\x7e"
FUNC_I32_I32 = b"\x60" + vec(I32) + vec(I32)
FUNC_NONE = b"\x60" + vec() + vec()


def importing(module: str, function: str, kind: bytes = b"\0\0", types: bytes = FUNC_I32_I32) -> bytes:
    return HEADER + section(1, vec(types, FUNC_NONE)) + section(2, vec(name(module) + name(function) + kind))


WHOLE = (
    HEADER
    + section(
        1, vec(FUNC_I32_I32, FUNC_NONE, b"\x60" + vec(I32, I64, b"\x7d", b"\x7c", b"\x7b", b"\x70") + vec(b"\x63\x6f"))
    )
    + section(2, vec(name(PREVIEW1) + name("fd_close") + b"\0\0", name("env") + name("t") + b"\x01\x70\x00\x01"))
    + section(3, vec(b"\x01", b"\x02"))
    + section(5, vec(b"\x01\x02\x80\x08"))
    + section(7, vec(name("_start") + b"\0\x01", name("memory") + b"\x02\0", name("f") + b"\0\x02"))
    + section(8, b"\x01")
    + section(10, vec(b"\x02\0\x0b", b"\x02\0\x0b"))
    + section(0, name("producers") + vec(name("language") + vec(name("C11") + name(""))))
    + section(0, name("name") + b"\0" + leb(5) + name("mine"))
)


def test_a_module_tells_all_of_its_face() -> None:
    info = inspect(WHOLE, "x.wasm")
    assert info.kind == "module"
    assert [(item.module, item.name, item.kind, str(item.type)) for item in info.imports] == [
        (PREVIEW1, "fd_close", "func", "(i32) -> i32"),
        ("env", "t", "table", "None"),
    ]
    assert [(item.name, item.kind) for item in info.exports] == [
        ("_start", "func"),
        ("memory", "memory"),
        ("f", "func"),
    ]
    assert str(info.exports[2].type) == "(i32, i64, f32, f64, v128, funcref) -> (ref null extern)"
    assert [(memory.minimum, memory.maximum) for memory in info.memories] == [(2, 1024)]
    assert (info.has_start, info.name, info.wasi) == (True, "mine", "preview1")
    assert info.producers == {"language": (("C11", ""),)}
    assert info.custom_sections == ("producers", "name")
    told = json.loads(json.dumps(info.to_json()))
    assert told["start"] is True
    assert told["exports"][0] == {"name": "_start", "kind": "func", "params": [], "results": []}
    assert told["memories"][0] == {"min": 2, "max": 1024, "shared": False, "is64": False, "pageSize": 65536}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x is not a WebAssembly module: it is empty"),
        (b"#include <stdio.h>", 'x is not a WebAssembly module: it starts with "#inc" (text?)'),
        (b"a\nb\n", 'x is not a WebAssembly module: it starts with "a\\nb\\n" (text?)'),
        (b"#!/bin/sh\n", "x is not a WebAssembly module: it is a script"),
        (b"\xff\xfe\0\x01", "x is not a WebAssembly module: it starts with the bytes ff fe 00 01"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\0", "x is an ELF executable: run it as linux/amd64"),
        (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\0", "x is an ELF executable: run it as linux/arm64"),
        (b"\x7fELF", "x is an ELF executable: run it as linux/amd64"),
        (b"\0as", "x is truncated at byte 3 (section header)"),
        (b"\0asm\x01", "x is truncated at byte 5 (section header)"),
        (b"\0asm\x02\0\0\0", "x has WebAssembly version 0x2: version 1 is supported"),
        (HEADER + b"\x0a", "x is truncated at byte 9 (section code)"),
        (HEADER + b"\x0a\x80", "x is truncated at byte 10 (section code)"),
        (HEADER + b"\x0a\xff\xff\xff\xff\x0f", "x is truncated at byte 14 (section code)"),
        (HEADER + b"\x0a\xff\xff\xff\xff\xff\x01", TOO_LARGE),
        (HEADER + b"\x0a\xff\xff\xff\xff\x1f", TOO_LARGE),
        (HEADER + b"\x2a\0", "x is malformed at byte 8 (section header): unknown section 42"),
        (HEADER + section(1, b"\xff\xff\xff\xff\x0f"), "x is truncated at byte 15 (section type)"),
        (
            HEADER + section(1, vec(b"\x60\x05")) + section(3, b"\0"),
            "x is malformed at byte 13 (section type): it ends too early",
        ),
        (HEADER + section(1, vec(b"\x11")), "x is malformed at byte 12 (section type): unknown type 0x11"),
        (
            HEADER + section(2, vec(b"\x01\xff\0")) + bytes(3),
            "x is malformed at byte 13 (section import): a name that is not UTF-8",
        ),
        (HEADER + section(3, vec(b"\x07")), "x is malformed at byte 12 (section function): type 7 is not there"),
        (
            HEADER + section(7, vec(b"\0\0\0")),
            "x is malformed at byte 14 (section export): func 0 is exported but not there",
        ),
        (HEADER + section(8, b"\0\0"), "x is malformed at byte 11 (section start): 1 bytes too many"),
    ],
)
def test_what_is_no_module_is_told_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        inspect(data, "x")
    assert str(raised.value) == message


@pytest.mark.parametrize("size", range(8, len(WHOLE)))
def test_cut_anywhere_it_is_truncated_or_a_smaller_module(size: int) -> None:
    said = refusal(WHOLE[:size])
    assert f"x is truncated at byte {size} (section " in said or inspect(WHOLE[:size], "x").size == size


def test_a_broken_custom_section_is_no_fault() -> None:
    data = HEADER + section(0, name("producers") + b"\xff\xff") + section(0, name("name") + b"\0\x05\x09")
    assert inspect(data, "x").custom_sections == ("producers", "name")


@given(st.binary(max_size=200), st.sampled_from([HEADER, COMPONENT, b""]))
def test_no_bytes_raise_anything_but_invalid_argument(data: bytes, header: bytes) -> None:
    said = refusal(header + data)
    assert "\n" not in said
    assert said == "" or said.startswith("x ")


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_no_changed_byte_does_either(first: int, one: int, second: int, other: int) -> None:
    data = bytearray(WHOLE)
    data[first], data[second] = one, other
    assert "\n" not in refusal(bytes(data))


def test_a_reader_reads_what_leb128_says() -> None:
    assert Reader(b"\xe5\x8e\x26", 0, 3, "x").u32() == 624485
    assert Reader(b"\xff\xff\xff\xff\x0f", 0, 5, "x").u32() == 2**32 - 1
    assert Reader(b"\x70", 0, 1, "x").s33() == -16
    assert Reader(b"\x05", 0, 1, "x").s33() == 5
    assert Reader(b"\xff" * 9 + b"\x01", 0, 10, "x").u64() == 2**64 - 1
    with pytest.raises(Malformed):
        Reader(b"\xff" * 9 + b"\x02", 0, 10, "x").u64()


def test_gc_types_and_64_bit_memories_are_read() -> None:
    struct = b"\x5f" + vec(b"\x7f\x01", b"\x78\0", b"\x64\0\0")
    group = b"\x4e" + vec(b"\x50" + vec() + b"\x5e\x7f\x01", b"\x4f" + vec(b"\x00") + FUNC_NONE)
    data = HEADER + section(1, vec(struct, group)) + section(5, vec(b"\x05\x01\x10", b"\x03\x01\x02", b"\x08\x00\x00"))
    core = binary.parse(data)
    assert [str(item) for item in core.types] == ["None", "None", "() -> ()"]
    assert [(memory.is64, memory.shared, memory.page_size) for memory in core.memories] == [
        (True, False, 65536),
        (False, True, 65536),
        (False, False, 1),
    ]


@pytest.mark.parametrize(
    ("module", "function", "said"),
    [
        ("env", "foo", "x imports env.foo, which no host here provides"),
        (
            "wasi",
            "thread-spawn",
            "x imports wasi.thread-spawn but exports no wasi_thread_start (i32, i32) -> ()",
        ),
        (
            PREVIEW1,
            "sock_open",
            f"x imports {PREVIEW1}.sock_open as (i32) -> i32, but it is {THREE} or {FOUR}",
        ),
        (PREVIEW1, "sock_dig", f"x imports {PREVIEW1}.sock_dig, which no host here provides"),
        (PREVIEW1, "fd_shut", f"x imports {PREVIEW1}.fd_shut, which no host here provides"),
        (
            "wasi_unstable",
            "fd_read",
            "x imports wasi_unstable.fd_read: WASI before preview 1 is not supported, build for wasm32-wasip1",
        ),
        (PREVIEW1, "fd_read", f"x imports {PREVIEW1}.fd_read as (i32) -> i32, but it is (i32, i32, i32, i32) -> i32"),
    ],
)
def test_an_import_that_cannot_be_had_is_named(module: str, function: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_runnable(inspect(importing(module, function), "x"), "x")
    assert str(raised.value) == said


def test_an_import_that_is_no_function_is_named() -> None:
    memory = inspect(importing("env", "memory", b"\x02\0\x01"), "x")
    with pytest.raises(InvalidArgument, match=r"imports env\.memory, which no host"):
        check_runnable(memory, "x")


def test_what_is_offered_is_runnable() -> None:
    check_runnable(inspect(importing(PREVIEW1, "fd_close"), "x"), "x")
    assert all(imports.signature(function.params) is not None for function in imports.HOST.values())


def test_a_64_bit_memory_with_wasi_is_refused() -> None:
    data = importing(PREVIEW1, "fd_close") + section(5, vec(b"\x04\x01"))
    with pytest.raises(InvalidArgument, match="has a 64-bit memory"):
        check_runnable(inspect(data, "x"), "x")


NEITHER = "is a component that exports neither wasi:cli/run@0.2 nor wasi:http/incoming-handler@0.2"


def component(*names: str, exports: tuple[str, ...] = ()) -> bytes:
    imported = vec(*(b"\0" + name(text) + b"\x05\0" for text in names))
    exported = vec(*(b"\0" + name(text) + b"\x05\0\0" for text in exports))
    return COMPONENT + section(0, name("x")) + section(10, imported) + section(11, exported)


@pytest.mark.parametrize(
    ("data", "wasi", "said"),
    [
        (component("wasi:cli/environment@0.2.3"), "0.2",
         f"x {NEITHER}: it exports nothing"),
        (component("wasi:io/x@0.2.0", "wasi:http/types@0.3.0"), "0.3",
         "x is a component that imports wasi:http/types@0.3.0: WASI 0.3 is not supported"),
        (component("wasi:http/types@0.3.0-rc-2025-09-16"), "0.3",
         "x is a component that imports wasi:http/types@0.3.0-rc-2025-09-16: WASI 0.3 is not supported"),
        (component(exports=("wasi:cli/run@0.3.0",)), "0.3", "x is a component: WASI 0.3 is not supported"),
        (component(exports=("wasi:keyvalue/watcher@0.2.0", "f")), "0.2",
         f"x {NEITHER}: it exports wasi:keyvalue/watcher@0.2.0, f"),
    ],
)  # fmt: skip
def test_components_are_told_and_refused(data: bytes, wasi: str, said: str) -> None:
    info = inspect(data, "x")
    assert (info.kind, info.wasi) == ("component", wasi)
    with pytest.raises(InvalidArgument) as raised:
        check_runnable(info, "x")
    assert str(raised.value) == said


def entry(data: bytes, called: str) -> int:
    return check_entry(inspect(data, "m.wasm").to_json(), "m.wasm", called)


def test_entries() -> None:
    assert entry(WHOLE, "_start") == 0
    with pytest.raises(
        InvalidArgument, match=r"^m\.wasm: the export f takes \(i32, i64, f32, f64, v128, funcref\): only"
    ):
        entry(WHOLE, "f")
    with pytest.raises(InvalidArgument) as raised:
        entry(WHOLE, "main")
    assert str(raised.value) == "m.wasm has no main export; it exports _start, f: name one with m.wasm#_start"
    with pytest.raises(InvalidArgument, match="has no _start export; it exports no function at all"):
        entry(HEADER, "_start")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"(module)", True),
        (b"\n ;; comment (\n\t(module (func))", True),
        (b"(component)", True),
        (b"(; block ;) (module)", True),
        (b"()", False),
        (WHOLE, False),
        (b"", False),
    ],
)
def test_text_is_told(data: bytes, text: bool) -> None:
    assert is_text(data) is text


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        inspect(HEADER, "x").size = 1  # type: ignore[misc]


def test_one_name_of_two_dialects_of_sockets_is_refused() -> None:
    kinds = [Import(PREVIEW1, "sock_open", "func", FuncType(("i32",) * count, ("i32",))) for count in (3, 4)]
    with pytest.raises(InvalidArgument, match=r"sock_open both as \(i32, i32, i32\) .* one runtime's sockets"):
        check_runnable(ModuleInfo("module", 1, tuple(kinds)), "x")
    twice = ModuleInfo("module", 1, (kinds[0], kinds[0]))
    check_runnable(twice, "x")
    assert len(imports.sockets(twice.to_json())) == 1
