"""The process that test guests are forked from, as lean as the shim: ``python -I -S zygote.py SRC LIBRARY``.

It reads one JSON request a line and answers each with one: see `Guests.run` for the fields.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import traceback

sys.path.insert(0, sys.argv[1])

from wherry.errors import WherryError
from wherry.wasm.guest import Guest, GuestConfig, Preopen
from wherry.wasm.program import Program, Runtime, new_guest
from wherry.wasm.wasi.host import SocketPolicy


def open_stdio(request):
    """Paths of stdin, stdout and stderr become fds 0, 1, 2; None leaves the number closed."""
    flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    high = [
        None if path is None else os.open(path, flag, 0o600) for path, flag in zip(request["stdio"], flags, strict=True)
    ]
    for number, fd in enumerate(high):
        if fd is None:
            os.close(number)
        else:
            os.dup2(fd, number)


def own_network():
    """A network namespace with nothing in it, so that a guest's sockets reach nobody."""
    user = 0 if os.geteuid() == 0 else 0x10000000  # CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(user | 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")


def child(runtime: Runtime, program: Program, request, report: int):
    try:
        runtime.complete(program)
        preopens = tuple(
            Preopen(os.fsencode(name), os.open(path, os.O_RDONLY | os.O_DIRECTORY), writable)
            for name, path, writable in request["preopens"]
        )
        open_stdio(request)
        if request["file_limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"],) * 2)
        if request["sockets"]:
            own_network()
        if request["patience"]:
            signal.alarm(request["patience"])
        config = GuestConfig(
            tuple(os.fsencode(arg) for arg in request["args"]),
            tuple(os.fsencode(word) for word in request["environ"]),
            preopens,
            entry=request["entry"],
            memory_limit=request["memory_limit"],
            cwd=request["cwd"],
            sockets=SocketPolicy(None, outbound=True) if request["sockets"] else None,
        )
        guest = new_guest(program, config, os._exit)
        guest.instantiate()
        code = guest.run()
        memory = guest.linear_memory() if isinstance(guest, Guest) else 0
        os.write(report, json.dumps({"memory": memory}).encode())
        os._exit(code)
    except WherryError as error:
        os.write(report, json.dumps({"error": type(error).__name__, "message": str(error)}).encode())
    except BaseException:  # noqa: BLE001 - whatever it is, the test shall see it
        os.write(report, json.dumps({"error": "traceback", "message": traceback.format_exc()}).encode())
    os._exit(99)


def serve(runtime: Runtime, request):
    try:
        program = runtime.load(request["compiled"])
        if request.get("warm"):
            runtime.warm(request["warm"])
    except WherryError as error:
        return {"error": type(error).__name__, "message": str(error)}
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(runtime, program, request, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"code": code, "start": program.runs_at_instantiation, **(json.loads(told) if told else {})}


def main():
    runtime = Runtime(sys.argv[2])
    for line in sys.stdin:
        answer = serve(runtime, json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


main()
