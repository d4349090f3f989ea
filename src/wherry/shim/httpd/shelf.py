"""The modules that speak HTTP/2, kept in one file of the cache of compiled code, which a container's server opens while
the host's files are in reach and which is read at the first client that wants them: most servers never meet one, and
loading them takes 40 ms and megabytes.

Found by its name: that has the versions and the sources' times in it. Whoever finds none makes it, in a process of its
own. Trusted as compiled code is: see wasm/cache.py.
"""

from __future__ import annotations

import marshal
import os
import struct
import sys
import zlib
from _frozen_importlib import BuiltinImporter, FrozenImporter, ModuleSpec

from wherry.errors import WherryError
from wherry.suppress import suppress
from wherry.wasm.cache import open_trusted, write

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_ENTRY = "wherry.shim.httpd.http2.process"
_OWN = ("wire/http2.py", "wire/http1_answer.py", "shim/httpd/loop.py", "shim/httpd/beside.py", *(
    f"shim/httpd/http2/{name}.py" for name in ("__init__", "calm", "frames", "process", "session", "stream")
))  # fmt: skip
_OTHERS = ("h2/__init__.py", "hpack/__init__.py", "hyperframe/__init__.py")
_EXTENSIONS = ("binascii", "_opcode")
"""Of the modules in C that are needed, those that are files in some builds of Python: loaded ahead, for code can't be
mapped later."""
_SIZE = struct.Struct("<Q")
_PREFIX, _SUFFIX = "http2-", ".modules"
_MAKER = "import sys;sys.path[:0]=sys.argv[1].split(':');from wherry.shim.httpd.shelf import make;make(sys.argv[2])"


def open_shelf(folder: str, search: Sequence[str]) -> int:
    """A descriptor of the file in ``folder``, or -1: there is none, and none can be made, or be trusted. ``search`` are
    the packages' folders."""
    path = os.path.join(folder, _name(search))
    with suppress(WherryError, OSError, ImportError):
        for name in _EXTENSIONS:
            __import__(name)
        if not os.path.exists(path):
            _have_made(path, search)
        return open_trusted(path)
    return -1


def _name(search: Sequence[str]) -> str:
    """Other sources, another name."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    seen = [sys.version, *(_stamp(f"{package}/{name}") for name in _OWN)]
    for name in _OTHERS:
        seen += [_stamp(f"{folder}/{name}") for folder in search]
    return f"{_PREFIX}{zlib.crc32(repr(seen).encode()):08x}{_SUFFIX}"


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _have_made(path: str, search: Sequence[str]) -> None:
    """OSError."""
    command = [sys.executable, "-I", "-S", "-c", _MAKER, ":".join(search), path]
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    os.waitpid(os.posix_spawn(sys.executable, command, {}, file_actions=nothing, setsigmask=()), 0)


def make(path: str) -> None:
    """Write the file: all modules that the entry brings along and a server has not loaded. Its predecessors go."""
    before = set(sys.modules)
    __import__(_ENTRY)
    index: dict[str, tuple[bool, int, int]] = {}
    body = bytearray()
    for name in [name for name in sys.modules if name not in before]:
        code = _code(name)
        if code is not None:
            data = marshal.dumps(code)
            index[name] = hasattr(sys.modules[name], "__path__"), len(body), len(data)
            body += data
    head = marshal.dumps(index)
    write(path, _SIZE.pack(len(head)) + head + body)
    folder = os.path.dirname(path)
    for other in os.listdir(folder):
        if other.startswith(_PREFIX) and other.endswith(_SUFFIX) and other != os.path.basename(path):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, other))


def _code(name: str) -> CodeType | None:
    """None: it is no module of a file, or another one's second name."""
    spec = getattr(sys.modules[name], "__spec__", None)
    if spec is None or spec.name != name or not hasattr(spec.loader, "path"):
        return None
    code: CodeType | None = spec.loader.get_code(name)
    return code


class Shelf:
    """Finds and loads modules, as on ``sys.meta_path``. DataLoss and its like are not told: a file that is not what
    was written does not load."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        size = _SIZE.unpack(os.pread(fd, _SIZE.size, 0))[0]
        self._start = _SIZE.size + size
        self._index: dict[str, tuple[bool, int, int]] = marshal.loads(os.pread(fd, size, _SIZE.size))

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        entry = self._index.get(name)
        return None if entry is None else ModuleSpec(name, self, is_package=entry[0])  # type: ignore[arg-type]  # it has the methods of one

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual way."""

    def exec_module(self, module: ModuleType) -> None:
        _, start, size = self._index[module.__name__]
        exec(marshal.loads(os.pread(self._fd, size, self._start + start)), module.__dict__)


def speak(fd: int, line: int) -> None:
    """Be what speaks HTTP/2, of the modules in the file ``fd``. Nothing is looked for in a folder any more: those that
    are in reach are the image's."""
    sys.path[:] = []
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Shelf(fd)]
    from wherry.shim.httpd.http2.process import Process  # from the shelf

    Process(line).run()
