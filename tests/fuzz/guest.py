"""The fuzzed guest: a module that reads calls of WASI functions, with the memory they are made in, and makes them.

What it reads is `MEMORY` bytes of memory, then the number of calls, then a `CALL` for each. It ends after the last one,
by proc_exit, or with a trap.
"""

from struct import Struct

from wherry.wasm.wasi.preview1 import FUNCTIONS as PREVIEW1
from wherry.wasm.wasi.preview1 import MODULE, HostFunction
from wherry.wasm.wasi.sock_table import FUNCTIONS as SOCKETS

DIALECTS = 3
MEMORY = 0x10000
PAGES = 4
SIZE = PAGES * 0x10000
ARGUMENTS = 10
HEADER = Struct("<I4x")
CALL = Struct(f"<I4x{ARGUMENTS}Q")
MOST_CALLS = (0x10000 - HEADER.size) // CALL.size

_WASM = {"i": "i32", "I": "i64"}


def _types(keyword: str, letters: str) -> str:
    return f"({keyword} {' '.join(_WASM[letter] for letter in letters)})" if letters else ""


def functions(dialect: int) -> tuple[HostFunction, ...]:
    """All there are but the sockets of other dialects: they share names, and a module imports each name once."""
    names = dict.fromkeys(function.name for function in SOCKETS)
    variants = [[function for function in SOCKETS if function.name == name] for name in names]
    return (*PREVIEW1, *(variant[dialect % len(variant)] for variant in variants))


def _import(function: HostFunction) -> str:
    signature = f"{_types('param', function.params)} {_types('result', function.results)}"
    return f'(import "{MODULE}" "{function.name}" (func ${function.name} {signature}))'


def _call(function: HostFunction) -> str:
    loads = " ".join(
        f"({_WASM[letter]}.load offset={8 + 8 * index} (local.get $at))" for index, letter in enumerate(function.params)
    )
    call = f"(call ${function.name} {loads})"
    return f"(drop {call})" if function.results else call


def wat(dialect: int) -> str:
    """The module as text: one arm of a ``br_table`` for each function."""
    known = functions(dialect)
    arms = "(block " * len(known)
    names = " ".join(str(index) for index in range(len(known)))
    arms += f"(br_table {names} (i32.rem_u (i32.load (local.get $at)) (i32.const {len(known)}))))"
    body = arms
    for function in known[:-1]:
        body += f"\n{_call(function)} (return))"
    body += f"\n{_call(known[-1])}"
    imports = "\n".join(_import(function) for function in known)
    return f"""(module
{imports}
(memory (export "memory") {PAGES})
(func $one (param $at i32)
{body})
(func (export "_start") (local $left i32) (local $at i32)
  (i32.store (i32.const {SIZE - 16}) (i32.const 0))
  (i32.store (i32.const {SIZE - 12}) (i32.const {2 * MEMORY}))
  (drop (call $fd_read (i32.const 0) (i32.const {SIZE - 16}) (i32.const 1) (i32.const {SIZE - 8})))
  (local.set $left (i32.load (i32.const {MEMORY})))
  (local.set $at (i32.const {MEMORY + HEADER.size}))
  (loop $next
    (if (local.get $left) (then
      (call $one (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const {CALL.size})))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next))))))
"""
