"""What the kernel lets this user do, asked by a process with threads as wherryd is one."""

import errno
import os
import subprocess
import sys

from wherry.linux import clone, probe

TRIES = 300
CROWD = f"""
import sys, threading
from wherry.linux.probe import can_clone

over = threading.Event()

def busy():
    while not over.is_set():
        sum(range(50))

for _ in range(3):
    threading.Thread(target=busy, daemon=True).start()
sys.setswitchinterval(1e-6)
for _ in range({TRIES}):
    assert can_clone(0) is None
over.set()
"""


def test_a_child_does_not_wait_for_threads_that_it_does_not_have() -> None:
    done = subprocess.run([sys.executable, "-c", CROWD], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_kernel_refuses_is_told() -> None:
    refused = probe.can_clone(clone.CLONE_NEWUSER | 0x200)  # CLONE_FS: a contradiction
    assert refused is not None
    assert refused.errno == errno.EINVAL
    assert refused.strerror == os.strerror(errno.EINVAL)
