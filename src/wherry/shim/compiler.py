"""The compiler's process as engine and shim start it, ``python -m wherry.shim.compiler``: wasm/compile.py, shut in
before it looks into a module that may be hostile. Neither of the two imports this: it loads libwasmtime."""

import sys
from collections.abc import Sequence

from wherry.linux.helper import confine
from wherry.wasm import compile as compiling


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with command-line ``arguments``, by default the process's own. Returns the exit code."""
    return compiling.main(arguments, confine=confine)


if __name__ == "__main__":
    sys.exit(main())
