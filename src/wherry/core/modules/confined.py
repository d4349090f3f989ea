"""The compiler's process as the engine starts it, ``python -m wherry.core.modules.confined``: wasm/compile.py, shut in
before it looks into a module that may be hostile."""

import sys

from wherry.linux.helper import confine
from wherry.wasm.compile import main

if __name__ == "__main__":
    sys.exit(main(confine=confine))
