"""Whole blocks of lines, encoded and decoded at once: the same as line by line, whatever stands in them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.logs.files import LogFiles
from wherry.core.logs.lines import (
    JSON_LINES,
    LOCAL_LINES,
    MAX_LINE,
    Format,
    Splitter,
    decode,
    decode_lines,
    encode,
    encode_local,
    format_time,
    json_lines,
)
from wherry.core.logs.log import LogEntry
from wherry.core.logs.options import FileOptions

START = 1_700_000_000_123_000_000
ODD = st.text(alphabet='an\\"\t\r\b\x1b\x00\x7fé\u2028\U0001f600{}:,', max_size=12).map(str.encode)
LINES = st.lists(
    st.one_of(ODD, st.binary(max_size=30).map(lambda data: data.replace(b"\n", b""))), min_size=1, max_size=8
)
ONE = {JSON_LINES: encode, LOCAL_LINES: encode_local}


@pytest.mark.parametrize("format_", [JSON_LINES, LOCAL_LINES])
@given(lines=st.one_of(LINES, st.lists(ODD, min_size=1, max_size=8)), stream=st.sampled_from(["stdout", "stderr"]))
def test_a_block_is_its_lines(format_: Format, lines: list[bytes], stream: str) -> None:
    block, stamp = b"".join(line + b"\n" for line in lines), format_.stamp(START)
    each = b"".join(ONE[format_](stream, stamp, line + b"\n") for line in lines)
    encoded = format_.encode_block(stream, stamp, block)
    if encoded is None:
        with pytest.raises(UnicodeDecodeError):
            block.decode()
    else:
        assert encoded == each
    entries = format_.decode_lines(each.split(b"\n")[:-1])
    assert entries == [LogEntry(stream, START, line + b"\n") for line in lines]


@given(
    st.lists(st.tuples(ODD, st.sampled_from([b"", b"\n"]), st.sampled_from(["stdout", "stderr"]), st.integers(0, 2)))
)
def test_lines_of_many_writes_are_told_apart(pieces: list[tuple[bytes, bytes, str, int]]) -> None:
    wanted = [LogEntry(stream, START + later, text + end) for text, end, stream, later in pieces]
    lines = [encode(entry.stream, format_time(entry.time_ns), entry.data)[:-1] for entry in wanted]
    assert decode_lines(lines) == wanted


@pytest.mark.parametrize(
    "line",
    [
        b'{"log":"a","more":"b\\n","stream":"stdout","time":"2023-11-14T22:13:20.123Z"}',
        b'{"log":"a\\q\\n","stream":"stdout","time":"2023-11-14T22:13:20.123Z"}',
        b'{"log":"a","stream":"stdout","time":"2023-11-14T22:13:20.123Z","raw":"YQ=="}',
        b'{"log":"a\\n","stream":"stdout","attrs":{"k":"v"},"time":"2023-11-14T22:13:20.123Z"}',
        b'{"log":"","stream":"stdout","time":"2023-11-14T22:13:20.123Z"}',
        b'{"log":"","stream":"stdout","time":',
        b"",
        b"\0",
    ],
)
def test_what_others_wrote_between_our_lines(line: bytes) -> None:
    """The end of our lines is looked for first; what only looks alike is read as JSON all the same."""
    ours = encode("stdout", format_time(START), b"ours\n")[:-1]
    own = LogEntry("stdout", START, b"ours\n")
    foreign = decode(line)
    assert decode_lines([ours, line, ours]) == [own, *([] if foreign is None else [foreign]), own]


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.integers(MAX_LINE - 3, MAX_LINE + 3).map(b"x".__mul__)), max_size=9)
)
def test_a_splitter_takes_a_block_or_leaves_it(chunks: list[bytes]) -> None:
    """Whichever way each chunk is taken, the same lines come out."""
    quick, slow = Splitter(), Splitter()
    found: list[bytes] = []
    for chunk in chunks:
        block = quick.block(chunk)
        found += quick.feed(chunk) if block is None else [line + b"\n" for line in block.split(b"\n")[:-1]]
    found += quick.flush()
    assert found == [part for chunk in chunks for part in slow.feed(chunk)] + list(slow.flush())


def test_a_block_rotates_where_its_lines_would(tmp_path: Path) -> None:
    lines = [b"%04d " % number + b"x" * 90 + b"\n" for number in range(60)]
    for name, whole in (("whole", True), ("each", False)):
        files = LogFiles(str(tmp_path / name / "c.log"), FileOptions(1000, 3, compress=False))
        for at in range(0, 60, 7):
            if whole:
                files.append_block(b"".join(lines[at : at + 7]))
            else:
                files.append(lines[at : at + 7])
        files.close()
    for number in ("", ".1", ".2"):
        each = (tmp_path / f"each/c.log{number}").read_bytes()
        assert (tmp_path / f"whole/c.log{number}").read_bytes() == each
        assert each


def test_attributes_stand_in_each_line_and_are_read_over() -> None:
    attributes = {"tag": 'a"b\\n', "stream": "x", "a": "é"}
    format_ = json_lines(attributes)
    block = b'one\ntwo \\ "three"\nfour\x01\n'
    stamp = format_.stamp(START)
    encoded = format_.encode_block("stderr", stamp, block)
    lines = [line + b"\n" for line in block.split(b"\n")[:-1]]
    assert encoded == b"".join(format_.encode("stderr", stamp, line) for line in lines)
    for line, was in zip(encoded.splitlines(), lines, strict=True):
        found = json.loads(line)
        assert list(found) == ["log", "stream", "attrs", "time"]
        assert (found["attrs"], found["log"]) == (attributes, was.decode())
    raw = format_.encode("stderr", stamp, b"\xff\n")
    assert json.loads(raw)["attrs"] == attributes
    entries = format_.decode_lines([*encoded.splitlines(keepends=True), raw])
    assert entries == [LogEntry("stderr", START, line) for line in [*lines, b"\xff\n"]]
    assert json_lines({}) is JSON_LINES
