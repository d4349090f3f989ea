"""Run a compiled module under wherry's WASI, in a lean process as a container's is, but without its sandbox:
``python -I -S ours.py SRC FUEL LIBRARY COMPILED ROOT ARG...``. FUEL is "fuel" for a module that counts its steps.
"""

import gc
import os
import sys

sys.path.insert(0, sys.argv[1])

from wherry.wasm.guest import Guest, GuestConfig, Preopen
from wherry.wasm.program import Runtime


def main() -> None:
    fuel, library, compiled, root, *args = sys.argv[2:]
    runtime = Runtime(library, fuel=bool(fuel))
    program = runtime.load(compiled)
    runtime.complete(program)
    preopens = (Preopen(b"/", os.open(root, os.O_RDONLY | os.O_DIRECTORY), writable=True),)
    config = GuestConfig((b"guest", *map(os.fsencode, args)), (), preopens, fuel=1 << 62)
    gc.freeze()
    guest = Guest(program, config, os._exit)
    guest.instantiate()
    os._exit(guest.run())


main()
