"""Components made of components: what one passes to another, resources of their own, and what is left out of a plan."""

import pytest

from tests.conformance.guests import Guests, Result
from wherry.errors import InvalidArgument
from wherry.wasm.component import flat
from wherry.wasm.component.linking import evaluate
from wherry.wasm.reader import Malformed

EXIT = """(import "wasi:cli/exit@0.2.3" (instance $cli (export "exit-with-code" (func (param "status-code" u8)))))
  (core func $code (canon lower (func $cli "exit-with-code")))"""
LIBC = """
  (core module $libc (memory (export "memory") 1) (global $used (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $used (i32.and (i32.add (global.get $used) (i32.const 15)) (i32.const -16)))
      (global.get $used)
      (global.set $used (i32.add (global.get $used) (local.get 3)))))
  (core instance $libc (instantiate $libc))"""
OPTIONS = '(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))'


def program(inner: str, export: str, types: str, calls: str, main: str, body: str, data: str = "") -> str:
    """A command around the component ``inner``, whose ``export`` it calls: ``calls`` lower what ``main`` imports from
    "in"; ``types`` are those that it needs for that. ``body`` leaves the exit code."""
    return f"""(component {EXIT} {inner} (instance $in (instantiate $inner)) {types} {LIBC} {calls}
  (core module $main (import "host" "code" (func $code (param i32))) (import "libc" "memory" (memory 1)) {main}
    (data (i32.const 64) "{data}")
    (func (export "run") (result i32) (call $code {body}) (i32.const 0)))
  (core instance $main (instantiate $main (with "host" (instance (export "code" (func $code))))
    (with "libc" (instance $libc)) (with "in" (instance {export}))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $exported)))"""


def echo(kind: str, core: str, result: str, *, named: str = "", after: str = "") -> str:
    """A component whose function f gives back what it gets, of type ``kind``: ``core`` is its body."""
    return f"""(component $inner {named} {LIBC}
  (core module $m (import "libc" "memory" (memory 1)) (func (export "f") {core}) {after})
  (core instance $m (instantiate $m (with "libc" (instance $libc))))
  (func (export "f") (param "a" {kind}) (result {kind})
    (canon lift (core func $m "f") {OPTIONS} {result})))"""


PAIR_BACK = """(param i32 i32) (result i32)
  (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)"""
VALUES = {
    # kind: (type, the inner body, main's import, body giving the code, data at 64, code)
    "string": ("string", PAIR_BACK, "(param i32 i32 i32)",
               """(call $f (i32.const 64) (i32.const 3) (i32.const 32))
               (i32.add (i32.load (i32.const 36)) (i32.load8_u offset=2 (i32.load (i32.const 32))))""", "abc", 3 + 99),
    "list of u16": ("(list u16)", PAIR_BACK, "(param i32 i32 i32)",
                    """(call $f (i32.const 64) (i32.const 2) (i32.const 32))
                    (i32.add (i32.load (i32.const 36)) (i32.load16_u offset=2 (i32.load (i32.const 32))))""",
                    "\\01\\02\\07\\00", 2 + 7),
    "list of bools": ("(list bool)", PAIR_BACK, "(param i32 i32 i32)",
                      """(call $f (i32.const 64) (i32.const 2) (i32.const 32))
                      (i32.add (i32.load (i32.const 36)) (i32.load8_u offset=1 (i32.load (i32.const 32))))""",
                      "\\00\\05", 3),
    "list of tuples": ("(list (tuple u8 u32))", PAIR_BACK, "(param i32 i32 i32)",
                       """(call $f (i32.const 64) (i32.const 2) (i32.const 32))
                       (i32.load8_u offset=12 (i32.load (i32.const 32)))""",
                       "\\01\\00\\00\\00\\02\\00\\00\\00\\03\\00\\00\\00\\09\\00\\00\\00", 9),
    "s8": ("s8", "(param i32) (result i32) (local.get 0)", "(param i32) (result i32)",
           "(i32.eq (call $f (i32.const -3)) (i32.const -3))", "", 1),
    "s64": ("s64", "(param i64) (result i64) (local.get 0)", "(param i64) (result i64)",
            "(i64.eq (call $f (i64.const -3)) (i64.const -3))", "", 1),
    "f32": ("f32", "(param f32) (result f32) (local.get 0)", "(param f32) (result f32)",
            "(f32.eq (call $f (f32.const 1.5)) (f32.const 1.5))", "", 1),
    "f64": ("f64", "(param f64) (result f64) (local.get 0)", "(param f64) (result f64)",
            "(f64.eq (call $f (f64.const -0.25)) (f64.const -0.25))", "", 1),
    "char": ("char", "(param i32) (result i32) (local.get 0)", "(param i32) (result i32)",
             "(i32.eq (call $f (i32.const 0x1f6a3)) (i32.const 0x1f6a3))", "", 1),
    "bool is 0 or 1": ("bool", "(param i32) (result i32) (local.get 0)", "(param i32) (result i32)",
                       "(call $f (i32.const 77))", "", 1),
    "u8 is masked": ("u8", "(param i32) (result i32) (local.get 0)", "(param i32) (result i32)",
                     "(call $f (i32.const 0x1ff))", "", 255),
    "option of f64": ("(option f64)", """(param i32 f64) (result i32)
                      (i32.store8 (i32.const 16) (local.get 0)) (f64.store (i32.const 24) (local.get 1))
                      (i32.const 16)""", "(param i32 f64 i32)",
                      """(call $f (i32.const 1) (f64.const 2.5) (i32.const 32))
                      (i32.and (i32.load8_u (i32.const 32)) (f64.eq (f64.load (i32.const 40)) (f64.const 2.5)))""",
                      "", 1),
    "joined variant": ("(result u64 (error f32))", """(param i32 i64) (result i32)
                       (i32.store8 (i32.const 16) (local.get 0)) (i64.store (i32.const 24) (local.get 1))
                       (i32.const 16)""", "(param i32 i64 i32)",
                       """(call $f (i32.const 1) (i64.extend_i32_u (i32.reinterpret_f32 (f32.const 8.5)))
                       (i32.const 32))
                       (i32.and (i32.load8_u (i32.const 32)) (f32.eq (f32.load (i32.const 40)) (f32.const 8.5)))""",
                       "", 1),
    "option of option": ("(option (option u8))", """(param i32 i32 i32) (result i32)
                         (i32.store8 (i32.const 16) (local.get 0)) (i32.store8 (i32.const 17) (local.get 1))
                         (i32.store8 (i32.const 18) (local.get 2)) (i32.const 16)""", "(param i32 i32 i32 i32)",
                         """(call $f (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 32))
                         (i32.add (i32.load8_u (i32.const 32)) (i32.load8_u (i32.const 33)))""", "", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_between_components(guests: Guests, name: str) -> None:
    kind, core, taken, body, data, code = VALUES[name]
    calls = f'(core func $f (canon lower (func $in "f") {OPTIONS}))'
    text = program(echo(kind, core, ""), '(export "f" (func $f))', "", calls,
                   f'(import "in" "f" (func $f {taken}))', body, data)  # fmt: skip
    result = guests.run_wat(text)
    assert (result.code, result.stderr, result.message) == (code, "", "")


LIES = {
    "no character": ("char", "(param i32) (result i32) (local.get 0)", "(param i32) (result i32)",
                     "(call $f (i32.const 0xd800))", "0xd800 is no character"),
    "no text": ("string", PAIR_BACK, "(param i32 i32 i32)",
                "(call $f (i32.const 64) (i32.const 1) (i32.const 32)) (i32.const 0)", "is not UTF-8"),
    "list too long": ("(list u64)", PAIR_BACK, "(param i32 i32 i32)",
                      "(call $f (i32.const 64) (i32.const 0x20000000) (i32.const 32)) (i32.const 0)",
                      "pointer out of bounds: 4294967296 bytes at 0x40"),
    "list misaligned": ("(list u32)", PAIR_BACK, "(param i32 i32 i32)",
                        "(call $f (i32.const 65) (i32.const 1) (i32.const 32)) (i32.const 0)",
                        "pointer 0x41 is not aligned to 4"),
    "answer elsewhere": ("string", "(param i32 i32) (result i32) (i32.const 65536)", "(param i32 i32 i32)",
                         "(call $f (i32.const 0) (i32.const 0) (i32.const 32)) (i32.const 0)",
                         "pointer out of bounds: 8 bytes at 0x10000"),
    "answer of no case": ("(option u8)", """(param i32 i32) (result i32)
                          (i32.store8 (i32.const 16) (i32.const 5)) (i32.const 16)""", "(param i32 i32 i32)",
                          "(call $f (i32.const 0) (i32.const 0) (i32.const 32)) (i32.const 0)", "5 is no case of 2"),
    "it traps": ("u8", "(param i32) (result i32) unreachable", "(param i32) (result i32)", "(call $f (i32.const 0))",
                 "wasm `unreachable` instruction executed"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_lies_between_components(guests: Guests, name: str) -> None:
    kind, core, taken, body, said = LIES[name]
    calls = f'(core func $f (canon lower (func $in "f") {OPTIONS}))'
    text = program(echo(kind, core, ""), '(export "f" (func $f))', "", calls,
                   f'(import "in" "f" (func $f {taken}))', body, "\\ff")  # fmt: skip
    result = guests.run_wat(text)
    assert result.code == 134, result
    assert said in result.stderr
    assert "fault of the host" not in result.stderr


def test_what_is_called_after_a_function(guests: Guests) -> None:
    """It finds the result, and may not call out; what it did is seen at the next call."""
    after = """(func (export "g") (param i32) (i32.store (i32.const 0) (i32.load offset=4 (local.get 0))))"""
    core = """(param i32 i32) (result i32) (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (i32.add (local.get 1) (i32.load (i32.const 0)))) (i32.const 16)"""
    inner = echo("string", core, '(post-return (core func $m "g"))', after=after)
    calls = f'(core func $f (canon lower (func $in "f") {OPTIONS}))'
    body = """(call $f (i32.const 64) (i32.const 3) (i32.const 32))
      (call $f (i32.const 64) (i32.const 2) (i32.const 32))
      (i32.load (i32.const 36))"""
    main = '(import "in" "f" (func $f (param i32 i32 i32)))'
    result = guests.run_wat(program(inner, '(export "f" (func $f))', "", calls, main, body, "abcdefgh"))
    assert (result.code, result.stderr) == (5, "")


COUNTERS = """(component $inner
  (core module $d (global $dropped (mut i32) (i32.const 0))
    (func (export "drop") (param i32) (global.set $dropped (i32.add (global.get $dropped) (local.get 0))))
    (func (export "dropped") (result i32) (global.get $dropped)))
  (core instance $d (instantiate $d))
  (type $own (resource (rep i32) (dtor (core func $d "drop"))))
  (core func $new (canon resource.new $own)) (core func $rep (canon resource.rep $own))
  (core func $release (canon resource.drop $own))
  (core module $m (import "r" "new" (func $new (param i32) (result i32)))
    (import "r" "rep" (func $rep (param i32) (result i32))) (import "r" "drop" (func $drop (param i32)))
    (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
    (func (export "get") (param i32) (result i32) (local.get 0))
    (func (export "eat") (param i32) (result i32) (call $rep (local.get 0)) (call $drop (local.get 0))))
  (core instance $m (instantiate $m (with "r" (instance (export "new" (func $new)) (export "rep" (func $rep))
    (export "drop" (func $release))))))
  (export $counter "counter" (type $own))
  (func (export "make") (param "n" u32) (result (own $counter)) (canon lift (core func $m "make")))
  (func (export "get") (param "c" (borrow $counter)) (result u32) (canon lift (core func $m "get")))
  (func (export "eat") (param "c" (own $counter)) (result u32) (canon lift (core func $m "eat")))
  (func (export "dropped") (result u32) (canon lift (core func $d "dropped"))))"""
COUNTER_CALLS = """(alias export $in "counter" (type $counter)) (core func $drop (canon resource.drop $counter))
  (core func $make (canon lower (func $in "make"))) (core func $get (canon lower (func $in "get")))
  (core func $eat (canon lower (func $in "eat"))) (core func $dropped (canon lower (func $in "dropped")))"""
COUNTER_IMPORTS = """(import "in" "make" (func $make (param i32) (result i32)))
  (import "in" "get" (func $get (param i32) (result i32))) (import "in" "eat" (func $eat (param i32) (result i32)))
  (import "in" "drop" (func $drop (param i32))) (import "in" "dropped" (func $dropped (result i32)))"""
COUNTER_EXPORTS = " ".join(f'(export "{name}" (func ${name}))' for name in "make get eat drop dropped".split())


def counters(guests: Guests, body: str) -> Result:
    text = program(COUNTERS, COUNTER_EXPORTS, "", COUNTER_CALLS, COUNTER_IMPORTS, body)
    return guests.run_wat(text)


def test_resources_of_another_component(guests: Guests) -> None:
    made = "(call $make (i32.const 40))"
    assert counters(guests, f"(call $get {made})").code == 40
    assert counters(guests, f"(call $drop {made}) (call $drop (call $make (i32.const 2))) (call $dropped)").code == 42
    assert counters(guests, f"(i32.add (call $eat {made}) (call $dropped))").code == 80


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("(drop (call $eat (call $make (i32.const 1)))) (call $get (i32.const 1))", "unknown handle index 1"),
        ("(drop (call $make (i32.const 1))) (call $drop (i32.const 1)) (call $get (i32.const 1))",
         "unknown handle index 1"),
        ("(call $get (i32.const 0))", "unknown handle index 0"),
    ],
)  # fmt: skip
def test_handles_that_are_gone(guests: Guests, body: str, said: str) -> None:
    result = counters(guests, body)
    assert result.code == 134
    assert said in result.stderr


def test_a_borrow_is_given_back(guests: Guests) -> None:
    """A third component gets one by a call, and keeps it."""
    keeper = """(component $keeper (import "c" (type $c (sub resource)))
      (core module $m (func (export "keep") (param i32)))
      (core instance $m (instantiate $m))
      (func (export "keep") (param "c" (borrow $c)) (canon lift (core func $m "keep"))))
      (instance $kept (instantiate $keeper (with "c" (type $counter))))
      (core func $keep (canon lower (func $kept "keep")))"""
    main = f'{COUNTER_IMPORTS} (import "in" "keep" (func $keep (param i32)))'
    body = "(call $keep (call $make (i32.const 1))) (i32.const 0)"
    calls = COUNTER_CALLS + keeper
    text = program(COUNTERS, f'{COUNTER_EXPORTS} (export "keep" (func $keep))', "", calls, main, body)
    result = guests.run_wat(text)
    assert result.code == 134
    assert "what the function borrowed is not dropped at its end" in result.stderr


def test_many_parameters_go_through_memory(guests: Guests) -> None:
    kinds = " ".join(f'(param "p{number}" u32)' for number in range(17))
    inner = f"""(component $inner {LIBC}
      (core module $m (import "libc" "memory" (memory 1)) (func (export "f") (param i32) (result i32)
        (i32.add (i32.load (local.get 0)) (i32.load offset=64 (local.get 0)))))
      (core instance $m (instantiate $m (with "libc" (instance $libc))))
      (func (export "f") {kinds} (result u32) (canon lift (core func $m "f") {OPTIONS})))"""
    calls = f'(core func $f (canon lower (func $in "f") {OPTIONS}))'
    main = '(import "in" "f" (func $f (param i32) (result i32)))'
    stored = "(i32.store (i32.const 256) (i32.const 5)) (i32.store (i32.const 320) (i32.const 7))"
    text = program(inner, '(export "f" (func $f))', "", calls, main, f"{stored} (call $f (i32.const 256))")
    assert guests.run_wat(text).code == 12
    wrong = program(inner, '(export "f" (func $f))', "", calls, main, "(call $f (i32.const 65500))")
    assert "pointer out of bounds: 68 bytes at 0xffdc" in guests.run_wat(wrong).stderr


def test_layouts() -> None:
    """https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#element-size"""
    flags = ("flags", tuple("abcdefghi"))
    assert flat.layout(flags) == (2, 2)
    assert flat.layout(("tuple", (("u8",), ("u64",), ("u16",)))) == (24, 8)
    assert flat.layout(("option", ("u64",))) == (16, 8)
    assert flat.layout(("enum", tuple(map(str, range(257))))) == (2, 2)
    assert flat.flat(("result", ("f32",), ("u64",))) == "iI"
    assert flat.flat(("result", ("f32",), ("u32",))) == "ii"
    assert flat.signature((("string",),) * 9, ("string",), lowered=True) == ("ii", "")
    assert flat.signature((("u64",),), ("string",), lowered=False) == ("I", "i")


BROKEN = [b"\0asm\x0d\0\x01\0\x0b\x02\x01\x00", b"\0asm\x0d\0\x01\0\x08\x03\x01\x00\x00",
          b"\0asm\x0d\0\x01\0\x02\x03\x01\x00\x05", b"\0asm\x0d\0\x01\0\x07\x02\x01\x99",
          b"\0asm\x0d\0\x01\0\x09\x01\x00", b"\0asm\x0d\0\x01\0\x01\x7f"]  # fmt: skip


@pytest.mark.parametrize("data", BROKEN)
def test_what_is_no_component_is_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed, match=r"malformed|truncated"):
        evaluate(data, {})


def test_more_instances_than_can_be_are_refused(guests: Guests) -> None:
    """Thirty components, each of which has two of the one before: a billion in a few bytes."""
    nested = "(component $c0)"
    for number in range(1, 31):
        nested += f"""(component $c{number} (alias outer 1 $c{number - 1} (component $inner))
          (instance (instantiate $inner)) (instance (instantiate $inner)))"""
    result = guests.run_wat(f"(component {nested} (instance (instantiate $c30)) {RUN})")
    assert result.error == InvalidArgument.__name__
    assert "has over 200000 definitions, those of all instances together" in result.message


RUN = """(core module $m (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m)) (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $exported (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $exported))"""
