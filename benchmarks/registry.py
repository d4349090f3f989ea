"""Images from and to a registry: pulled beside skopeo and umoci, unpacked beside GNU tar; the memory.

The registry is Debian's docker-registry, on loopback. The dockerd of a run has a network of its own, without it.
"""

import contextlib
import gzip
import io
import os
import random
import shutil
import socket
import tarfile
import time
from collections.abc import Iterator, Mapping

from benchmarks import proc
from benchmarks.engines import Wherryd
from benchmarks.figures import Bound, Row, Samples
from benchmarks.programs import wherry
from wherry.core.diff.apply import apply
from wherry.core.diff.target import Target
from wherry.errors import FailedPrecondition
from wherry.oci import layout, mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image import ImageConfig
from wherry.oci.manifest import Index, Manifest

_PART = "registry"
_LAYERS = 8
_FILES, _FILE = 500, 100_000
_SMALL_FILES = 20_000
_NO_SLOWER = Bound(1.0)
_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {0}}}}}
http: {{addr: "{1}"}}
"""


class RegistryPart:
    """Per round: pull by wherry and by skopeo with umoci, push; small files by our applier and by tar."""

    name = _PART

    def __init__(self, folder: str, environ: Mapping[str, str], engine: Wherryd, stack: contextlib.ExitStack) -> None:
        self._folder = os.path.join(folder, _PART)
        os.makedirs(self._folder)
        self._environ = environ
        self._engine = engine
        self._times: dict[str, Samples] = {}
        self._peak = 0.0
        self._missing = [tool for tool in ("docker-registry", "skopeo", "umoci") if shutil.which(tool) is None]
        if not self._missing:
            self._address = stack.enter_context(_registry(self._folder, environ))
            self._name = f"{self._address}/big"
            self._size = _layout(os.path.join(self._folder, "layout"))
            self._small = _small_files(os.path.join(self._folder, "small.tar"))
            self._run(
                "skopeo", "copy", "-q", "--dest-tls-verify=false", self._there("layout"), f"docker://{self._name}"
            )

    def _there(self, folder: str) -> str:
        return f"oci:{self._folder}/{folder}:big"

    def warm_up(self) -> None:
        """Nothing: the first pull is as much a pull as the others."""

    def round(self, number: int) -> None:
        """Each once."""
        if self._missing:
            return
        before = _resident(self._engine.pid)
        self._time("pull", *wherry(), "pull", "-q", self._name)
        self._peak = max(self._peak, _resident(self._engine.pid, "VmHWM") - before)
        fresh = f"{self._address}/pushed-{number}"
        self._run(*wherry(), "tag", self._name, fresh)
        self._engine_forgets_neighbours(fresh)
        self._time("push", *wherry(), "push", "-q", fresh)
        self._run(*wherry(), "rmi", fresh)
        source, there = f"docker://{self._name}", self._there("copied")
        self._time("copy", "skopeo", "copy", "-q", "--src-tls-verify=false", source, there)
        self._time("unpack", "umoci", "unpack", "--image", there.removeprefix("oci:"), f"{self._folder}/bundle")
        for made in ("copied", "bundle"):
            shutil.rmtree(os.path.join(self._folder, made))
        self._unpack()

    def _engine_forgets_neighbours(self, fresh: str) -> None:
        """Without its other name the image cannot be mounted from there: all of it is sent."""
        self._run(*wherry(), "rmi", self._name)

    def _unpack(self) -> None:
        for name in ("apply", "tar"):
            root = os.path.join(self._folder, name)
            os.mkdir(root)
            before = time.perf_counter_ns()
            if name == "apply":
                with open(self._small, "rb") as file:
                    apply(file, Target(root, (), "trusted.overlay.opaque", os.geteuid() == 0))
            else:
                self._run("tar", "-xf", self._small, "-C", root)
            self._times.setdefault(name, Samples()).add(time.perf_counter_ns() - before)
            shutil.rmtree(root)

    def _time(self, name: str, *command: str) -> None:
        before = time.perf_counter_ns()
        self._run(*command)
        self._times.setdefault(name, Samples()).add(time.perf_counter_ns() - before)

    def _run(self, *command: str) -> None:
        proc.run(command, self._engine.environ, " ".join(command[:2]))

    def rows(self) -> list[Row]:
        """Times, and how they compare."""
        if self._missing:
            note = f"no {' and no '.join(self._missing)} here"
            return [Row(_PART, "pull of an image of 8 gzip layers", "ms", None, note=note)]
        what = f"an image of {self._size / 1e6:.0f} MB in {_LAYERS} gzip layers"
        times = self._times
        other = times["copy"].median() + times["unpack"].median()
        return [
            times["pull"].row(_PART, f"pull of {what}", "ms"),
            Row(_PART, "the same by skopeo copy and umoci unpack", "ms", other / 1e6, rounds=len(times["copy"])),
            Row(_PART, "pull, times skopeo and umoci", "x", times["pull"].median() / other, bound=_NO_SLOWER),
            times["push"].row(_PART, "push of the same", "ms"),
            times["apply"].row(_PART, f"unpack of {_SMALL_FILES} small files", "ms"),
            Row(
                _PART,
                "unpack, times GNU tar",
                "x",
                times["apply"].median() / times["tar"].median(),
                bound=Bound(1.3),
            ),
            Row(_PART, "memory of the engine while it pulls, over before", "MB", self._peak, bound=Bound(60)),
        ]


@contextlib.contextmanager
def _registry(folder: str, environ: Mapping[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    config = os.path.join(folder, "registry.yml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(_CONFIG.format(os.path.join(folder, "registry"), address))

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with proc.Background(["docker-registry", "serve", config], os.path.join(folder, "log"), environ) as background:
        background.until(answers, 30, "docker-registry does not come up")
        yield address


def _layout(folder: str) -> int:
    """An OCI layout with one image, named ``big``; the bytes of its layers. Half of each file is noise, half is not."""
    noise = random.Random(1)
    layers, diff_ids = [], []
    for number in range(_LAYERS):
        plain = _archive((f"layer{number}/{file % 50}/{file}", _FILE, noise) for file in range(_FILES))
        packed = gzip.compress(plain, 4, mtime=0)
        layers.append(_put(folder, mediatypes.OCI_LAYER_GZIP, packed))
        diff_ids.append(Digest.of(plain))
    config = ImageConfig("amd64", "linux", diff_ids=tuple(diff_ids)).to_bytes()
    manifest = Manifest(_put(folder, mediatypes.OCI_CONFIG, config), tuple(layers)).to_bytes()
    _put(folder, mediatypes.OCI_MANIFEST, manifest)
    entry = Descriptor.of(mediatypes.OCI_MANIFEST, manifest, annotations={layout.REF_NAME: "big"})
    for name, data in ((layout.INDEX_FILE, Index((entry,)).to_bytes()), (layout.LAYOUT_FILE, layout.layout_document())):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    return sum(layer.size for layer in layers)


def _put(folder: str, media_type: str, data: bytes) -> Descriptor:
    blob = Descriptor.of(media_type, data)
    path = os.path.join(folder, layout.blob_path(blob.digest))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return blob


def _archive(files: Iterator[tuple[str, int, random.Random]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, size, noise in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = size, 0o644
            archive.addfile(entry, io.BytesIO(noise.randbytes(size // 2) + bytes(size - size // 2)))
    return out.getvalue()


def _small_files(path: str) -> str:
    noise = random.Random(2)
    with open(path, "wb") as file:
        file.write(_archive((f"d{number % 200}/f{number}", 1000, noise) for number in range(_SMALL_FILES)))
    return path


def _resident(pid: int, field: str = "VmRSS") -> float:
    """In MB; the high-water mark begins anew when the present figure is asked for."""
    if field == "VmRSS":
        with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1000
    raise FailedPrecondition(f"process {pid} has no {field}")
