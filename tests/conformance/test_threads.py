"""Threads: what the 15 programs of wasi-threads' own suite ask, asked anew, and what happens at the edges.

The names are those of https://github.com/WebAssembly/wasi-threads (test/testsuite). In each of ours the one that waits
says so first, so that no test takes a while to be sure.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.guests import Guests, Result

HEAD = """(module
  (import "foo" "bar" (memory 1 {most} shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  {more}
  (export "memory" (memory 0))
  (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
  (func $tell (param $where i32)
    (drop (i32.atomic.rmw.add (local.get $where) (i32.const 1)))
    (drop (memory.atomic.notify (local.get $where) (i32.const -1))))
  (func $await (param $where i32) (param $count i32) (local $now i32)
    (loop $again
      (local.set $now (i32.atomic.load (local.get $where)))
      (if (i32.lt_u (local.get $now) (local.get $count)) (then
        (call $must (i32.ne (i32.const 2)
          (memory.atomic.wait32 (local.get $where) (local.get $now) (i64.const 20000000000))))
        (br $again)))))
"""
WAITS = {
    "block": "(drop (memory.atomic.wait32 (i32.const 16) (i32.const 0) (i64.const -1)))",
    "busy": "(loop $for_ever (br $for_ever))",
    "wasi": """(i64.store (i32.const 124) (i64.const 100000000000))
      (drop (call $poll (i32.const 100) (i32.const 200) (i32.const 1) (i32.const 300)))""",
    "wasi_read": """(i32.store (i32.const 100) (i32.const 200)) (i32.store (i32.const 104) (i32.const 1))
      (drop (call $read (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 300)))""",
}
START = '(func (export "wasi_thread_start") (param $tid i32) (param $arg i32) (local $n i32)'
SPAWN = "(call $must (i32.gt_s (call $spawn (i32.const 12345)) (i32.const 0)))"
TELL, AWAIT = "(call $tell (i32.const 0))", "(call $await (i32.const 0) (i32.const 1))"

WITHOUT_LIBC = (
    "-mcpu=generic+atomics+bulk_memory+mutable_globals", "-nostdlib", "-Wl,--no-entry", "-Wl,--import-memory",
    "-Wl,--shared-memory", "-Wl,--max-memory=33554432", "-Wl,-z,stack-size=65536",
)  # fmt: skip
"""How threads.c is compiled."""


def module(thread: str, main: str, *, most: int = 1, more: str = "") -> str:
    """A module whose threads run ``thread`` and whose first one runs ``main``."""
    body = f'{START} {thread})\n(func (export "_start") (local $n i32) {main}))'
    return HEAD.replace("{most}", str(most)).replace("{more}", more) + body


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A stdin on which nothing ever comes."""
    path = tmp_path / "silent"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR)
    yield path
    os.close(held)


def ended(guests: Guests, text: str, stdin: Path) -> tuple[int, str, str]:
    result: Result = guests.run_wat(text, stdin=stdin)
    return result.code, result.message, result.stderr


@pytest.mark.parametrize("wait", WAITS)
def test_exit_main(guests: Guests, silent: Path, wait: str) -> None:
    text = module(f"{TELL} {WAITS[wait]} unreachable", f"{SPAWN} {AWAIT} (call $proc_exit (i32.const 99)) unreachable")
    assert ended(guests, text, silent) == (99, "", "")


@pytest.mark.parametrize("wait", WAITS)
def test_exit_nonmain(guests: Guests, silent: Path, wait: str) -> None:
    text = module(f"{AWAIT} (call $proc_exit (i32.const 99)) unreachable", f"{SPAWN} {TELL} {WAITS[wait]} unreachable")
    assert ended(guests, text, silent) == (99, "", "")


@pytest.mark.parametrize("wait", WAITS)
def test_return_main(guests: Guests, silent: Path, wait: str) -> None:
    text = module(f"{TELL} {WAITS[wait]} unreachable", f"{SPAWN} {AWAIT}")
    assert ended(guests, text, silent) == (0, "", "")


@pytest.mark.parametrize("wait", WAITS)
def test_a_trap_in_a_thread_ends_all(guests: Guests, silent: Path, wait: str) -> None:
    text = module(
        f"{AWAIT} (drop (i32.div_u (i32.const 1) (i32.const 0)))", f"{SPAWN} {TELL} {WAITS[wait]} unreachable"
    )
    code, message, said = ended(guests, text, silent)
    assert (code, message) == (134, "")
    assert said.startswith("wasm trap: integer divide by zero\nwasm backtrace:\n")


def test_noop(guests: Guests, silent: Path) -> None:
    assert ended(guests, module("unreachable", ""), silent) == (0, "", "")


def test_spawn(guests: Guests, silent: Path) -> None:
    thread = "(i32.store (i32.const 4) (local.get $tid)) (i32.store (i32.const 8) (local.get $arg)) " + TELL
    main = f"""(local.set $n (call $spawn (i32.const 12345)))
      (call $must (i32.gt_s (local.get $n) (i32.const 0))) {AWAIT}
      (call $must (i32.eq (local.get $n) (i32.load (i32.const 4))))
      (call $must (i32.eq (i32.const 12345) (i32.load (i32.const 8)))) (call $proc_exit (i32.const 22)) unreachable"""
    assert ended(guests, module(thread, main), silent) == (22, "", "")


def test_thread_spawn_simple(guests: Guests, silent: Path) -> None:
    """Three at once, each with an id of its own and a word of its own to work on."""
    thread = """(call $tell (i32.const 0)) (call $await (i32.const 4) (i32.const 1))
      (i32.store (local.get $arg) (local.get $tid))
      (i32.store offset=4 (local.get $arg) (i32.add (i32.load offset=4 (local.get $arg)) (i32.const 8)))
      (call $tell (i32.const 8))"""
    main = """(local.set $n (i32.const 1000))
      (loop $each
        (i32.store offset=4 (local.get $n) (i32.const 52))
        (i32.store offset=8 (local.get $n) (call $spawn (local.get $n)))
        (call $must (i32.gt_s (i32.load offset=8 (local.get $n)) (i32.const 0)))
        (br_if $each (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 100))) (i32.const 1300))))
      (call $await (i32.const 0) (i32.const 3)) (call $tell (i32.const 4)) (call $await (i32.const 8) (i32.const 3))
      (local.set $n (i32.const 1000))
      (loop $each
        (call $must (i32.eq (i32.load offset=4 (local.get $n)) (i32.const 60)))
        (call $must (i32.eq (i32.load (local.get $n)) (i32.load offset=8 (local.get $n))))
        (br_if $each (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 100))) (i32.const 1300))))
      (call $must (i32.ne (i32.load (i32.const 1000)) (i32.load (i32.const 1100))))
      (call $must (i32.ne (i32.load (i32.const 1100)) (i32.load (i32.const 1200))))
      (call $must (i32.ne (i32.load (i32.const 1000)) (i32.load (i32.const 1200))))"""
    assert ended(guests, module(thread, main), silent) == (0, "", "")


def test_threads_share_descriptors_and_see_memory_grown_by_others(guests: Guests, silent: Path) -> None:
    """A thread writes what lies in a page that the first has just grown, and closes stdin for both."""
    thread = f"""(call $must (i32.eqz (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 300))))
      (call $must (i32.eqz (call $close (i32.const 0)))) {TELL}"""
    main = f"""(call $must (i32.eq (memory.grow (i32.const 2)) (i32.const 1)))
      (i32.store (i32.const 100) (i32.const 131072)) (i32.store (i32.const 104) (i32.const 3))
      (i32.store (i32.const 131072) (i32.const 0x0a6968))
      {SPAWN} {AWAIT} (call $must (i32.eq (call $close (i32.const 0)) (i32.const 8)))"""
    close = '(import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))'
    result = guests.run_wat(module(thread, main, most=4, more=close), stdin=silent)
    assert (result.code, result.stdout, result.stderr, result.memory) == (0, "hi\n", "", 3 << 16)


def test_many_threads_come_and_go(guests: Guests, silent: Path) -> None:
    """3,000 in all, each of which writes a byte; when there are too many at a time, spawning says AGAIN."""
    thread = """(call $must (i32.eqz (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 300))))
      (call $tell (i32.const 0))"""
    main = """(i32.store (i32.const 100) (i32.const 200)) (i32.store (i32.const 104) (i32.const 1))
      (i32.store8 (i32.const 200) (i32.const 46))
      (loop $again
        (if (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))
          (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 3000))))
      (call $await (i32.const 0) (i32.const 3000))"""
    result = guests.run_wat(module(thread, main), stdin=silent)
    assert (result.code, len(result.stdout), result.stderr) == (0, 3000, "")


def test_there_are_so_many_threads_and_no_more(guests: Guests, silent: Path) -> None:
    main = """(loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
      (call $must (i32.eq (call $spawn (i32.const 0)) (i32.const -6)))
      (call $must (i32.eq (local.get $n) (i32.const 1025)))"""
    assert ended(guests, module(WAITS["block"], main), silent) == (0, "", "")


def test_a_thread_that_recurses_for_ever_traps(guests: Guests, silent: Path) -> None:
    deep = "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))"
    text = module("(drop (call $deep (i32.const 0)))", f"{SPAWN} {WAITS['block']}", more="")[:-1] + deep + ")"
    code, _, said = ended(guests, text, silent)
    assert (code, said.splitlines()[0]) == (134, "wasm trap: call stack exhausted")


def test_a_memory_limit_holds_for_shared_memory_too(guests: Guests, silent: Path) -> None:
    main = """(call $must (i32.eq (memory.grow (i32.const 3)) (i32.const 1)))
      (call $must (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))"""
    text = module("", main, most=65536)
    assert guests.run_wat(text, stdin=silent, memory_limit=4 << 16).code == 0
    small = guests.run_wat(text, stdin=silent, memory_limit=1000)
    assert (small.error, "does not fit into its memory limit" in small.message) == ("ResourceExhausted", True)


def test_a_shared_memory_of_its_own_needs_no_threads(guests: Guests) -> None:
    text = """(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1 2 shared)
      (func $at_start (if (call $random (i32.const 0) (i32.const 8)) (then unreachable)))
      (func (export "_start")
        (drop (memory.grow (i32.const 1)))
        (if (call $random (i32.const 131000) (i32.const 8)) (then unreachable)) {check})
      {start})"""
    check = "(if (i64.eqz (i64.load (i32.const 0))) (then unreachable))"
    for start, then in (("", ""), ("(start $at_start)", check)):
        result = guests.run_wat(text.replace("{start}", start).replace("{check}", then))
        assert (result.code, result.stderr, result.memory) == (0, "", 2 << 16)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"wasi_thread_start"', '"start"', "exports no wasi_thread_start (i32, i32) -> ()"),
        ("(param $tid i32) (param $arg i32)", "(param $tid i32)", "exports no wasi_thread_start (i32, i32) -> ()"),
        ('(import "foo" "bar" (memory 1 1 shared))', "(memory 1 1 shared)", "no shared memory for its threads"),
        ('(import "foo" "bar" (memory 1 1 shared))', '(import "foo" "bar" (memory 1 1))', "foo.bar, which no host"),
    ],
)
def test_what_is_no_module_with_threads(guests: Guests, old: str, new: str, said: str) -> None:
    text = module("", "")
    assert old in text
    memory = text[text.index("(import") : text.index("\n", text.index("(import"))]
    head, tail = text.replace(memory + "\n", "", 1).split("  (export", 1)
    moved = f"{head}  {memory}\n  (export{tail}"  # imports come before definitions
    result = guests.run_wat((text if "memory 1" not in new or "import" in new else moved).replace(old, new))
    assert (result.error, said in result.message) == ("InvalidArgument", True), result.message


def test_c_with_a_lock_and_stacks_of_their_own(guests: Guests) -> None:
    """As a compiler makes it: with a start function that lays out memory once for all instances."""
    result = guests.run(guests.zig("threads.c", *WITHOUT_LIBC))
    assert (result.code, result.stdout, result.stderr, result.has_start) == (0, "all met\n", "", True)
