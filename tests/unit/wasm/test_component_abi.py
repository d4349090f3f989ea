"""The canonical ABI between a component and the host: what is passed arrives, and a guest that lies ends with a trap in
words, never with a fault of the host."""

import pytest

from tests.conformance.guests import Guests, Result

IMPORTS = """
  (import "wasi:cli/exit@0.2.3" (instance $cli
    (export "exit" (func (param "status" (result))))
    (export "exit-with-code" (func (param "status-code" u8)))))
  (import "wasi:random/random@0.2.3" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:cli/environment@0.2.3" (instance $env
    (export "get-arguments" (func (result (list string))))
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:http/types@0.2.3" (instance $http
    (export "fields" (type $fields (sub resource)))
    (export "outgoing-request" (type $request (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.has" (func (param "self" (borrow $fields)) (param "name" string) (result bool)))
    (export "[constructor]outgoing-request" (func (param "headers" (own $fields)) (result (own $request))))))
"""
LOWERED = """
  (core func $exit (canon lower (func $cli "exit")))
  (core func $code (canon lower (func $cli "exit-with-code")))
  (core func $bytes (canon lower (func $random "get-random-bytes")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $u64 (canon lower (func $random "get-random-u64")))
  (core func $args (canon lower (func $env "get-arguments") ENCODING
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $environ (canon lower (func $env "get-environment") ENCODING
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $has (canon lower (func $http "[method]fields.has") ENCODING (memory (core memory $libc "memory"))))
  (core func $request (canon lower (func $http "[constructor]outgoing-request")))
  (alias export $http "fields" (type $owned))
  (core func $drop (canon resource.drop $owned))
"""
FUNCTIONS = """
    (import "host" "exit" (func $exit (param i32)))
    (import "host" "code" (func $code (param i32)))
    (import "host" "bytes" (func $bytes (param i64 i32)))
    (import "host" "u64" (func $u64 (result i64)))
    (import "host" "args" (func $args (param i32)))
    (import "host" "environ" (func $environ (param i32)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "has" (func $has (param i32 i32 i32) (result i32)))
    (import "host" "request" (func $request (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
"""
NAMES = "exit code bytes u64 args environ fields has request drop".split()
GIVEN = "(instance " + " ".join(f'(export "{name}" (func ${name}))' for name in NAMES) + ")"
BUMP = """
    (global $used (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (global.set $used (i32.and (i32.add (global.get $used) (i32.const 15)) (i32.const -16)))
      (global.get $used)
      (global.set $used (i32.add (global.get $used) (local.get $new))))
"""


def program(body: str, *, realloc: str = BUMP, encoding: str = "", data: str = "") -> str:
    """A command whose ``body`` runs with the functions above; its memory has ``data`` at 64."""
    return f"""(component {IMPORTS}
  (core module $libc (memory (export "memory") 1) {realloc})
  (core instance $libc (instantiate $libc))
  {LOWERED.replace("ENCODING", encoding)}
  (core module $main {FUNCTIONS} (import "libc" "memory" (memory 1)) (data (i32.const 64) "{data}")
    (func (export "run") (result i32) {body} (i32.const 0)))
  (core instance $main (instantiate $main (with "host" {GIVEN}) (with "libc" (instance $libc))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $exported)))"""


def told(result: Result) -> str:
    """The first line of a trap."""
    assert result.code == 134, result
    return result.stderr.splitlines()[0].removeprefix("wasm trap: ")


HAS = "wasi:http/types.[method]fields.has"
LIES = {
    "text beyond the memory": ("(drop (call $has (call $fields) (i32.const 65530) (i32.const 100)))",
                               f"{HAS}: pointer out of bounds: 100 bytes at 0xfffa of a memory of 0x10000"),
    "text of 4 GiB": ("(drop (call $has (call $fields) (i32.const 0) (i32.const -1)))",
                      f"{HAS}: a text of 4294967295 bytes is too long"),
    "text that wraps around": ("(drop (call $has (call $fields) (i32.const -1) (i32.const 2147483647)))",
                               f"{HAS}: pointer out of bounds: 2147483647 bytes at 0xffffffff"),
    "text that is none": ("(drop (call $has (call $fields) (i32.const 64) (i32.const 2)))",
                          f"{HAS}: the text at 0x40 is not UTF-8"),
    "result beyond the memory": ("(call $bytes (i64.const 1) (i32.const 65532))",
                                 "wasi:random/random.get-random-bytes: pointer out of bounds: 8 bytes at 0xfffc"),
    "result misaligned": ("(call $bytes (i64.const 1) (i32.const 66))",
                          "wasi:random/random.get-random-bytes: pointer 0x42 is not aligned to 4"),
    "no such case": ("(call $exit (i32.const 7))", "wasi:cli/exit.exit: 7 is no case of 2"),
    "no such handle": ("(drop (call $has (i32.const 9) (i32.const 0) (i32.const 0)))",
                       f"{HAS}: unknown handle index 9"),
    "handle 0": ("(call $drop (i32.const 0))", "resource.drop: unknown handle index 0"),
    "handle of another type": ("(drop (call $has (call $request (call $fields)) (i32.const 0) (i32.const 0)))",
                               f"{HAS}: handle index 1 is of another resource type"),
    "dropped twice": ("(call $drop (call $fields)) (call $drop (i32.const 1))",
                      "resource.drop: unknown handle index 1"),
    "used after it was dropped": (
        "(call $drop (call $fields)) (drop (call $has (i32.const 1) (i32.const 0) (i32.const 0)))",
        f"{HAS}: unknown handle index 1"),
    "given twice": ("(drop (call $request (call $fields))) (drop (call $request (i32.const 2)))",
                    "wasi:http/types.[constructor]outgoing-request: unknown handle index 2"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), LIES.values(), ids=LIES)
def test_a_lie_is_a_trap_in_words(guests: Guests, body: str, said: str) -> None:
    assert told(guests.run_wat(program(body, data="\\ff\\fe"))).startswith(said)


def _realloc(body: str) -> str:
    return f'(func (export "realloc") (param i32 i32 i32 i32) (result i32) {body})'


ALLOCATORS = {
    "outside": (_realloc("(i32.const 65530)"), "pointer out of bounds: 100 bytes at 0xfffa"),
    "far outside": (_realloc("(i32.const -16)"), "pointer out of bounds: 100 bytes at 0xfffffff0"),
    "traps": (_realloc("unreachable"), "its allocator failed: "),
    "never there": (_realloc("(drop (memory.grow (i32.const 65536))) (i32.const 131072)"), "pointer out of bounds"),
}


@pytest.mark.parametrize(("realloc", "said"), ALLOCATORS.values(), ids=ALLOCATORS)
def test_an_allocator_that_lies(guests: Guests, realloc: str, said: str) -> None:
    result = guests.run_wat(program("(call $bytes (i64.const 100) (i32.const 64))", realloc=realloc))
    assert told(result).startswith(f"wasi:random/random.get-random-bytes: {said}")


def test_an_allocator_whose_place_is_not_aligned(guests: Guests) -> None:
    result = guests.run_wat(program("(call $args (i32.const 64))", realloc=_realloc("(i32.const 1027)")))
    assert told(result) == "wasi:cli/environment.get-arguments: pointer 0x403 is not aligned to 4"


def test_memory_that_grows_while_it_is_allocated_is_written(guests: Guests) -> None:
    grows = _realloc("(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))")
    body = """(call $bytes (i64.const 60000) (i32.const 64))
      (call $code (i32.and (i32.eq (i32.load (i32.const 64)) (i32.const 65536))
        (i64.ne (i64.load (i32.const 125000)) (i64.const 0))))"""
    assert guests.run_wat(program(body, realloc=grows)).code == 1


def test_more_random_bytes_than_there_is_memory(guests: Guests) -> None:
    said = told(guests.run_wat(program("(call $bytes (i64.const 100000) (i32.const 64))")))
    assert "pointer out of bounds: 100000 bytes at 0x1000" in said


def test_an_allocator_may_not_call_out(guests: Guests) -> None:
    text = program("(call $bytes (i64.const 100) (i32.const 64))")
    # The allocator comes by a table that the program fills with an import of its own.
    text = text.replace(
        BUMP,
        """
      (type $void (func (result i64))) (table (export "table") 1 funcref)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (drop (call_indirect (type $void) (i32.const 0))) (i32.const 1024))""",
    )
    text = text.replace('(import "libc" "memory" (memory 1))',
                        '(import "libc" "memory" (memory 1)) (import "libc" "table" (table 1 funcref)) '
                        "(elem (i32.const 0) func $u64)")  # fmt: skip
    said = told(guests.run_wat(text))
    assert said.startswith("wasi:random/random.get-random-bytes: its allocator failed: ")
    assert "get-random-u64: it is called while the component may not be left" in said


def test_handles_are_bounded(guests: Guests) -> None:
    said = told(guests.run_wat(program("(loop $more (drop (call $fields)) (br $more))")))
    assert said == "wasi:http/types.[constructor]fields: over 65536 resources are held at once"


@pytest.mark.parametrize(
    ("encoding", "unit"),
    [("", 1), ("string-encoding=utf8", 1), ("string-encoding=utf16", 2), ("string-encoding=latin1+utf16", 1)],
)
def test_texts_of_each_encoding_arrive(guests: Guests, encoding: str, unit: int) -> None:
    """The second word's length and its last unit, of "aé"; of "aλ" in the last encoding, which is wide then."""
    body = f"""(call $args (i32.const 64))
      (call $code (i32.add
        (i32.and (i32.load offset=12 (i32.load (i32.const 64))) (i32.const 0x7fffffff))
        (i32.load8_u (i32.add (i32.load offset=8 (i32.load (i32.const 64))) (i32.const {unit})))))"""
    text = program(body, encoding=encoding)
    expected = {1: 3 + 0xC3, 2: 2 + 0xE9}[unit] if "latin1" not in encoding else 2 + 0xE9
    assert run(guests, text, "aé").code == expected
    if "latin1" in encoding:
        wide = run(guests, text.replace(f"(i32.const {unit})))))", "(i32.const 2)))))"), "aλ")
        assert wide.code == 2 + 0xBB
    elif unit == 2:
        assert run(guests, text, "aλ").code == 2 + 0xBB


def run(guests: Guests, text: str, *args: str) -> Result:
    return guests.run(guests.wat(text), args)


def test_texts_of_utf16_are_read(guests: Guests) -> None:
    wrong = program("(drop (call $has (call $fields) (i32.const 64) (i32.const 1)))",
                    encoding="string-encoding=utf16", data="\\00\\d8")  # fmt: skip
    assert told(guests.run_wat(wrong)) == f"{HAS}: the text at 0x40 is not UTF-16-LE"
    odd = program("(drop (call $has (call $fields) (i32.const 65) (i32.const 1)))", encoding="string-encoding=utf16")
    assert told(guests.run_wat(odd)) == f"{HAS}: pointer 0x41 is not aligned to 2"
    right = program("(call $code (call $has (call $fields) (i32.const 64) (i32.const 1)))",
                    encoding="string-encoding=utf16", data="a\\00")  # fmt: skip
    assert guests.run_wat(right).code == 0


WRONG = {
    "run": ('(func $f (result u32) (canon lift (core func $m "f")))', '"run" (func $f)', "wasi:cli/run@0.2.0",
            "exports run of wasi:cli/run@0.2.0 as func() -> u32, but it is func() -> result<_, _>"),
    "other name": ('(func $f (result u32) (canon lift (core func $m "f")))', '"ran" (func $f)', "wasi:cli/run@0.2.0",
                   "exports wasi:cli/run@0.2.0 without the function run"),
    "handle": ('(func $f (param "a" u32) (result u32) (canon lift (core func $m "g")))', '"handle" (func $f)',
               "wasi:http/incoming-handler@0.2.0",
               "as func(u32) -> u32, but it is func(own<resource>, own<resource>)"),
    "resources": ('(func $f (param "a" (own $kind)) (param "b" (own $kind)) (canon lift (core func $m "h")))',
                  '"handle" (func $f)', "wasi:http/incoming-handler@0.2.0",
                  "exports handle of wasi:http/incoming-handler@0.2.0 with other resources than the specification's"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "exported", "interface", "said"), WRONG.values(), ids=WRONG)
def test_exports_of_another_type_are_refused_in_words(
    guests: Guests, function: str, exported: str, interface: str, said: str
) -> None:
    text = f"""(component (type $own (resource (rep i32))) (export $kind "kind" (type $own))
      (core module $c (func (export "f") (result i32) (i32.const 0))
        (func (export "g") (param i32) (result i32) (i32.const 0)) (func (export "h") (param i32 i32)))
      (core instance $m (instantiate $c))
      {function} (instance $i (export {exported})) (export "{interface}" (instance $i)))"""
    result = guests.run_wat(text)
    assert result.error == "InvalidArgument", result
    assert said in result.message
