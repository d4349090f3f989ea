"""The top level of a component: the names it imports and exports. Its types and inner modules are skipped.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
"""

from dataclasses import dataclass, field

from wherry.wasm.reader import Reader, sections

SECTIONS = (
    "custom",
    "core module",
    "core instance",
    "core type",
    "component",
    "instance",
    "alias",
    "type",
    "canon",
    "start",
    "import",
    "export",
)
_IMPORT = SECTIONS.index("import")
_EXPORT = SECTIONS.index("export")


@dataclass(slots=True)
class Component:
    """Names as they are written: ``wasi:cli/run@0.2.6``, or a plain one."""

    imports: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)


def parse(data: bytes) -> Component:
    """Read a component after its 8 bytes of header. Malformed says where it is not one."""
    component = Component()
    for number, reader in sections(data, 8, SECTIONS):
        if number == _IMPORT:
            for _ in range(reader.count()):
                component.imports.append(extern_name(reader))
                _extern_desc(reader)
            reader.finish()
        elif number == _EXPORT:
            for _ in range(reader.count()):
                component.exports.append(extern_name(reader))
                _sort(reader)
                reader.u32()
                if reader.byte():
                    _extern_desc(reader)
            reader.finish()
    return component


def extern_name(reader: Reader) -> str:
    form = reader.byte()
    name = reader.name()
    if form == 2:  # with attributes: a name and text each
        for _ in range(reader.count()):
            reader.byte()
            reader.name()
    elif form > 2:
        raise reader.fault(f"unknown form of name {form:#x}")
    return name


def _sort(reader: Reader) -> None:
    if reader.byte() == 0:  # a core sort: which one follows
        reader.byte()


def _extern_desc(reader: Reader) -> None:
    kind = reader.byte()
    if kind == 0:  # a core module: its core sort comes first
        reader.byte()
        reader.u32()
    elif kind in (2, 3):  # a value or type: how it is bound comes first
        if reader.byte() == 0 or kind == 2:
            reader.u32()
    elif kind in (1, 4, 5):
        reader.u32()
    else:
        raise reader.fault(f"unknown kind {kind:#x}")
