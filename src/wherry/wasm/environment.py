"""What compiled code depends on beside the module: wasmtime's version, the settings, the processor. As a cache.

Apart from compile.py, since the shim's server asks for it and shall not carry the compiler's imports.
"""

from wherry.wasm import engine
from wherry.wasm.cache import Cache
from wherry.wasm.library import library_version
from wherry.wasm.sha256 import sha256


def host_features(cpuinfo: str) -> str:
    """What of ``/proc/cpuinfo`` decides about the code that is made: the processor's features."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features", "isa"):
            return " ".join(sorted(value.split()))
    return ""


def read_cpuinfo() -> str:
    """The text of ``/proc/cpuinfo``, "" if there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


_FORM = "cores 1"
"""How what is kept is put together, where that changes."""


def new_cache(folder: str, library_path: str, *, fuel: bool = False) -> Cache:
    """The cache of this machine and libwasmtime in ``folder``; of modules that count their ``fuel``, or that do not."""
    parts = (library_version(library_path), engine.settings(fuel=fuel), host_features(read_cpuinfo()), _FORM)
    return Cache(folder, sha256("\0".join(parts).encode()).hexdigest()[:16])
