"""wasmtime's own WASI, the oracle: ``python native.py`` reads a JSON request a line and answers each with one.

It is a process of its own because that host starts threads. See `Guests.native` for the fields.
"""

import json
import sys
from collections.abc import Callable

import wasmtime
import wasmtime.component

COMPONENT = b"\0asm\x0d\0\x01\0"


def module_runner(engine: wasmtime.Engine, path: str) -> Callable[[wasmtime.Store], int]:
    module, linker = wasmtime.Module.from_file(engine, path), wasmtime.Linker(engine)
    linker.define_wasi()

    def run(store: wasmtime.Store) -> int:
        linker.instantiate(store, module).exports(store)["_start"](store)
        return 0

    return run


def component_runner(engine: wasmtime.Engine, path: str) -> Callable[[wasmtime.Store], int]:
    component, linker = wasmtime.component.Component.from_file(engine, path), wasmtime.component.Linker(engine)
    linker.add_wasip2()
    name = next(name for name in component.type.exports(engine) if name.startswith("wasi:cli/run@"))
    inner = component.get_export_index("run", component.get_export_index(name))

    def run(store: wasmtime.Store) -> int:
        function = linker.instantiate(store, component).get_func(store, inner)
        assert function is not None
        return 0 if function(store).tag == "ok" else 1

    return run


def run(engine: wasmtime.Engine, runners: dict, request: dict) -> dict:
    path = request["module"]
    if path not in runners:
        with open(path, "rb") as file:
            make = component_runner if file.read(len(COMPONENT)) == COMPONENT else module_runner
        runners[path] = make(engine, path)
    config = wasmtime.WasiConfig()
    config.argv = request["args"]
    config.env = [word.split("=", 1) for word in request["environ"]]
    config.stdin_file, config.stdout_file, config.stderr_file = request["stdio"]
    for name, folder in request["preopens"]:
        config.preopen_dir(folder, name)
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    try:
        return {"code": runners[path](store)}
    except wasmtime.ExitTrap as end:
        return {"code": end.code}
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        return {"code": 134, "message": str(error)}


def main() -> None:
    engine = wasmtime.Engine()
    runners: dict = {}
    for line in sys.stdin:
        print(json.dumps(run(engine, runners, json.loads(line))), flush=True)


main()
