"""wasmtime's own WASI, the oracle: ``python native.py`` reads a JSON request a line and answers each with one.

It is a process of its own because that host starts threads. See `Guests.native` for the fields.
"""

import json
import sys

import wasmtime


def run(engine: wasmtime.Engine, modules: dict, request: dict) -> dict:
    module = modules.get(request["module"])
    if module is None:
        module = modules[request["module"]] = wasmtime.Module.from_file(engine, request["module"])
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    config = wasmtime.WasiConfig()
    config.argv = request["args"]
    config.env = [word.split("=", 1) for word in request["environ"]]
    config.stdin_file, config.stdout_file, config.stderr_file = request["stdio"]
    for name, folder in request["preopens"]:
        config.preopen_dir(folder, name)
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    try:
        instance = linker.instantiate(store, module)
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as end:
        return {"code": end.code}
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        return {"code": 134, "message": str(error)}
    return {"code": 0}


def main() -> None:
    engine = wasmtime.Engine()
    modules: dict = {}
    for line in sys.stdin:
        print(json.dumps(run(engine, modules, json.loads(line))), flush=True)


main()
