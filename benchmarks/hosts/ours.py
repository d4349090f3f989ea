"""Run a compiled module under wherry's WASI, in a lean process as a container's is, but without its sandbox:
``python -I -S ours.py SRC LIBRARY COMPILED ROOT ARG...``.
"""

import gc
import os
import sys

sys.path.insert(0, sys.argv[1])

from wherry.wasm.guest import Guest, GuestConfig, Preopen
from wherry.wasm.program import Runtime


def main() -> None:
    library, compiled, root, *args = sys.argv[2:]
    runtime = Runtime(library)
    program = runtime.load(compiled)
    runtime.complete(program)
    preopens = (Preopen("/", os.open(root, os.O_RDONLY | os.O_DIRECTORY), writable=True),)
    config = GuestConfig((b"guest", *map(os.fsencode, args)), (), preopens)
    gc.freeze()
    guest = Guest(program, config, os._exit)
    guest.instantiate()
    os._exit(guest.run())


main()
