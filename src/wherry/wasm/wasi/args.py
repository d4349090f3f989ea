"""Arguments and environment: args_get, args_sizes_get, environ_get, environ_sizes_get.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#-args_getargv-pointerpointeru8-argv_buf-pointeru8---result-errno
"""

from struct import pack

from wherry.wasm.wasi.errno import SUCCESS
from wherry.wasm.wasi.host import Host


def args_get(host: Host, argv: int, argv_buf: int) -> int:
    """Write the arguments, each with a NUL, and pointers to them."""
    return _strings(host, host.args, argv, argv_buf)


def args_sizes_get(host: Host, argc: int, argv_buf_size: int) -> int:
    """How many arguments there are, and the bytes they take with their NULs."""
    return _sizes(host, host.args, argc, argv_buf_size)


def environ_get(host: Host, environ: int, environ_buf: int) -> int:
    """Write the environment's ``NAME=value``, each with a NUL, and pointers to them."""
    return _strings(host, host.environ, environ, environ_buf)


def environ_sizes_get(host: Host, environc: int, environ_buf_size: int) -> int:
    """How many variables there are, and the bytes they take with their NULs."""
    return _sizes(host, host.environ, environc, environ_buf_size)


def _strings(host: Host, strings: tuple[bytes, ...], pointers: int, buffer: int) -> int:
    places = []
    for text in strings:
        places.append(buffer)
        buffer = (buffer + len(text) + 1) & 0xFFFFFFFF
    if strings:
        host.memory.write(places[0], b"\0".join(strings) + b"\0")
        host.memory.write(pointers, pack(f"<{len(places)}I", *places))
    return SUCCESS


def _sizes(host: Host, strings: tuple[bytes, ...], count: int, size: int) -> int:
    total = len(strings)
    for text in strings:
        total += len(text)
    host.memory.put_u32(count, len(strings))
    host.memory.put_u32(size, total)
    return SUCCESS
