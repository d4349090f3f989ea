"""Components without a guest: the interfaces' texts, the check of imports against them, and the pieces of the host."""

import os
import select
import time

import pytest

from wherry.errors import InvalidArgument
from wherry.wasm.component import cli, filesystem, io, sockets, wit
from wherry.wasm.component.codes import file_code, socket_code
from wherry.wasm.component.http import client
from wherry.wasm.component.http import types as http
from wherry.wasm.component.types import plan
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi import errno
from wherry.wasm.wasi.table import stdio

OFFERED = wit.load()
TABLES = {**io.INTERFACES, **cli.INTERFACES, **filesystem.INTERFACES, **sockets.INTERFACES}
TABLES |= {"wasi:http/types": http.TYPES, "wasi:http/outgoing-handler": client.interface()}


def test_every_function_of_every_interface_has_its_host() -> None:
    told = {name: set(interface.functions) for name, interface in OFFERED.items() if interface.functions}
    assert told == {name: set(table) for name, table in TABLES.items()}
    assert sum(map(len, told.values())) == 176


def test_a_resource_that_is_used_elsewhere_is_one_type() -> None:
    assert OFFERED["wasi:filesystem/types"].resources["error"] == "wasi:io/error.error"
    assert OFFERED["wasi:sockets/tcp"].resources["input-stream"] == "wasi:io/streams.input-stream"
    _, result = OFFERED["wasi:cli/terminal-stdin"].functions["get-terminal-stdin"]
    assert result == ("option", ("own", "wasi:cli/terminal-input.terminal-input"))


def test_every_code_is_one_of_the_interfaces() -> None:
    files = OFFERED["wasi:filesystem/types"].types["error-code"][1]
    network = OFFERED["wasi:sockets/network"].types["error-code"][1]
    for number in errno.NUMBERS.values():
        assert file_code(number) in files
        assert socket_code(number) in network


@pytest.mark.parametrize(
    "text",
    ["", "package a", "package wasi:x; interface y {", "package wasi:x; interface y { f: func( }",
     "package wasi:x; interface y { f: func() -> strange<u8>; }"],
)  # fmt: skip
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"instead of|unknown type"):
        wit.read(text, {})


def test_a_plan_has_what_is_imported_and_no_more() -> None:
    exit_ = {"exit": ((("result", None, None),), None)}
    found = plan({"wasi:cli/exit@0.2.9": exit_, "some:types/only@1.0.0": {}}, OFFERED, "x")
    assert found == {"wasi:cli/exit@0.2.9": ("wasi:cli/exit", {}, exit_)}


@pytest.mark.parametrize(
    ("name", "items", "said"),
    [
        ("wasi:cli/exit@0.2.0", {"exit": ((("u8",),), None)},
         "x imports exit of wasi:cli/exit@0.2.0 as func(u8), but it is func(result<_, _>)"),
        ("wasi:io/streams@0.2.0", {"pipe": "resource"}, "x imports pipe of wasi:io/streams@0.2.0, which no host"),
        ("wasi:nn/graph@0.2.0", {"load": ((), None)}, "x imports wasi:nn/graph@0.2.0, which no host here provides"),
        ("f", ((), None), "x imports f, which no host here provides"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_named(name: str, items: object, said: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        plan({name: items}, OFFERED, "x")
    assert str(raised.value).startswith(said)


def test_a_stream_of_a_pipe_ends_once() -> None:
    reading, writing = os.pipe()
    stream = io.InputStream(stdio(reading))
    assert stream.read(10, block=False) == b""
    os.write(writing, b"abc")
    assert stream.read(2, block=True) == b"ab"
    assert stream.read(0, block=True) == b""
    os.close(writing)
    assert stream.read(10, block=True) == b"c"
    with pytest.raises(Failed) as raised:
        stream.read(1, block=False)
    assert raised.value.value == ("closed", None)
    os.close(reading)


def test_what_a_full_pipe_does_not_take_is_kept() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = io.OutputStream(stdio(writing))
    assert stream.room() == io.CHUNK
    stream.write(b"x" * 100_000)
    assert stream.room() == 0
    taken = len(os.read(reading, 1 << 20))
    stream.push(block=True)
    assert taken + len(os.read(reading, 1 << 20)) == 100_000
    os.close(reading)
    with pytest.raises(Failed) as raised:
        stream.write(b"y")
    assert raised.value.value == ("closed", None)
    os.close(writing)


def test_waiting_for_the_first_of_several() -> None:
    reading, writing = os.pipe()
    quiet, late = io.Pollable(reading, select.POLLIN), io.Pollable(deadline=time.monotonic_ns() + 1_000_000)
    assert io.wait((quiet, late), block=True) == [1]
    os.write(writing, b"x")
    assert io.wait((quiet, late, io.Pollable()), block=True) == [0, 1, 2]
    assert io.wait((io.Pollable(deadline=1 << 63),), block=False) == []
    os.close(reading)
    os.close(writing)
