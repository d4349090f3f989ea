"""Logs in files, json-file and local: format, cutting, rotation, crashes, readers and followers."""

import asyncio
import gzip
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.logs.drivers import LogDrivers
from wherry.core.logs.file_log import FileLog
from wherry.core.logs.lines import (
    MAX_LINE,
    Splitter,
    decode,
    decode_local,
    encode,
    encode_local,
    format_time,
    parse_time,
    stamp_local,
)
from wherry.core.logs.log import Log, LogEntry
from wherry.core.logs.options import FileOptions, check, parse_json_file, parse_local, parse_size
from wherry.errors import InvalidArgument, ResourceExhausted, Unavailable, Unimplemented

SECOND = 10**9
START = 1_700_000_000 * SECOND


class Ticks:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c" / "c-json.log"


async def opened(path: Path, **options: str) -> FileLog:
    log = await LogDrivers().open(
        "json-file", {key.replace("_", "-"): value for key, value in options.items()}, str(path)
    )
    assert isinstance(log, FileLog)
    return log


async def entries(log: Log, **query: int | bool | None) -> list[LogEntry]:
    return [entry async for batch in log.read(**query) for entry in batch]  # type: ignore[arg-type]


async def one_by_one(log: Log, **query: int | bool | None) -> AsyncIterator[LogEntry]:
    async for batch in log.read(**query):  # type: ignore[arg-type]
        for entry in batch:
            yield entry


async def text(log: Log, **query: int | bool | None) -> bytes:
    return b"".join(entry.data for entry in await entries(log, **query))


async def numbered(log: Log, first: int, last: int) -> None:
    for number in range(first, last):
        await log.write("stdout", START + number * SECOND, b"line %d\n" % number)


async def test_the_file_is_dockers(path: Path) -> None:
    log = await opened(path)
    await log.write("stdout", START + 120_000_000, 'a"b\\c\té\u2028\n'.encode())
    await log.write("stderr", START, b"\xff\xe2\x82x\n")
    await log.aclose()
    lines = path.read_bytes().splitlines()
    assert lines[0].startswith(b'{"log":"a\\"b\\\\c\\t')
    assert lines[0].endswith(b'"stream":"stdout","time":"2023-11-14T22:13:20.12Z"}')
    assert json.loads(lines[0])["log"] == 'a"b\\c\té\u2028\n'
    # Go replaces each bad byte by itself, also those of one cut character.
    second = json.loads(lines[1])
    assert second.pop("raw") == "/+KCeAo="  # for us: not a byte is lost
    assert second == {"log": "\ufffd\ufffd\ufffdx\n", "stream": "stderr", "time": "2023-11-14T22:13:20Z"}
    assert (await text(await opened(path))).endswith(b"\xff\xe2\x82x\n")
    assert path.stat().st_mode & 0o777 == 0o640


async def test_opening_and_reading_make_no_file(path: Path) -> None:
    log = await opened(path)
    assert await entries(log) == []
    assert await entries(log, tail=5) == []
    await log.aclose()
    assert not path.exists()


async def test_readiness_is_a_file_and_after_the_end_nothing(path: Path) -> None:
    log = await opened(path)
    await log.ready()
    assert path.read_bytes() == b""
    await log.write("stdout", START, b"no newline")
    await log.aclose()
    assert await text(log) == b"no newline"
    path.unlink()
    await log.ready()
    assert not path.exists()


async def test_lines_come_back_in_order_with_their_times(path: Path) -> None:
    log = await opened(path)
    await log.write("stdout", START, b"one\ntwo\nthr")
    await log.write("stderr", START + 1, b"err\n")
    await log.write("stdout", START + 2, b"ee\nfour")
    assert await text(log) == b"one\ntwo\nerr\nthree\n"
    await log.aclose()
    found = await entries(await opened(path))
    assert [entry.data for entry in found] == [b"one\n", b"two\n", b"err\n", b"three\n", b"four"]
    assert [entry.time_ns - START for entry in found] == [0, 0, 1, 2, 2]
    assert found[2].stream == "stderr"
    with pytest.raises(Unavailable):
        await log.write("stdout", START, b"x")


async def test_long_lines_are_cut_but_not_their_characters(path: Path) -> None:
    log = await opened(path)
    line = "é".encode() * 20_000 + b"\n"
    for start in range(0, len(line), 1001):
        await log.write("stdout", START, line[start : start + 1001])
    found = await entries(log)
    await log.aclose()
    assert b"".join(entry.data for entry in found) == line
    assert max(len(entry.data) for entry in found) <= MAX_LINE + 1
    assert [entry.data.endswith(b"\n") for entry in found] == [False] * (len(found) - 1) + [True]


async def test_tail_since_until(path: Path) -> None:
    log = await opened(path)
    await numbered(log, 0, 10)
    assert await text(log, tail=0) == b""
    assert await text(log, tail=2) == b"line 8\nline 9\n"
    assert len(await entries(log, tail=99)) == 10
    assert await text(log, since=START + 8 * SECOND) == b"line 8\nline 9\n"
    assert await text(log, until=START + SECOND) == b"line 0\nline 1\n"
    assert await text(log, tail=3, until=START + 7 * SECOND) == b"line 7\n"
    await log.aclose()


@pytest.mark.parametrize("compress", ["false", "true"])
async def test_rotation(path: Path, compress: str) -> None:
    log = await opened(path, max_size="1k", max_file="3", compress=compress)
    await numbered(log, 0, 100)
    names = sorted(os.listdir(path.parent))
    end = ".gz" if compress == "true" else ""
    assert names == ["c-json.log", f"c-json.log.1{end}", f"c-json.log.2{end}"]
    found = (await text(log)).splitlines()
    assert found == [b"line %d" % number for number in range(100 - len(found), 100)]
    assert 20 < len(found) < 60
    for count in (1, 5, len(found) // 2, len(found) - 1, len(found), 1000):
        assert (await text(log, tail=count)).splitlines() == found[-count:]
    await log.aclose()
    again = await opened(path, max_size="1k", max_file="3", compress=compress)
    assert (await text(again)).splitlines() == found


async def test_one_file_only_begins_anew(path: Path) -> None:
    log = await opened(path, max_size="1k")
    await numbered(log, 0, 100)
    await log.aclose()
    assert os.listdir(path.parent) == ["c-json.log"]
    assert path.stat().st_size < 1100


async def test_one_write_may_rotate_often(path: Path) -> None:
    log = await opened(path, max_size="500", max_file="100")
    data = b"".join(b"line %d\n" % number for number in range(200))
    await log.write("stdout", START, data)
    assert await text(log) == data
    await log.aclose()


async def test_a_gap_in_the_numbers_hides_nothing(path: Path) -> None:
    log = await opened(path, max_size="1k", max_file="9")
    await numbered(log, 0, 60)
    whole = await text(log)
    await log.aclose()
    for number in range(len(os.listdir(path.parent)) - 1, 1, -1):  # as a kill in the middle of a rotation leaves it
        os.rename(f"{path}.{number}", f"{path}.{number + 1}")
    again = await opened(path, max_size="1k", max_file="9")
    assert await text(again) == whole
    assert await text(again, tail=1000) == whole


@pytest.mark.parametrize("torn", [b'{"log":"half', b"\0" * 200_000, b'{"log":"x\\n","stream":"stdout","time":"2023'])
async def test_what_a_crash_left_is_cut_off(path: Path, torn: bytes) -> None:
    log = await opened(path)
    await numbered(log, 0, 3)
    await log.aclose()
    with path.open("ab") as file:
        file.write(torn)
    again = await opened(path)
    assert await text(again) == b"line 0\nline 1\nline 2\n"
    await numbered(again, 3, 4)
    assert await text(again) == b"line 0\nline 1\nline 2\nline 3\n"
    assert torn not in path.read_bytes()
    await again.aclose()


@pytest.mark.parametrize(
    "junk",
    [
        *(b"", b"null", b"[]", b"5", b'"x"', b"{}", b"\xff\xfe", b"[" * 5000, b"y" * 5_000_000),
        b'{"log":5,"time":"2023-11-14T22:13:20Z"}',
        b'{"log":"x","stream":{},"time":"2023-11-14T22:13:20Z"}',
        b'{"log":"x","time":"2023-99-14T22:13:20Z"}',
    ],
    ids=lambda junk: str(junk[:20]),
)
async def test_lines_that_are_none_are_passed_over(path: Path, junk: bytes) -> None:
    log = await opened(path)
    await numbered(log, 0, 1)
    with path.open("ab") as file:
        file.write(junk + b"\n")
    await numbered(log, 1, 2)
    assert await text(log) == b"line 0\nline 1\n"
    assert decode(junk) is None
    await log.aclose()


async def test_followers_see_everything_also_across_rotations(path: Path) -> None:
    log = await opened(path, max_size="2k", max_file="50")
    await numbered(log, 0, 5)
    followers = [one_by_one(log, follow=True) for _ in range(3)] + [one_by_one(log, follow=True, tail=2)]
    seen: list[list[bytes]] = [[] for _ in followers]

    async def follow(reader: AsyncIterator[LogEntry], into: list[bytes]) -> None:
        async for entry in reader:
            into.append(entry.data)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for reader, into in zip(followers, seen, strict=True):
            group.create_task(follow(reader, into))
        while not all(seen):
            await asyncio.sleep(0)
        await numbered(log, 5, 300)
        await log.write("stdout", START, b"no newline")
        await log.aclose()
    whole = [b"line %d\n" % number for number in range(300)] + [b"no newline"]
    assert [lines[-1] for lines in seen] == [b"no newline"] * 4
    assert [len(lines) for lines in seen] == [301, 301, 301, 298]
    assert seen == [whole, whole, whole, whole[3:]]


async def test_a_follower_that_sleeps_through_its_files_goes_on_with_the_oldest(path: Path) -> None:
    log = await opened(path, max_size="1k", max_file="2")
    await numbered(log, 0, 1)
    reader = one_by_one(log, follow=True)
    assert (await anext(reader)).data == b"line 0\n"
    await numbered(log, 1, 200)
    await log.aclose()
    rest = [entry.data async for entry in reader]
    # It held the file it was in, so that is read to its end first.
    assert rest[0] == b"line 1\n"
    assert rest[-1] == b"line 199\n"
    assert sorted(rest, key=lambda line: int(line[5:])) == rest
    assert len(rest) < 100


async def test_following_ends_at_until(path: Path) -> None:
    clock = Ticks()
    log = FileLog(str(path), FileOptions(), clock)
    await numbered(log, 0, 1)
    reader = one_by_one(log, follow=True, until=START + SECOND)
    assert (await anext(reader)).data == b"line 0\n"
    waiting = asyncio.ensure_future(anext(reader, None))
    await numbered(log, 1, 2)
    entry = await waiting
    assert entry is not None
    assert entry.data == b"line 1\n"
    waiting = asyncio.ensure_future(anext(reader, None))
    await numbered(log, 2, 3)
    assert await waiting is None
    clock.now = START + 2 * SECOND
    assert await text(log, follow=True, until=START + SECOND) == b"line 0\nline 1\n"
    await log.aclose()


async def test_reading_without_following_ends_though_writing_goes_on(path: Path) -> None:
    log = await opened(path, max_size="1k", max_file="9")
    await numbered(log, 0, 30)
    reader = one_by_one(log)
    first = await anext(reader)
    await numbered(log, 30, 60)
    rest = [entry.data async for entry in reader]
    await log.aclose()
    assert [first.data, *rest] == [b"line %d\n" % number for number in range(30)]


async def test_a_cancelled_writer_harms_nobody(path: Path) -> None:
    log = await opened(path)
    writing = asyncio.ensure_future(log.write("stdout", START, b"one\n" * 10_000))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await log.write("stdout", START, b"two\n")
    await log.aclose()
    found = await text(await opened(path))
    assert found in (b"one\n" * 10_000 + b"two\n", b"two\n", b"two\n" + b"one\n" * 10_000)


async def test_a_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    process = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    assert await process.wait() == 0
    try:
        log = await opened(folder / "c-json.log")
        await log.write("stdout", START, b"kept\n")
        with pytest.raises(ResourceExhausted, match="No space left"):
            await log.write("stdout", START, b"lost" * 100_000 + b"\n")
        await log.write("stdout", START, b"kept too\n")
        await log.write("stdout", START, b"x")
        await log.aclose()
        assert await text(log) == b"kept\nkept too\nx"
    finally:
        subprocess.run(["umount", folder], check=True)  # noqa: ASYNC221 - quick, and it must happen


async def test_none_keeps_nothing() -> None:
    log = await LogDrivers().open("none", {"anything": "goes"}, "/nonexistent/x")
    await log.write("stdout", START, b"x\n")
    with pytest.raises(Unimplemented, match="configured logging driver does not support reading"):
        log.read()
    await log.aclose()


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("journald", {}, "logger: no log driver named 'journald' is registered"),
        ("local", {"max-sise": "1"}, "unknown log opt 'max-sise' for local log driver"),
        ("local", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("syslog", {"max-size": "1"}, "unknown log opt 'max-size' for syslog log driver"),
        ("syslog", {"syslog-format": "x"}, "Invalid syslog format"),
        ("syslog", {"syslog-facility": "nobody"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-address": "host:514"}, "syslog-address should be in form proto://address, got host:514"),
        ("syslog", {"syslog-address": "http://x"}, "unsupported scheme: 'http'"),
        ("syslog", {"syslog-address": "https://x"}, "unsupported scheme: 'https'"),
        ("syslog", {"syslog-address": "udp://h:port"}, "invalid syslog-address"),
        ("syslog", {"syslog-address": "udp://:5"}, "invalid syslog-address"),
        ("syslog", {"syslog-address": "unix://dev/log"}, "must be absolute"),
        ("syslog", {"cache-disabled": "perhaps"}, "cache-disabled: strconv.ParseBool"),
        ("syslog", {"cache-max-size": "lots"}, "invalid size: 'lots'"),
        ("json-file", {"max-sise": "1"}, "unknown log opt 'max-sise' for json-file log driver"),
        ("json-file", {"max-size": "lots"}, "invalid size: 'lots'"),
        ("json-file", {"max-size": "-1"}, "invalid size: '-1'"),
        ("json-file", {"max-size": "9" * 50}, "invalid size"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "two"}, 'strconv.Atoi: parsing "two": invalid syntax'),
        ("json-file", {"max-file": "\u0665"}, "invalid syntax"),
        ("json-file", {"compress": "yes"}, 'strconv.ParseBool: parsing "yes": invalid syntax'),
        ("json-file", {"compress": "true"}, "compress cannot be true when"),
        ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
        ("json-file", {"max-buffer-size": "1m"}, "only supported with 'mode=non-blocking'"),
    ],
)
def test_options_are_refused_in_dockers_words(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check(driver, options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options() -> None:
    assert parse_json_file({}) == FileOptions(0, 1, compress=False)
    assert parse_json_file({"max-size": "10m", "max-file": "3", "compress": "1", "labels": "a"}) == FileOptions(
        10_000_000, 3, compress=True
    )
    sizes = ["32", "32b", "1k", "1.5KB", "2 mb", "1GiB", "1t", "1p"]
    assert [parse_size(size, 1000) for size in sizes] == [32, 32, 1000, 1500, 2 * 10**6, 10**9, 10**12, 10**15]
    assert parse_size("1k", 1024) == 1024
    check("json-file", {"mode": "non-blocking", "max-buffer-size": "4m"})
    check("none", {"whatever": "is fine"})


@given(st.binary(max_size=200), st.sampled_from(["stdout", "stderr"]), st.integers(0, 4 * 10**18))
def test_every_line_survives(data: bytes, stream: str, time_ns: int) -> None:
    line = encode(stream, format_time(time_ns), data)
    assert line.count(b"\n") == 1
    entry = decode(line[:-1])
    assert entry is not None
    assert (entry.stream, entry.time_ns) == (stream, time_ns)
    assert entry.data == data


@given(
    st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")),
    st.sampled_from([b"", b"\n"]),
    st.sampled_from(["stdout", "stderr"]),
    st.integers(0, 4 * 10**18),
)
def test_every_local_line_survives(data: bytes, end: bytes, stream: str, time_ns: int) -> None:
    line = encode_local(stream, stamp_local(time_ns), data + end)
    assert line.count(b"\n") == 1
    assert decode_local(line[:-1]) == LogEntry(stream, time_ns, data + end)


@pytest.mark.parametrize("junk", [b"", b"O", b"O12", b"X12 y", b"O1x2 y", b"O" + b"9" * 40 + b" y", b"\0" * 90])
def test_local_lines_that_are_none(junk: bytes) -> None:
    assert decode_local(junk) is None


async def test_local_rotates_by_itself_and_keeps_binary(tmp_path: Path) -> None:
    path = tmp_path / "c" / "local-logs" / "container.log"
    log = await LogDrivers().open("local", {"max-size": "64k", "max-file": "4"}, str(path))
    whole = b""
    for number in range(200):
        data = bytes(range(256)) * 4 + b"%d\n" % number
        whole += data
        await log.write("stdout" if number % 2 else "stderr", START + number, data)
    assert sorted(os.listdir(path.parent)) == ["container.log", *(f"container.log.{n}.gz" for n in (1, 2, 3))]
    assert gzip.decompress(Path(f"{path}.1.gz").read_bytes())[:1] in b"OE"
    kept = await text(log)
    assert whole.endswith(kept)
    assert len(kept) > 3 * 60_000
    assert await text(log, tail=3) == whole[-len(await text(log, tail=3)) :]
    await log.aclose()
    assert parse_local({}) == FileOptions(20 << 20, 5, compress=True)
    assert parse_local({"max-file": "1"}) == FileOptions(20 << 20, 1, compress=False)


_LONG = st.builds(lambda data, count: data * count, st.binary(min_size=1, max_size=20), st.integers(1_000, 3_000))


@given(st.lists(st.one_of(st.binary(max_size=50), _LONG), max_size=8))
def test_cutting_loses_nothing(chunks: list[bytes]) -> None:
    splitter = Splitter()
    parts = [part for chunk in chunks for part in splitter.feed(chunk)] + list(splitter.flush())
    assert b"".join(parts) == b"".join(chunks)
    assert all(part and len(part) <= MAX_LINE + 1 and part.find(b"\n") in (-1, len(part) - 1) for part in parts)


def test_times_of_other_writers() -> None:
    assert parse_time("2023-11-14T22:13:20Z") == START
    assert parse_time("2023-11-14T23:13:20.5+01:00") == START + SECOND // 2
    assert parse_time("2023-11-14T20:43:20-01:30") == START
    assert parse_time("2023-11-14T22:13:20.1234567891Z") == START + 123_456_789


def test_compressed_files_are_gzip(path: Path) -> None:
    from wherry.core.logs.files import LogFiles

    files = LogFiles(str(path), FileOptions(100, 2, compress=True))
    files.append([b"x" * 99 + b"\n"])
    files.append([b"y\n"])
    files.close()
    assert gzip.decompress(Path(f"{path}.1.gz").read_bytes()) == b"x" * 99 + b"\n"


async def test_a_little_output_takes_no_thread_once_the_file_is_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await opened(path, max_size="4k", max_file="3")
    await log.ready()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "to_thread", None)
        await log.write("stdout", START, b"one\ntwo\nthr")
        await log.write("stdout", START, b"ee\n")
        assert [json.loads(line)["log"] for line in path.read_text().splitlines()] == ["one\n", "two\n", "three\n"]
    # Near the end of a file, and much at once, the thread takes over: nothing is lost, no file grows too large.
    for number in range(200):
        await log.write("stdout", START, b"%d\n" % number)
    assert os.path.getsize(path) < 4096 + 200
    assert (await text(log)).endswith(b"198\n199\n")
    await log.aclose()


async def test_an_empty_file_that_is_there_takes_no_thread_one_with_half_a_line_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    path.touch()
    log = await opened(path)
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "to_thread", None)
        await log.ready()
        await log.write("stdout", START, b"one\n")
        await log.aclose()
    assert [json.loads(line)["log"] for line in path.read_text().splitlines()] == ["one\n"]
    with path.open("ab") as file:
        file.write(b'{"log":"tor')
    log = await opened(path)
    await log.write("stdout", START, b"two\n")
    await log.aclose()
    assert [json.loads(line)["log"] for line in path.read_text().splitlines()] == ["one\n", "two\n"]


async def test_little_output_on_a_full_disk_is_said_and_half_a_line_is_not_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await opened(path)
    await log.write("stdout", START, b"whole\n")
    full = os.open("/dev/full", os.O_WRONLY)
    kept = os.dup(log._files._file.fileno())
    os.dup2(full, log._files._file.fileno())
    monkeypatch.setattr(os, "ftruncate", lambda fd, size: None)
    with pytest.raises(ResourceExhausted):
        await log.write("stdout", START, b"lost\n")
    os.dup2(kept, log._files._file.fileno())
    await log.write("stdout", START, b"again\n")
    assert await text(log) == b"whole\nagain\n"
    await log.aclose()
    os.close(full)
    os.close(kept)
