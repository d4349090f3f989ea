"""What a module says of itself, read from its bytes, and whether it can run here: no engine, nothing run.

The parsers live in binary.py and component/names.py; what the host offers stands in imports.py; the choice of the
export that is run in entry.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wherry.errors import InvalidArgument
from wherry.wasm import binary, imports
from wherry.wasm.binary import Export, FuncType, Import, MemoryType
from wherry.wasm.component import names
from wherry.wasm.reader import Malformed

MAGIC = b"\0asm"
_MODULE = b"\x01\0\0\0"
_COMPONENT = b"\x0d\0\x01\0"
_RUN = "wasi:cli/run@0.2."
_HANDLER = "wasi:http/incoming-handler@0.2."
_MOST_NAMED = 8
_THREAD_ENTRY = "wasi_thread_start"
_ELF_MACHINES = {
    0x3E: "amd64",
    0xB7: "arm64",
    0xF3: "riscv64",
    0x28: "arm",
    0x03: "386",
    0x15: "ppc64le",
    0x16: "s390x",
}


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """A module's or component's face. A component has only ``imports`` and ``exports``, by name.

    ``memories`` are the imported and the own ones; ``producers`` who made it (``language``, ``processed-by``, ``sdk``).
    """

    kind: Literal["module", "component"]
    size: int
    imports: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()
    memories: tuple[MemoryType, ...] = ()
    has_start: bool = False
    name: str = ""
    producers: Mapping[str, tuple[tuple[str, str], ...]] | None = None
    custom_sections: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as JSON's values."""
        return {
            "kind": self.kind,
            "size": self.size,
            "imports": [
                {"module": item.module, "name": item.name, "kind": item.kind, **_type_json(item.type)}
                for item in self.imports
            ],
            "exports": [{"name": item.name, "kind": item.kind, **_type_json(item.type)} for item in self.exports],
            "memories": [_type_json(memory)["memory"] for memory in self.memories],
            "start": self.has_start,
            "name": self.name,
            "producers": {key: [list(pair) for pair in pairs] for key, pairs in (self.producers or {}).items()},
            "customSections": list(self.custom_sections),
        }

    @property
    def wasi(self) -> str:
        """Which WASI it imports: ``preview1``, ``0.2``, ``0.3``, ``preview0`` or "" for none."""
        if self.kind == "component":
            return _component_wasi(self)
        modules = {item.module for item in self.imports}
        if "wasi_snapshot_preview1" in modules:
            return "preview1"
        return "preview0" if "wasi_unstable" in modules else ""


def _type_json(item: FuncType | MemoryType | None) -> dict[str, Any]:
    if isinstance(item, FuncType):
        return {"params": list(item.params), "results": list(item.results)}
    if isinstance(item, MemoryType):
        values = {"min": item.minimum, "max": item.maximum, "shared": item.shared, "is64": item.is64}
        return {"memory": values | {"pageSize": item.page_size}}
    return {}


def inspect(data: bytes, name: str) -> ModuleInfo:
    """Read a module's or component's sections. ``name`` is for messages. InvalidArgument: not one, or broken."""
    if data[:4] != MAGIC or len(data) < 8:
        raise InvalidArgument(f"{name} {_what_else(data)}")
    try:
        if data[4:8] == _MODULE:
            return _module_info(data)
        if data[4:8] == _COMPONENT:
            return _component_info(data)
    except Malformed as error:
        raise InvalidArgument(f"{name} {error}") from None
    version = int.from_bytes(data[4:8], "little")
    raise InvalidArgument(f"{name} has WebAssembly version {version:#x}: version 1 is supported")


def is_text(data: bytes) -> bool:
    """Whether it is WebAssembly text (``.wat``): it starts with ``(module``, after blanks and comments."""
    rest = data[:65536].lstrip()
    while rest.startswith(b";;"):
        rest = rest.partition(b"\n")[2].lstrip()
    return rest.startswith((b"(module", b"(component", b"(;"))


def check_runnable(info: ModuleInfo, name: str) -> None:
    """Raise InvalidArgument, naming the reason, for what can't run here: an import that is not offered, a component
    that is no program, or of WASI 0.3. A component's imports are looked at with their types: component/types.py."""
    if info.kind == "component":
        refusal = _component_refusal(info)
        if refusal:
            raise InvalidArgument(f"{name} is a component{refusal}")
        return
    for item in info.imports:
        reason = _import_fault(item)
        if reason:
            raise InvalidArgument(f"{name} imports {item.module}.{item.name}{reason}")
    _check_dialects(info, name)
    if imports.spawns(info.to_json()):
        _check_threads(info, name)
    if info.wasi and any(memory.is64 for memory in info.memories):
        raise InvalidArgument(f"{name} has a 64-bit memory: WASI preview 1 has 32-bit pointers, build for wasm32")


def _check_dialects(info: ModuleInfo, name: str) -> None:
    """A name means one function: whoever is linked of WasmEdge's sockets and of WAMR's may ask for both of one."""
    found: dict[str, object] = {}
    for item in info.imports:
        if imports.is_socket(item.module, item.name) and found.setdefault(item.name, item.type) != item.type:
            raise InvalidArgument(
                f"{name} imports {item.module}.{item.name} both as {found[item.name]} and as {item.type}: build it for "
                "one runtime's sockets"
            )


def _check_threads(info: ModuleInfo, name: str) -> None:
    """https://github.com/WebAssembly/wasi-threads#design-choice-instance-per-thread"""
    entry = next((item for item in info.exports if item.name == _THREAD_ENTRY), None)
    if entry is None or entry.type != FuncType(("i32", "i32"), ()):
        raise InvalidArgument(f"{name} imports wasi.thread-spawn but exports no {_THREAD_ENTRY} (i32, i32) -> ()")
    if not any(item.kind == "memory" for item in info.imports):
        raise InvalidArgument(f"{name} imports wasi.thread-spawn but no shared memory for its threads to meet in")


def _module_info(data: bytes) -> ModuleInfo:
    core = binary.parse(data)
    return ModuleInfo(
        "module",
        len(data),
        tuple(core.imports),
        tuple(core.exports),
        tuple(core.memories),
        core.has_start,
        core.name,
        {key: tuple(pairs) for key, pairs in core.producers.items()},
        tuple(core.customs),
    )


def _component_info(data: bytes) -> ModuleInfo:
    found = names.parse(data)
    imported = tuple(Import("", name, "component") for name in found.imports)
    exported = tuple(Export(name, "component") for name in found.exports)
    # Its cores' start functions run when it is instantiated, and are not looked for here.
    return ModuleInfo("component", len(data), imported, exported, has_start=True)


def _import_fault(item: Import) -> str:
    """What is wrong with an import, as the end of the message; "" if nothing is."""
    if isinstance(item.type, MemoryType) and item.type.shared:
        return " with 64-bit addresses" if item.type.is64 else ""
    offered = imports.offered(item.module, item.name) if item.kind == "func" else ()
    if not offered:
        return imports.reason(item.module, item.name)
    wanted = [FuncType(imports.signature(one.params), imports.signature(one.results)) for one in offered]
    return "" if item.type in wanted else f" as {item.type}, but it is {' or '.join(map(str, wanted))}"


def _component_wasi(info: ModuleInfo) -> str:
    versions = {name.partition("@")[2] for name in _wasi_names(info)}
    return "0.3" if any(version.startswith("0.3") for version in versions) else "0.2"


def _wasi_names(info: ModuleInfo) -> list[str]:
    names = [item.name for item in info.imports] + [item.name for item in info.exports]
    return [name for name in names if name.startswith("wasi:")]


def _component_refusal(info: ModuleInfo) -> str:
    for item in info.imports:
        if item.name.startswith("wasi:") and item.name.partition("@")[2].startswith("0.3"):
            return f" that imports {item.name}: WASI 0.3 is not supported"
    if any(name.partition("@")[2].startswith("0.3") for name in _wasi_names(info)):
        return ": WASI 0.3 is not supported"
    exports = [item.name for item in info.exports]
    if any(name.startswith((_RUN, _HANDLER)) for name in exports):
        return ""
    listed = ", ".join(exports[:_MOST_NAMED]) + (", ..." if len(exports) > _MOST_NAMED else "")
    return (
        f" that exports neither wasi:cli/run@0.2 nor wasi:http/incoming-handler@0.2: it exports {listed or 'nothing'}"
    )


def _what_else(data: bytes) -> str:
    """What bytes that are no module are, as the end of "NAME ..."."""
    if not data:
        return "is not a WebAssembly module: it is empty"
    if data[:4] == b"\x7fELF":
        machine = int.from_bytes(data[18:20], "big" if data[5:6] == b"\x02" else "little")
        return f"is an ELF executable: run it as linux/{_ELF_MACHINES.get(machine, 'amd64')}"
    if MAGIC.startswith(data[:4]):
        return f"is truncated at byte {len(data)} (section header)"
    if data[:2] == b"#!":
        return "is not a WebAssembly module: it is a script"
    start = data[:4]
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        shown = repr(start.decode("ascii"))[1:-1]
        return f'is not a WebAssembly module: it starts with "{shown}" (text?)'
    return f"is not a WebAssembly module: it starts with the bytes {start.hex(' ')}"
