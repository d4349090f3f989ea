"""Between output and the lines of a log file: cutting, encoding, decoding. Pure.

json-file's format is Docker's: one JSON object per line with ``log``, ``stream`` and ``time``, and ``attrs`` where the
log's options name any. Text is UTF-8 there, so bytes that are not become U+FFFD, each by itself, as Go does it; beside
that ``raw`` has them as they were, in base64, for us alone. local's lines are ours: a letter for the stream (a capital
one for a whole line, a small one for a part), the time in nanoseconds, a space, the bytes.

Source: moby daemon/logger/copier.go (16 KiB) and daemon/logger/jsonfilelog/jsonlog.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final

from wherry.core.logs.log import LogEntry

MAX_LINE: Final = 16 << 10
"""Bytes after which a line is cut into parts; only the last part ends with a newline."""

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))")
_quote = json.JSONEncoder(ensure_ascii=False).encode
_HEAD: Final = b'{"log":"'
_ESCAPED: Final = {byte[0]: _quote(byte.decode())[1:-1].encode() for byte in (b"\\", b'"', b"\t", b"\r")}
_PLAIN: Final = bytes({*range(0x20, 0x100), ord("\n")} - _ESCAPED.keys())
"""What stands in JSON as it is, and newlines."""
_SECOND: Final = 1_000_000_000
_WHOLE: Final = {"stdout": b"O", "stderr": b"E"}
_PART: Final = {"stdout": b"o", "stderr": b"e"}
_TAGS: Final = {
    **{tag: (stream, b"\n") for stream, tag in _WHOLE.items()},
    **{tag: (stream, b"") for stream, tag in _PART.items()},
}
_TO_REPLACEMENT: Final = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")


class Splitter:
    """Cuts one stream's output into lines. What has no newline yet is kept for later, up to `MAX_LINE`."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def holds(self) -> bool:
        """Whether there is something that has no newline yet."""
        return bool(self._rest)

    def block(self, data: bytes) -> bytes | None:
        """All whole lines at once, if none of them is too long; None: nothing was taken, `feed` it."""
        end = data.rfind(b"\n") + 1
        whole = self._rest + data[:end] if end else b""
        rest = data[end:] if end else self._rest + data
        if len(rest) > MAX_LINE or _has_long(whole):
            return None
        self._rest = rest
        return whole

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole lines with their newline, and parts of those that are too long."""
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from _parts(line + b"\n", MAX_LINE)
        while len(self._rest) > MAX_LINE:
            cut = _boundary(self._rest, MAX_LINE)
            part, self._rest = self._rest[:cut], self._rest[cut:]
            yield part

    def flush(self) -> Iterator[bytes]:
        """What is left, at the end of the stream."""
        rest, self._rest = self._rest, b""
        if rest:
            yield rest


def encode(stream: str, time: bytes, line: bytes, attributes: bytes = b"") -> bytes:
    """One line of a json-file log; ``time`` as `format_time` gives it, ``attributes`` a field with its comma."""
    try:
        text, raw = line.decode(), b""
    except UnicodeDecodeError:
        text = line.decode(errors="surrogateescape").translate(_TO_REPLACEMENT)
        raw = b',"raw":"%b"' % base64.b64encode(line)
    quoted = _quote(text).encode()
    return b'{"log":%b,"stream":"%b"%b,"time":"%b"%b}\n' % (quoted, stream.encode(), attributes, time, raw)


def encode_block(stream: str, time: bytes, block: bytes, attributes: bytes = b"") -> bytes | None:
    """As `encode` of each line of ``block``, all whole, without a step of Python for each. None: it is not all text."""
    try:
        text = "" if block.isascii() else block.decode()
    except UnicodeDecodeError:
        return None
    quoted = block[:-1]
    odd = set(quoted.translate(None, _PLAIN))
    if odd <= _ESCAPED.keys():
        for byte in sorted(odd, reverse=True):  # the backslash first
            quoted = quoted.replace(bytes((byte,)), _ESCAPED[byte])
        newline = b"\n"
    else:
        # A backslash of the text's own may have an n behind it; what is quoted has no NUL.
        text = _quote((text or block.decode())[:-1])[1:-1]
        quoted, newline = text.encode().replace(b"\\\\", b"\0"), b"\\n"
    end = b'\\n","stream":"%b"%b,"time":"%b"}\n' % (stream.encode(), attributes, time)
    quoted = quoted.replace(newline, end + _HEAD)
    return _HEAD + (quoted if newline == b"\n" else quoted.replace(b"\0", b"\\\\")) + end


def decode(line: bytes) -> LogEntry | None:
    """The entry in one line of a json-file log; None for a line that is none: a crash or somebody's editor left it."""
    try:
        value = json.loads(line)
        text, stream = value.get("log", ""), value.get("stream", "")
        if not isinstance(stream, str):
            return None
        raw = value.get("raw")
        data = text.encode(errors="replace") if raw is None else base64.b64decode(raw, validate=True)
        return LogEntry(stream, parse_time(value["time"]), data)
    except (ValueError, binascii.Error, KeyError, TypeError, AttributeError, RecursionError):
        return None


def decode_lines(lines: Iterable[bytes]) -> list[LogEntry]:
    """`decode` of each, without those that are none. Lines of one write end alike: stream and time are read once."""
    found: list[LogEntry] = []
    end, stream, time = b"\0", "", 0
    for line in lines:
        if line.endswith(end) and line.startswith(_HEAD):
            data = _unquoted(line[len(_HEAD) : -len(end)])
            if data is not None:
                found.append(LogEntry(stream, time, data))
                continue
        entry = decode(line)
        if entry is None:
            continue
        found.append(entry)
        at = line.rfind(b'","stream":"')
        end = line[at:] if at >= 0 and b'","raw":' not in line[at:] else b"\0"
        stream, time = entry.stream, entry.time_ns
    return found


def _unquoted(text: bytes) -> bytes | None:
    """What stands between the quotes of a JSON string; None: it is no such thing."""
    if text.find(b"\\") == len(text) - 2 and text.endswith(b"\\n") and b'"' not in text:
        return text[:-2] + b"\n"
    try:
        value = json.loads(b'"%b"' % text)
    except ValueError:
        return None
    return value.encode(errors="replace") if isinstance(value, str) else None


def encode_local(stream: str, time: bytes, line: bytes) -> bytes:
    """One line of a local log; ``time`` as `stamp_local` gives it."""
    if line.endswith(b"\n"):
        return b"%b%b %b" % (_WHOLE[stream], time, line)
    return b"%b%b %b\n" % (_PART[stream], time, line)


def encode_local_block(stream: str, time: bytes, block: bytes) -> bytes:
    """As `encode_local` of each line of ``block``, all whole."""
    head = b"%b%b " % (_WHOLE[stream], time)
    return head + block[:-1].replace(b"\n", b"\n" + head) + b"\n"


def decode_local(line: bytes) -> LogEntry | None:
    """The entry in one line of a local log; None for a line that is none."""
    time, space, data = line[1:].partition(b" ")
    known = _TAGS.get(line[:1])
    if known is None or not space or not time.isdigit() or len(time) > 20:
        return None
    stream, end = known
    return LogEntry(stream, int(time), data + end)


def decode_local_lines(lines: Iterable[bytes]) -> list[LogEntry]:
    """`decode_local` of each, without those that are none."""
    return [entry for entry in map(decode_local, lines) if entry is not None]


def stamp_local(time_ns: int) -> bytes:
    """Nanoseconds since the epoch, in digits."""
    return b"%d" % max(time_ns, 0)


def format_time(time_ns: int) -> bytes:
    """RFC 3339 in UTC with nanoseconds, trailing zeros left out, as Go's RFC3339Nano."""
    seconds, nanos = divmod(time_ns, _SECOND)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09}".rstrip("0") if nanos else ""
    return f"{moment}{fraction}Z".encode()


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch. ValueError."""
    seconds, _, fraction = text.partition(".")
    if fraction.endswith("Z") and fraction.isascii() and fraction[:-1].isdigit():  # as we write it
        return _seconds(f"{seconds}Z") * _SECOND + int(fraction[:-1][:9].ljust(9, "0"))
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return _seconds(text) * _SECOND + int((match[7] or "").ljust(9, "0"))


@lru_cache(maxsize=128)
def _seconds(text: str) -> int:
    """The whole seconds of a time; those of one second have the same."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    offset = int(match[9] or 0) * 3600 + int(match[10] or 0) * 60
    return int(moment.timestamp()) - (offset if match[8] == "+" else -offset)


def _has_long(block: bytes) -> bool:
    """Whether one of the whole lines has more than `MAX_LINE` bytes: a few searches, however many lines they are."""
    at = 0
    while len(block) - at > MAX_LINE + 1:
        at = block.rfind(b"\n", at, at + MAX_LINE + 1) + 1
        if not at:
            return True
    return False


def _parts(line: bytes, size: int) -> Iterator[bytes]:
    # The newline is no byte of the line's own.
    while len(line) > size + 1:
        cut = _boundary(line, size)
        yield line[:cut]
        line = line[cut:]
    yield line


def _boundary(data: bytes, at: int) -> int:
    """``at``, or up to three bytes less, so that no character is cut in two."""
    for back in range(4):
        byte = data[at - back]
        if byte & 0xC0 != 0x80:
            return at - back
    return at


@dataclass(frozen=True, slots=True)
class Format:
    """What the lines of a log file look like. ``stamp`` is called once for all lines of one time; ``encode_block`` may
    answer None, and then ``encode`` is called for each."""

    stamp: Callable[[int], bytes]
    encode: Callable[[str, bytes, bytes], bytes]
    encode_block: Callable[[str, bytes, bytes], bytes | None]
    decode_lines: Callable[[Iterable[bytes]], list[LogEntry]]


JSON_LINES: Final = Format(format_time, encode, encode_block, decode_lines)


def json_lines(attributes: Mapping[str, str]) -> Format:
    """json-file's with these in each line, for those that read the file itself. Docker calls them ``attrs``."""
    if not attributes:
        return JSON_LINES
    field = b',"attrs":' + json.dumps(dict(sorted(attributes.items())), separators=(",", ":")).encode()
    return Format(format_time, partial(encode, attributes=field), partial(encode_block, attributes=field), decode_lines)


LOCAL_LINES: Final = Format(stamp_local, encode_local, encode_local_block, decode_local_lines)
