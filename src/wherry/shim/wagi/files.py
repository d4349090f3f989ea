"""A folder's files as answers: what a route with ``files`` gives. Nothing outside the folder can be named."""

from __future__ import annotations

import os
import posixpath
import stat

from wherry.shim.httpd.exchange import Abort, Exchange, Job
from wherry.wasm.wasi import resolve
from wherry.wasm.wasi.errno import WasiError
from wherry.wire.cgi import unquote
from wherry.wire.http1 import AnswerHead

_READ = 128 << 10
_INDEX = b"index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".json": "application/json",
    ".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".xml": "application/xml",
    ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
    ".webp": "image/webp", ".ico": "image/x-icon", ".wasm": "application/wasm", ".pdf": "application/pdf",
    ".woff2": "font/woff2",
}  # fmt: skip


def serve(folder: int, script: str, job: Job, exchange: Exchange) -> None:
    """Answer with the file below ``folder`` that the path names after ``script``. Abort: there is none."""
    if job.head.method not in ("GET", "HEAD"):
        raise Abort(405, "files are read by GET and HEAD")
    path = unquote(job.path[len(script) :]).encode("latin-1").lstrip(b"/")
    if not path or path.endswith(b"/"):
        path += _INDEX
    fd = _open(folder, path)
    try:
        size = os.fstat(fd).st_size
        kind = _TYPES.get(posixpath.splitext(os.fsdecode(path))[1].lower(), "application/octet-stream")
        exchange.start(AnswerHead(200, "OK", (("content-type", kind), ("x-content-type-options", "nosniff")), size))
        while not job.head_only and (data := os.read(fd, _READ)):
            exchange.write(data)
    finally:
        os.close(fd)
    exchange.end()


def _open(folder: int, path: bytes) -> int:
    """Abort: there is no such regular file."""
    try:
        if b"\0" in path:
            raise FileNotFoundError
        # Without blocking: an image may bring a FIFO.
        fd = resolve.open_beneath(folder, path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, WasiError):
        raise Abort(404, "there is no such file") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Abort(404, "there is no such file")
    return fd
