"""Threads: ``wasi.thread-spawn``. Running one is threads.py's, of the folder above.

https://github.com/WebAssembly/wasi-threads#detailed-design-discussion
"""

from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.preview1 import HostFunction

MODULE = "wasi"


def thread_spawn(host: Host, start_arg: int) -> int:
    """Start a thread; its id, above 0. Negative: AGAIN, there can be no more."""
    return host.spawn(start_arg) & 0xFFFFFFFF


FUNCTION = HostFunction("thread-spawn", "i", "i", thread_spawn)
