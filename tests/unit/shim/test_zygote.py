"""The zygote plays a child before it has any, and serves on if it can't."""

import marshal
import os
import subprocess
import sys
from pathlib import Path

import wherry
from wherry.shim import orders
from wherry.shim.birth import BIRTH, REQUEST, WARM, Instructions, Requested
from wherry.wasm.guest import GuestConfig, Preopen
from wherry.wasm.library import library_path

SOURCE = wherry.__path__[0].removesuffix("/wherry")
DEADLINE = 60
ZYGOTE = """
import os, sys
sys.path[:0] = sys.argv[1].split(":")
from wherry.linux.steps import Area
from wherry.shim import child, zygote
area = Area()
child.prepare()
made = zygote.fork(sys.argv[1].split(":"), area)
from wherry.shim import orders
for path in sys.argv[2:]:
    zygote.send(made.line, orders.warm(path, area.address), [])
made.line.shutdown(1)
print(os.waitstatus_to_exitcode(os.waitpid(made.pid, 0)[1]))
"""


def _warmed(*paths: str) -> tuple[str, str]:
    """What a zygote that was told to warm up by these, one after another, said in the end, and on stderr."""
    search = ":".join([SOURCE, *sys.path])
    command = [sys.executable, "-I", "-S", "-c", ZYGOTE, search, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    return done.stdout.strip(), done.stderr


def _compiled(cache: Path) -> str:
    command = [sys.executable, "-m", "wherry.shim.compiler", "--cache", str(cache), "--library", library_path(sys.path)]
    subprocess.run([*command, "--warmup"], check=True, capture_output=True, timeout=DEADLINE)
    (found,) = cache.glob("*.cwasm")
    return str(found)


def test_it_goes_a_childs_whole_way(tmp_path: Path) -> None:
    path = _compiled(tmp_path / "cache")
    assert _warmed(path, path) == ("0", "")


def test_it_serves_on_without(tmp_path: Path) -> None:
    path = _compiled(tmp_path / "cache")
    os.truncate(path, 100)
    said, error = _warmed(path, str(tmp_path / "none"))
    assert said == "0"
    first, second = error.splitlines()
    assert first.startswith(f"cannot warm up: compiled module {path} can't be used: ")
    assert second == f"cannot warm up: no compiled module at {tmp_path}/none"


def test_what_is_taken_by_position_lies_there() -> None:
    """child.py, zygote.py and guest.py take these apart without their names."""
    taken = "module edition spawns serves listen args env folders entry memory cwd sockets fuel refused place"
    assert Instructions.fields == tuple(taken.split())
    given = "args environ preopens entry memory_limit cwd listeners sockets fuel refused"
    assert GuestConfig.fields == tuple(given.split())
    assert Preopen.fields == ("guest_path", "fd", "writable")


def test_the_message_that_warms_has_a_birth_in_it(tmp_path: Path) -> None:
    (tmp_path / "m").touch(0o600)
    message = orders.warm(f"{tmp_path}/m", 1 << 32)
    requested = Requested(*REQUEST.unpack_from(message))
    assert requested.kind == WARM
    at = requested.arrive - orders.MESSAGE
    *_, told, told_end = BIRTH.unpack_from(message, at)
    born = Instructions(*marshal.loads(message[told - orders.MESSAGE : told_end - orders.MESSAGE]))
    assert (born.module, born.entry) == (f"{tmp_path}/m", "rehearse")
    assert born.edition.startswith(f"{tmp_path}/m\0")
