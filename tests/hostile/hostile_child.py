"""A build of the child for these tests alone: where the guest would be made, hostile Python runs instead.

All before it is the shim as it is shipped: its server, its zygote, its spare, and each step of shutting the sandbox.
Only the name `new_guest` in child.py is bound to something else, in a server that this test starts by its own script.
The shipped code has no switch for it.
"""

import os
import sys

import attempts
import table

from wherry.linux import seccomp
from wherry.linux.assembly import Call
from wherry.shim import child


class Hostile:
    """Stands where the guest stands: its arguments are what to do."""

    runs_at_instantiation = False

    def __init__(self, _program, config, end):
        self._words = [os.fsdecode(word) for word in config.args[1:]]
        self.exit = end

    def instantiate(self):
        pass

    def run(self):
        what, *words = self._words
        if what == "native":
            attempts.other_architecture(None)
            return 0
        if what == "bomb":
            os.write(1, f"bomb\t{attempts.forks(None)}\n".encode())
            return 0
        if what == "wait":
            os.read(0, 1)
            return 0
        context = attempts.Context(words)
        for name, attempt, whole, bare in table.ATTEMPTS:
            expected = whole if what == "whole" else bare
            answer = attempts.outcome(attempt, context) if expected or attempt is attempts.descriptors else ""
            os.write(1, f"{name}\t{answer}\n".encode())
        return 0


def new_guest(program, config, end):
    """The warm-up guest, which the zygote runs in itself, stays what it is: only a child is shut in."""
    make = as_shipped if config.args == (b"warmup",) else Hostile
    return make(program, config, end)


as_shipped = child.new_guest
assert callable(as_shipped)  # renamed, the real guest would run and nothing be proven
child.new_guest = new_guest
if "bare" in sys.argv[-1:]:
    sys.argv.pop()
    seccomp.call = lambda _program: Call("leave the filter out", "getpid", ())
