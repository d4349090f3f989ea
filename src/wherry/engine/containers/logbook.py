"""Containers' logs: which driver each has, opened while it runs, read whenever somebody asks."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus

from wherry.core.logs.log import Log, LogEntry, LogFactory
from wherry.core.logs.options import TAG_FIELD
from wherry.core.tasks.fifos import LEDGER
from wherry.engine.attach import AttachOptions
from wherry.engine.containers.folders import container_folder, io_folder, log_name
from wherry.engine.patterns import search
from wherry.engine.record import Record
from wherry.engine.times import rfc3339_fixed
from wherry.errors import Unimplemented

Batch = list[tuple[str, bytes]]
"""Streams' names and bytes, a line each."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """``since`` and ``until`` in nanoseconds since the epoch (0 is unlimited), ``tail`` in lines (None is all).
    ``timestamps`` puts an RFC 3339 time and a space before each line, ``details`` the log options' labels."""

    stdout: bool = True
    stderr: bool = True
    since: int = 0
    until: int = 0
    tail: int | None = None
    follow: bool = False
    timestamps: bool = False
    details: bool = False


class Logbook:
    """One log per container, kept open from its start to its end; one that does not run is opened to be read."""

    def __init__(self, logs: LogFactory, root: str, state: str) -> None:
        self._logs = logs
        self._root = root
        self._state = state
        self._open: dict[str, Log] = {}

    async def open(self, record: Record, *, strict: bool = False) -> Log:
        """Where the container's output goes; it stays open until `close`. Unavailable, if ``strict``: it is sent to a
        server that cannot be reached."""
        log = self._open.get(record.id)
        if log is None:
            ledger = os.path.join(io_folder(self._state, record.id), LEDGER)
            log = self._open[record.id] = await self._log(record, strict=strict, ledger=ledger)
        return log

    async def close(self, container_id: str) -> None:
        """No more will be written; followers see the end. Until then it is the open log that is read: what waits for
        its newline is in no file yet."""
        log = self._open.get(container_id)
        if log is not None:
            await log.aclose()
            if self._open.get(container_id) is log:
                del self._open[container_id]

    def path(self, record: Record) -> str:
        """What `inspect` shows as the log's file: json-file's; the format of the others is nobody's business."""
        return self._file(record) if record.host_config["LogConfig"]["Type"] == "json-file" else ""

    def _file(self, record: Record) -> str:
        folder = container_folder(self._root, record.id)
        if record.host_config["LogConfig"]["Type"] == "json-file":
            return os.path.join(folder, log_name(record.id))
        return os.path.join(folder, "local-logs", "container.log")

    async def _log(self, record: Record, *, strict: bool = False, ledger: str = "") -> Log:
        config = record.host_config["LogConfig"]
        options = {**config["Config"], "tag": _tag(record)} if config["Type"] == "syslog" else config["Config"]
        attributes = _attributes(record) if config["Config"] else {}
        path = self._file(record)
        return await self._logs.open(config["Type"], options, path, strict=strict, ledger=ledger, attributes=attributes)

    async def read(self, record: Record, query: LogQuery) -> AsyncIterator[Batch]:
        """``await`` it, then iterate: what is there without waiting comes together.

        Unimplemented: the driver keeps nothing.
        """
        log = self._open.get(record.id)
        mine = log is None
        if log is None:
            log = await self._log(record)
        entries = log.read(since=query.since, until=query.until, tail=query.tail, follow=query.follow and not mine)
        return _rendered(entries, record, query, log if mine else None)

    async def replay(self, record: Record, options: AttachOptions, until: int) -> AsyncIterator[tuple[str, bytes]]:
        """What an attached client is shown first."""
        query = LogQuery(stdout=options.stdout, stderr=options.stderr, until=until)
        # A container without a log is attached to all the same.
        with contextlib.suppress(Unimplemented):
            async for batch in await self.read(record, query):
                for chunk in batch:
                    yield chunk


async def _rendered(
    batches: AsyncIterator[Sequence[LogEntry]], record: Record, query: LogQuery, owned: Log | None
) -> AsyncIterator[Batch]:
    wanted = {name for name, asked in (("stdout", query.stdout), ("stderr", query.stderr)) if asked}
    details = _details(_attributes(record)) + b" " if query.details else b""
    try:
        async for entries in batches:
            found = entries if len(wanted) == 2 else [entry for entry in entries if entry.stream in wanted]
            if not found:
                continue
            if query.timestamps or details:
                stamp = _stamp if query.timestamps else _no_stamp
                yield [(entry.stream, stamp(entry) + details + entry.data) for entry in found]
            else:
                yield [(stream, data) for stream, _, data in found]
    finally:
        if owned is not None:
            await owned.aclose()


def _stamp(entry: LogEntry) -> bytes:
    return f"{rfc3339_fixed(entry.time_ns)} ".encode()


def _no_stamp(entry: LogEntry) -> bytes:
    return b""


def _tag(record: Record) -> str:
    """``--log-opt tag=`` with what its ``{{.Field}}`` stand for; docker's default is the short id."""
    fields = {
        "ID": record.short_id,
        "FullID": record.id,
        "Name": record.name,
        "ImageID": record.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.config["Image"],
        "DaemonName": "docker",
    }
    template = record.host_config["LogConfig"]["Config"].get("tag") or "{{.ID}}"
    return TAG_FIELD.sub(lambda found: fields[found[1]], template)


def _attributes(record: Record) -> dict[str, str]:
    """What goes with each line: the labels and variables that ``--log-opt labels=`` and ``env=`` name, or patterns in
    ``labels-regex`` and ``env-regex``, and the tag if one was asked for."""
    options = record.host_config["LogConfig"]["Config"]
    variables = dict(word.partition("=")[::2] for word in record.config["Env"] or ())
    found: dict[str, str] = {}
    for kind, values in (("labels", record.labels), ("env", variables)):
        names, pattern = options.get(kind, "").split(","), options.get(f"{kind}-regex", "")
        found |= {key: value for key, value in values.items() if key in names or (pattern and search(pattern, key))}
    return {**found, "tag": _tag(record)} if options.get("tag") else found


def _details(attributes: Mapping[str, str]) -> bytes:
    """``a=b,c=d``, encoded as in a URL's query, as docker has it."""
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(attributes.items())).encode()
