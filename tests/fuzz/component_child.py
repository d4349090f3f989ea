"""Damaged components, made ready to run: ``python -m tests.fuzz.component_child FIRST COUNT``. In a process of its own,
since libwasmtime compiles in it. Prints what went wrong otherwise than in words."""

import random
import sys

from tests.unit.wasm.test_component_abi import program
from tests.unit.wasm.test_component_links import COUNTER_CALLS, COUNTER_EXPORTS, COUNTER_IMPORTS, COUNTERS
from tests.unit.wasm.test_component_links import program as composed
from wherry.errors import InvalidArgument
from wherry.wasm import engine
from wherry.wasm.binding import Library
from wherry.wasm.compile import to_binary
from wherry.wasm.component import compiling, wit
from wherry.wasm.library import library_path

TEXTS = (
    program("(call $bytes (i64.const 1) (i32.const 64))"),
    composed(COUNTERS, COUNTER_EXPORTS, "", COUNTER_CALLS, COUNTER_IMPORTS, "(call $dropped)"),
)


def damaged(data: bytes, seed: int) -> bytes:
    """A few bytes changed, taken out or put in."""
    chance = random.Random(seed)
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(8, len(found))
        if chance.random() < 0.7:
            found[at] = chance.choice((0, 1, 2, 5, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif chance.random() < 0.5:
            del found[at : at + chance.randint(1, 8)]
        else:
            found[at:at] = found[at : at + chance.randint(1, 8)]
    return bytes(found)


def main(first: int, count: int) -> None:
    library = Library(library_path(sys.path))
    made, offered = engine.new_engine(library, compiling=True), wit.load()
    whole = [to_binary(library, text.encode(), "the text") for text in TEXTS]
    for seed in range(first, first + count):
        try:
            compiling.make(library, made, damaged(whole[seed % len(whole)], seed), offered, "it")
        except (InvalidArgument, ValueError):
            continue
        except Exception as error:  # noqa: BLE001 - that there is none is what is looked for
            print(f"seed {seed}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
