"""What inspect tells of a module, out of what inspection found in its bytes."""

from wherry.core.modules.compiler import CompiledModule
from wherry.engine.module_views import ModuleViews, module_view
from wherry.oci.digest import Digest
from wherry.wasm import module

DIGEST = Digest.parse("sha256:" + "a" * 64)


def leb(number: int) -> bytes:
    out = bytearray()
    while True:
        out.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
        if not number:
            return bytes(out)


def name(text: str) -> bytes:
    return leb(len(text)) + text.encode()


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + leb(len(content)) + content


def binary(*imports: tuple[str, str], maximum: int | None = None) -> bytes:
    """A module that imports functions of type () -> (), with a memory of two pages and a producers section."""
    memory = (b"\x00" if maximum is None else b"\x01") + leb(2) + (b"" if maximum is None else leb(maximum))
    producers = leb(1) + name("language") + leb(2) + name("C11") + name("") + name("Rust") + name("1.80")
    listed = b"".join(name(a) + name(b) + b"\x00\x00" for a, b in imports)
    return b"".join(
        (
            b"\0asm\1\0\0\0",
            section(1, leb(1) + b"\x60\x00\x00"),
            section(2, leb(len(imports)) + listed),
            section(5, leb(1) + memory),
            section(7, leb(1) + name("memory") + b"\x02\x00"),
            section(0, name("producers") + producers),
        )
    )


def view(data: bytes) -> dict:
    info = module.inspect(data, "m").to_json()
    return module_view("/m.wasm", CompiledModule(DIGEST, "/cache/m", info))


WASI = "wasi_snapshot_preview1"


def test_imports_are_grouped_in_plain_words() -> None:
    names = ["path_open", "fd_write", "clock_time_get", "random_get", "sock_accept", "sock_connect", "sock_send"]
    found = view(binary(*((WASI, item) for item in names), ("wasi", "thread-spawn"), maximum=16))
    assert found["Capabilities"] == ["files", "clocks", "random", "network", "listen", "threads"]
    assert found["Imports"] == {
        "files": ["path_open"],
        "clocks": ["clock_time_get"],
        "random": ["random_get"],
        "outbound network": ["sock_connect", "sock_send"],
        "listen": ["sock_accept"],
        "threads": ["thread-spawn"],
        "always": ["fd_write"],
    }
    assert found["Memories"] == [{"Minimum": 131072, "Maximum": 1 << 20, "Shared": False}]
    assert found["Producers"] == {"language": ["C11", "Rust 1.80"]}
    assert (found["Exports"], found["Digest"], found["Path"]) == (["memory"], str(DIGEST), "/m.wasm")


def test_a_module_that_asks_for_nothing_has_no_capabilities() -> None:
    found = view(binary())
    assert (found["Capabilities"], found["Imports"]) == ([], {})
    assert found["Memories"][0]["Maximum"] is None


def test_a_module_of_many_names_is_cut_short() -> None:
    found = view(binary(*((WASI, f"path_{number}") for number in range(5000))))
    assert len(found["Imports"]["files"]) == 1000


def test_a_view_is_made_once_for_as_long_as_the_module_is_the_same() -> None:
    views, info = ModuleViews(), module.inspect(binary((WASI, "fd_write")), "m").to_json()
    first, other = (CompiledModule(DIGEST, "/cache/m", info) for _ in range(2))
    made = views.view("/m.wasm", first)
    assert made == module_view("/m.wasm", first)
    assert views.view("/m.wasm", first) is made
    assert views.view("/n.wasm", first)["Path"] == "/n.wasm"
    assert views.view("/m.wasm", other) is not made
    for number in range(100):
        views.view(f"/{number}.wasm", first)
    assert views.view("/m.wasm", first) == made
