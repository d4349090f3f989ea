"""What a child allocates after the holes were filled lies side by side."""

import subprocess
import sys

import wherry

PAGE = 4096
SOURCE = wherry.__path__[0].removesuffix("/wherry")
SCRIPT = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from wherry.linux import heaps
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, (ctypes.c_size_t,), (ctypes.c_void_p,)
small = ctypes.pythonapi.PyObject_Malloc
small.restype, small.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
def scatter():
    many = [malloc(size) for size in range(24, 3000, 40) for _ in range(20)]
    for address in many[::2]:
        free(address)
    objects = [bytes(size) for size in range(1, 470, 16) for _ in range(900)]
    del objects[::2]
    return objects
def pages():
    found = [malloc(size) for size in (24, 40, 72, 136, 264, 520, 1032, 2056) * 3]
    mine = [[small(size) for _ in range(5)] for size in (48, 112, 256, 496)]
    return {at >> 12 for at in found}, [{at >> 12 for at in some} for some in mine]
kept = scatter()
if sys.argv[2] == "fill":
    heaps.fill_holes()
libcs, pools = pages()
print(len(libcs), max(map(len, pools)))
"""


def _pages(how: str) -> tuple[int, int]:
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, SOURCE, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"MALLOC_ARENA_MAX": "1"})
    libcs, pools = map(int, done.stdout.split())
    return libcs, pools


def test_what_is_allocated_after_it_lies_in_a_few_pages() -> None:
    wanted = 3 * (24 + 40 + 72 + 136 + 264 + 520 + 1032 + 2056)
    scattered, _ = _pages("leave")
    filled, pools = _pages("fill")
    assert filled <= wanted // PAGE + 6 < scattered
    assert pools <= 2


def test_it_ends_where_the_interpreter_has_no_pools() -> None:
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, SOURCE, "fill"]
    done = subprocess.run(command, check=False, env={"PYTHONMALLOC": "malloc"}, timeout=60)
    assert done.returncode == 0
