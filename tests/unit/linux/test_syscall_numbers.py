"""The tables of system calls, beside the kernel's own headers: also of the machine that these tests don't run on."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from wherry.linux.syscalls import AARCH64, X86_64

TABLES: Mapping[str, Mapping[str, int]] = {"aarch64": AARCH64, "x86_64": X86_64}


def headers(machine: str) -> Path:
    """Debian's: linux-libc-dev's for the machine itself, linux-libc-dev-*-cross's for another."""
    triple = f"{machine}-linux-gnu"
    return Path("/usr/include", triple) if machine == os.uname().machine else Path("/usr", triple, "include")


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_the_numbers_are_the_kernels(machine: str) -> None:
    table, folder = TABLES[machine], headers(machine)
    assert (folder / "asm/unistd.h").exists(), f"no kernel headers in {folder}: apt-get install linux-libc-dev-*-cross"
    compiler = shutil.which("gcc")
    assert compiler is not None
    others = [f"-U__{other}__" for other in TABLES if other != machine]
    command = [compiler, "-E", "-P", "-nostdinc", "-isystem", str(folder), "-isystem", "/usr/include",
               f"-D__{machine}__=1", *others, "-U__i386__", "-"]  # fmt: skip
    asked = "#include <asm/unistd.h>\n" + "".join(f"@{name} __NR_{name}\n" for name in table)
    said = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
    found = dict(line[1:].split() for line in said.splitlines() if line.startswith("@"))
    assert found == {name: str(number) for name, number in table.items()}


def test_each_machine_has_the_calls_of_the_other_or_lacks_them_by_design() -> None:
    """The generic table, which aarch64 has, left out what a newer call does as well."""
    assert X86_64.keys() - AARCH64.keys() == {"access", "dup2", "epoll_wait", "open", "poll", "select"}
    assert not AARCH64.keys() - X86_64.keys()
