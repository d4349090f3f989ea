"""Run a module under wasmtime's own WASI, compiled by it before: ``python native.py COMPILED ROOT ARG...``.

``python native.py --compile MODULE COMPILED`` compiles it.
"""

import sys

import wasmtime


def main() -> None:
    engine = wasmtime.Engine()
    if sys.argv[1] == "--compile":
        module = wasmtime.Module.from_file(engine, sys.argv[2])
        with open(sys.argv[3], "wb") as file:
            file.write(module.serialize())
        return
    compiled, root, *args = sys.argv[1:]
    module = wasmtime.Module.deserialize_file(engine, compiled)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    config = wasmtime.WasiConfig()
    config.argv = ["guest", *args]
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    config.preopen_dir(root, "/")
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)  # type: ignore[operator]
    except wasmtime.ExitTrap as end:
        sys.exit(end.code)


main()
