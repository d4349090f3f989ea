"""The engine's memory while it pulls more than it could ever hold: gigabytes that a registry of our own makes up.

Nothing of it is on the disk but what the engine writes, which is twice its size: blobs and files.
"""

import contextlib
import hashlib
import http.server
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from random import Random

from benchmarks import proc
from benchmarks.engines import Wherryd
from benchmarks.figures import Bound, Row
from benchmarks.programs import wherry
from benchmarks.registry import resident
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Manifest

_PART = "large"
_LAYER = 1 << 30
_NOISE = Random(4).randbytes(1 << 20)
_END = bytes(1024)


def large_rows(engine: Wherryd, gigabytes: int) -> list[Row]:
    """Pull as many layers of 1 GiB, forget them; the largest memory meanwhile over what it was before."""
    heads = [_head(number) for number in range(gigabytes)]
    layers = tuple(_descriptor(head) for head in heads)
    config = ImageConfig("amd64", "linux", diff_ids=tuple(layer.digest for layer in layers)).to_bytes()
    manifest = Manifest(Descriptor.of(mediatypes.OCI_CONFIG, config), layers)
    blobs = {str(layer.digest): head for layer, head in zip(layers, heads, strict=True)}
    with _registry(manifest.to_bytes(), config, blobs) as address:
        name = f"{address}/large"
        before, started = resident(engine.pid), time.perf_counter_ns()
        proc.run([*wherry(), "pull", "-q", name], engine.environ, f"pull of {gigabytes} GiB")
        taken = (time.perf_counter_ns() - started) / 1e6
        peak = resident(engine.pid, "VmHWM") - before
        proc.run([*wherry(), "rmi", name], engine.environ, "rmi")
    what = f"{gigabytes} layers of 1 GiB, not compressed"
    return [
        Row(_PART, f"pull of {what}", "ms", taken, rounds=1),
        Row(_PART, "memory of the engine meanwhile, over before", "MB", peak, rounds=1, bound=Bound(60)),
    ]


def _head(number: int) -> bytes:
    entry = tarfile.TarInfo(f"noise-{number}")
    entry.size = _LAYER
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _pieces(head: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(_LAYER // len(_NOISE)):
        yield _NOISE
    yield _END


def _descriptor(head: bytes) -> Descriptor:
    hashed = hashlib.sha256()
    for piece in _pieces(head):
        hashed.update(piece)
    digest = Digest.parse(f"sha256:{hashed.hexdigest()}")
    return Descriptor(mediatypes.OCI_LAYER, digest, len(head) + _LAYER + len(_END))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none."""


@contextlib.contextmanager
def _registry(manifest: bytes, config: bytes, heads: Mapping[str, bytes]) -> Iterator[str]:
    """Serve one image from a thread; the address."""
    documents = {"latest": manifest, str(Digest.of(manifest)): manifest, str(Digest.of(config)): config, "": b"{}"}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(self.path.rpartition("/")[2])

        def do_HEAD(self) -> None:
            self._answer(self.path.rpartition("/")[2])

        def _answer(self, name: str) -> None:
            document = documents.get(name)
            size = len(document) if document is not None else _LAYER + len(heads[name]) + len(_END)
            self.send_response(200)
            self.send_header("Content-Type", mediatypes.OCI_MANIFEST)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command == "GET":
                for piece in [document] if document is not None else _pieces(heads[name]):
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
