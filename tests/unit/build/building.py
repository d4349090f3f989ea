"""What the builder's tests share: contexts as tar bytes, a workshop of real drivers, images read back."""

import asyncio
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from wherry.build.archive import apply_layer, members
from wherry.build.cache import SqliteBuildCache
from wherry.build.events import BuildEvent, StepFinished
from wherry.build.request import BuildRequest, BuildResult, BuildServices, StepRunner
from wherry.build.solver import build
from wherry.build.spool import Spool
from wherry.build.tree import Tree
from wherry.core.content.local import LocalContentStore
from wherry.core.images.sqlite import SqliteImageStore
from wherry.core.leases.sqlite import SqliteLeaseStore
from wherry.core.metadata.database import Database
from wherry.core.modules.compiler import CompiledModule, Compiler
from wherry.oci.digest import Digest
from wherry.oci.manifest import Manifest
from wherry.oci.platform import Platform

WASM = b"\0asm\x01\0\0\0"
"""The smallest module there is."""

HELLO = 'FROM scratch\nCOPY hello.wasm /hello.wasm\nENTRYPOINT ["/hello.wasm"]\n'


def tar(files: Mapping[str, bytes | str | tarfile.TarInfo], *, mtime: int = 1234567890, mode: int = 0o644) -> bytes:
    """A tar archive: bytes are files, a str is a symlink's target, names ending in / are folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            header = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name.rstrip("/"))
            header.mtime = mtime
            header.mode = mode
            header.uid = header.gid = 1000
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(header)
            elif name.endswith("/"):
                header.type, header.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(header)
            elif isinstance(content, str):
                header.type, header.linkname = tarfile.SYMTYPE, content
                archive.addfile(header)
            else:
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    return out.getvalue()


def context(dockerfile: str, files: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    """A build context with a Dockerfile."""
    return tar({"Dockerfile": dockerfile.encode(), **(files or {})}, **more)


@dataclass
class FakeCompiler:
    """Remembers what it was given; refuses what is no module."""

    seen: list[bytes] = field(default_factory=list)
    fault: Exception | None = None
    exports: tuple[str, ...] = ("_start",)

    async def ensure(self, path: str, *, fuel: bool = False, progress: Any = None) -> CompiledModule:
        data = await asyncio.to_thread(Path(path).read_bytes)
        self.seen.append(data)
        if self.fault is not None:
            raise type(self.fault)(str(self.fault).replace("MODULE", Path(path).name))
        exports = [{"name": name, "kind": "func", "params": [], "results": []} for name in self.exports]
        return CompiledModule(Digest.of(data), path, {"kind": "module", "exports": exports})


class Workshop:
    """Real drivers in a folder."""

    def __init__(self, root: Path, compiler: Compiler | None = None, runner: StepRunner | None = None) -> None:
        self.root = root
        self.database = Database(str(root / "metadata.db"))
        self.numbers = numbers = count()
        self.services = BuildServices(
            content=LocalContentStore(str(root / "content")),
            images=SqliteImageStore(self.database),
            snapshots=None,  # type: ignore[arg-type]
            leases=SqliteLeaseStore(self.database),
            cache=SqliteBuildCache(self.database),
            temporary=str(root / "builds"),
            default_platform=Platform("linux", "amd64"),
            clock=lambda: 1000.0,
            new_id=lambda: f"id{next(numbers)}",
            compiler=compiler,
            runner=runner,
        )
        self.events: list[BuildEvent] = []

    def close(self) -> None:
        self.database.close()

    async def build(self, data: bytes, **fields: Any) -> BuildResult:
        self.events.clear()
        return await build(BuildRequest(data, **fields), self.services, self.events.append)

    @property
    def cached(self) -> list[bool]:
        """Of each step of the last build, whether the cache had it."""
        return [event.cached for event in self.events if isinstance(event, StepFinished)]

    def tree(self, result: BuildResult) -> Tree:
        """The root of an image."""
        content = self.services.content
        manifest = Manifest.parse(content.read(result.target))
        spool = Spool(str(self.root / "read"), result.image_id.hex[:12] + str(next(self.numbers)), 1 << 30)
        spool.open()
        tree = Tree()
        for layer in manifest.layers:
            with content.open(layer.digest) as blob:
                apply_layer(tree, members(spool.plain(blob, "layer")))
        return tree

    def files(self, result: BuildResult) -> dict[str, Any]:
        """Paths to contents (bytes), links' targets (str) or None for folders."""
        found: dict[str, Any] = {}
        for path, entry in self.tree(result).walk():
            found[path] = {"file": b"".join(entry.data.chunks()), "symlink": entry.link}.get(entry.kind)
        return found

    def nothing_left(self) -> bool:
        """Whether no lease and no temporary file is there."""
        return not list(self.services.leases.walk()) and not list((self.root / "builds").glob("*"))

    def with_(self, **changes: Any) -> None:
        self.services = replace(self.services, **changes)
