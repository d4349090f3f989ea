"""What a shim tells of its guests: pages that a child wrote, whatever it wrote, and figures of processes."""

import ctypes
import os
import subprocess
import sys

import pytest

from wherry.errors import InvalidArgument
from wherry.linux.assembly import Call, perform
from wherry.linux.cgroups import Cgroup, Limits
from wherry.linux.steps import Area
from wherry.shim import figures, sandbox, usage
from wherry.shim.usage import Page, Sum, together
from wherry.wasm import imports, meter
from wherry.wasm.callbacks import address_space
from wherry.wire.metrics import Metrics
from wherry.wire.protobuf import Message, uint32
from wherry.wire.task import WaitResponse
from wherry.wire.usage import Calls, Usage

PLACE = list(imports.HOST).index(("wasi_snapshot_preview1", "fd_write"))


def page(memory: int, fuel: int, writes: int) -> Page:
    """A page as a child fills it: mapped over what was there before."""
    made = Page()
    place = Area().page
    child = meter.Meter(address_space(), place)
    child.words[meter.FUEL] = 99
    perform([Call("map", "mmap", (place, meter.SIZE, meter.READ_WRITE, meter.SHARED_FIXED, made.fd, 0))])
    child.words[meter.MEMORY], child.words[meter.FUEL] = memory, fuel
    child.words[meter.FUNCTIONS + PLACE] = writes
    return made


def test_pages_come_to_a_sum_that_outlives_them() -> None:
    total, first, second = Sum(), page(70000, 5, 2), page(65536, 7, 3)
    total.bury(first)
    total.bury(first)  # once is enough
    told = total.usage([second], 100)
    assert told == Usage(linear_memory=70000, fuel=12, fuel_limit=100, calls=(Calls(function="fd_write", count=5),))
    second.close()
    assert total.usage([second], 0).calls == (Calls(function="fd_write", count=2),)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 4095, b"\xff" * 4096, b"\xff" * 9000])
def test_a_page_may_hold_anything(damage: bytes) -> None:
    made = Page()
    os.ftruncate(made.fd, 0)
    os.pwrite(made.fd, damage, 0)
    read = made.read()
    assert read.memory == (2**64 - 1 if len(damage) >= meter.SIZE else 0)
    encoded = Sum().usage([made], 0).encode()
    assert Usage.decode(encoded).linear_memory == read.memory
    assert together(read, read).memory == read.memory
    made.close()
    made.close()


def test_who_does_not_know_of_usage_reads_the_rest() -> None:
    usage = Usage(linear_memory=5, calls=(Calls(function="fd_write", count=1),))
    assert WaitResponse.decode(WaitResponse(exit_status=3, usage=usage).encode()).usage == usage
    assert Metrics.decode(Metrics(wasm=usage).encode()).wasm == usage

    class Theirs(Message):
        exit_status: int = uint32(1)

    assert Theirs.decode(WaitResponse(exit_status=3, usage=usage).encode()).exit_status == 3


def test_figures_of_processes() -> None:
    spin = [sys.executable, "-c", "import os\nwhile os.times().user < 0.05: pass\nprint(flush=True)\ninput()"]
    child = subprocess.Popen(spin, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    told = figures.metrics_of([child.pid, 2**22 + 1], Cgroup({}), Limits(memory=-1, pids=7), Usage())
    child.communicate()
    assert told.cpu is not None
    assert told.cpu.usage is not None
    assert told.cpu.usage.total >= 50_000_000
    assert told.memory is not None
    assert told.memory.usage is not None
    assert (told.memory.usage.usage > 1 << 20, told.memory.usage.limit) == (True, 0)
    assert told.pids is not None
    assert (told.pids.current, told.pids.limit) == (1, 7)
    assert figures.together([child.pid]) == figures.Figures()


def test_fuel_is_a_number_of_units() -> None:
    assert sandbox.fuel_of({}) == 0
    assert sandbox.fuel_of({"dev.wherry.fuel": "12"}) == 12
    for text in ("0", "-1", "1.5", "\u0661", "9" * 30, "one"):
        with pytest.raises(InvalidArgument, match=r"dev\.wherry\.fuel"):
            sandbox.fuel_of({"dev.wherry.fuel": text})


def test_linear_memory_leaves_room_for_its_process() -> None:
    assert sandbox.linear_memory(None) == 0
    assert sandbox.linear_memory(64 << 20) == 62 << 20
    assert sandbox.linear_memory(1 << 20) == 1 << 19


def test_memory_is_measured_up_to_its_first_gap() -> None:
    """As a guest's lies there: its beginning a file's, more of its own, the rest reserved."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, *[ctypes.c_size_t] * 5)
    private, fixed, anonymous, none = 0x02, 0x10, 0x20, 2**64 - 1
    base = libc.mmap(None, 16 * 4096, 0, private | anonymous, none, 0)
    image = os.memfd_create("image")
    os.ftruncate(image, 4096)
    libc.mmap(base, 4096, 3, private | fixed, image, 0)
    libc.mmap(base + 4096, 2 * 4096, 3, private | fixed | anonymous, none, 0)
    libc.mmap(base + 4 * 4096, 4096, 3, private | fixed | anonymous, none, 0)
    os.close(image)
    assert usage.writable_from(os.getpid(), base) == 3 * 4096
    assert usage.writable_from(os.getpid(), base + 3 * 4096) == 0
    assert usage.writable_from(2**22 + 1, base) == 0
    made = page(5, 0, 0)
    os.pwrite(made.fd, base.to_bytes(8, "little"), 8 * meter.BASE)
    made.look(os.getpid())
    assert made.read().memory == 3 * 4096
    made.close()
