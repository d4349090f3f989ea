"""The filter that is installed, run by a small BPF machine of the test's own over every system call there is."""

import errno
import fcntl
import mmap
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.linux import bpf
from wherry.linux.syscalls import AARCH64, X86_64
from wherry.shim import policy

ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSED = 0x00050000 | errno.EPERM


def run(program: bytes, data: bytes) -> int:
    instructions = list(struct.iter_unpack("HBBI", program))
    accumulator = counter = 0
    for _ in range(len(instructions)):
        code, true, false, k = instructions[counter]
        counter += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif code == 0x06:
            return k
        elif code == 0x05:
            counter += k
        elif code == 0x15:
            counter += true if accumulator == k else false
        elif code == 0x35:
            counter += true if accumulator >= k else false
        elif code == 0x45:
            counter += true if accumulator & k else false
        else:
            raise AssertionError(hex(code))
    raise AssertionError("ran off the end")


def call(number: int, *args: int, arch: int = 0xC000003E) -> bytes:
    return struct.pack("<IIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))


@pytest.mark.parametrize(
    ("machine", "numbers", "arch"), [("x86_64", X86_64, 0xC000003E), ("aarch64", AARCH64, 0xC00000B7)]
)
def test_every_number_is_judged_by_its_name(machine: str, numbers: dict[str, int], arch: int) -> None:
    program = bpf.assemble(policy.ALLOWED, policy.CONDITIONS, refused=policy.REFUSED, numbers=numbers, machine=machine)
    allowed = {numbers[name] for name in policy.ALLOWED if name in numbers}
    special = {numbers[name] for name in (*policy.CONDITIONS, *policy.REFUSED)}
    for number in range(600):
        if number not in special:
            expected = ALLOW if number in allowed else REFUSED
            assert run(program, call(number, arch=arch)) == expected, number
    assert run(program, call(numbers["clone3"], arch=arch)) == 0x00050000 | errno.ENOSYS


def test_arguments_decide_where_they_must() -> None:
    program = bpf.assemble(policy.ALLOWED, policy.CONDITIONS, refused=policy.REFUSED, numbers=X86_64, machine="x86_64")
    rw = mmap.PROT_READ | mmap.PROT_WRITE
    assert run(program, call(X86_64["mmap"], 0, 4096, rw)) == ALLOW
    assert run(program, call(X86_64["mmap"], 0, 4096, rw | mmap.PROT_EXEC)) == REFUSED
    assert run(program, call(X86_64["mprotect"], 0, 4096, mmap.PROT_EXEC)) == REFUSED
    assert run(program, call(X86_64["fcntl"], 0, fcntl.F_SETFL)) == ALLOW
    assert run(program, call(X86_64["fcntl"], 0, fcntl.F_SETOWN)) == REFUSED
    assert run(program, call(X86_64["ioctl"], 0, 0x5412)) == REFUSED  # TIOCSTI


def test_only_plain_sockets_pass() -> None:
    conditions = policy.SOCKET_CONDITIONS
    program = bpf.assemble(policy.SOCKET_CALLS, conditions, refused={}, numbers=X86_64, machine="x86_64")
    number, flags = X86_64["socket"], socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM | flags):
            assert run(program, call(number, family, kind, 0)) == ALLOW
        assert run(program, call(number, family, socket.SOCK_RAW, 0)) == REFUSED
        assert run(program, call(number, family, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)) == REFUSED
    for family in set(range(46)) - {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}:
        assert run(program, call(number, family, socket.SOCK_STREAM, 0)) == REFUSED


def test_other_architectures_and_x32_do_not_pass() -> None:
    program = bpf.assemble(policy.ALLOWED, {}, refused={}, numbers=X86_64, machine="x86_64")
    assert run(program, call(X86_64["read"], arch=0x40000003)) == KILL
    assert run(program, call(X86_64["read"] | 0x40000000)) == REFUSED


@given(st.sets(st.sampled_from(sorted(X86_64)), max_size=120), st.integers(0, 0x3FFFFFFF))
def test_any_set_of_names_makes_a_filter_of_just_that_set(names: set[str], number: int) -> None:
    program = bpf.assemble(names, {}, refused={}, numbers=X86_64, machine="x86_64")
    expected = ALLOW if number in {X86_64[name] for name in names} else REFUSED
    assert run(program, call(number)) == expected
