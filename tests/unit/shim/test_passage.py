"""A child's way into its sandbox, as a value: which layers, in which order, and that none may fail unnoticed."""

import errno
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import FailedPrecondition, Internal, InvalidArgument
from wherry.linux import capabilities, clone
from wherry.linux.assembly import Block, Call
from wherry.shim import orders, passage
from wherry.shim.birth import Command, RootMount, Sandbox, Volume
from wherry.shim.passage import Facts, Owner
from wherry.wasm.program import Traits
from wherry.wasm.wasi.host import SocketPolicy

ROOT = Owner(False, 0, 0)
USER = Owner(True, 1000, 1000)
FILTERS = (b"plain  .", b"sockets.", b"threads.", b"both   .")
POLICY = SocketPolicy(frozenset({(80, "tcp"), (53, "udp")}), outbound=False)


def facts(owner: Owner = ROOT, *, files: frozenset[str] = frozenset(), joins: int = 0, sockets: bool = False) -> Facts:
    return Facts(owner, 6, files, 1 << 32, 2 << 32, joins, sockets)


def sandbox(**changes: Any) -> Sandbox:
    values = {"rootfs": "/r", "mounts": (RootMount("overlay", "overlay", ("lowerdir=/l",), ""),), "volumes": (),
              "readonly": False, "hostname": "", "flags": 0, "network": ""}  # fmt: skip
    return Sandbox(**(values | changes))


def command(**changes: Any) -> Command:
    values = {"module": "/m", "entry": "_start", "args": ("m",), "env": (), "cwd": "/", "terminal": False,
              "console_size": None, "uid": 0, "gid": 0, "groups": (), "umask": None,
              "capabilities": frozenset({"CAP_DAC_OVERRIDE", "CAP_NET_BIND_SERVICE"}), "rlimits": ()}  # fmt: skip
    return Command(**(values | changes))


def names(calls: tuple[Call, ...]) -> list[str]:
    return [call.name for call in calls if call.name not in ("close", "dup3")]


def filter_of(calls: tuple[Call, ...]) -> bytes:
    program = calls[-1].args[2]
    assert isinstance(program, Block)
    return program.pointers[0][1]


def test_the_layers_come_in_the_order_in_which_each_still_can_be_put_on() -> None:
    box = sandbox(hostname="h", network="/n", volumes=(Volume("/src", "/data", True, True),))
    what = command(rlimits=(("RLIMIT_NOFILE", 5, 2**64 - 1),), umask=0o22, uid=7, gid=8, groups=(9,))
    assert names(passage.entry(box, what, facts(joins=1))) == [
        "fcntl", "mmap", "write", "setns", "mount", "open_tree", "chdir", "pivot_root", "umount2", "chdir", "mkdirat",
        "mount_setattr", "move_mount", "mount_setattr", "sethostname", "prlimit64", "openat", "openat",
    ]  # fmt: skip
    shutting = passage.shutting(box, what, facts(), FILTERS[0])
    assert names(shutting) == [
        "umask", "setgroups", "setresgid", "setresuid", "prctl", "capset", "prctl", "landlock_create_ruleset",
        "openat", "landlock_add_rule", "landlock_restrict_self", "seccomp",
    ]  # fmt: skip
    assert filter_of(shutting) == FILTERS[0]


def test_nothing_may_fail_but_what_is_there_already() -> None:
    box = sandbox(volumes=(Volume("/src", "/data", True, True), Volume("/file", "/etc/x", False, False)))
    all_of_it = (
        *passage.arrival([3], USER),
        *passage.entry(box, command(cwd="/a/b"), facts(USER, files=frozenset({"/file"}), joins=2)),
        *passage.shutting(box, command(uid=1), facts(USER), FILTERS[0]),
    )
    fine = {(call.name, call.fine) for call in all_of_it if call.fine}
    assert fine == {("mkdirat", errno.EEXIST), ("mknodat", errno.EEXIST)}


def test_in_a_user_namespace_capabilities_leave_the_bounding_set_one_by_one() -> None:
    shutting = passage.shutting(sandbox(), command(groups=(4,)), facts(USER), FILTERS[0])
    assert "setgroups" not in names(shutting)  # which is denied there
    dropped = {call.args[1] for call in shutting if call.name == "prctl" and call.args[0] == 24}
    assert capabilities.NUMBERS["CAP_SYS_ADMIN"] in dropped
    assert capabilities.NUMBERS["CAP_DAC_OVERRIDE"] not in dropped


def test_sockets_and_ports_only_for_who_can_and_may() -> None:
    def effective(*, may: bool, can: bool) -> Any:
        box = sandbox(sockets=POLICY if may else None)
        shutting = passage.shutting(box, command(), facts(sockets=can), FILTERS[0])
        (ids,) = (call.args[1] for call in shutting if call.name == "capset")
        assert isinstance(ids, Block)
        rules = [call.args[1] for call in shutting if call.name == "landlock_add_rule"]
        return bool(int.from_bytes(ids.data[:4], "little") & 1 << 10), rules

    assert effective(may=True, can=True) == (True, [1, 2, 2])  # the root folder, port 0, port 80
    assert effective(may=True, can=False) == effective(may=False, can=True) == (False, [1])


@pytest.mark.parametrize(
    ("traits", "policy", "wanted"),
    [
        (Traits(), POLICY, 0), (Traits(imports_sockets=True), POLICY, 1), (Traits(imports_sockets=True), None, 0),
        (Traits(spawns=True), None, 2), (Traits(imports_sockets=True, spawns=True), POLICY, 3),
    ],
)  # fmt: skip
def test_the_filter_is_the_one_for_what_the_module_imports(
    traits: Traits, policy: SocketPolicy | None, wanted: int
) -> None:
    what = facts(sockets=traits.imports_sockets)
    order = orders.bear(sandbox(sockets=policy), command(), "/c", traits, what, FILTERS, beside=False)
    assert filter_of(order.calls) == FILTERS[wanted]
    assert order.message.count(FILTERS[wanted]) == 1


def test_a_server_of_http_brings_its_own_filter_and_an_exec_in_it_does_not() -> None:
    box = sandbox(http=(((),), "wagi", ()))
    for traits in (Traits(), Traits(answers_http=True)):
        served = orders.bear(box, command(), "/c", traits, facts(), FILTERS, beside=False)
        assert served.calls[-1].name != "seccomp"
        beside = orders.bear(box, command(), "/c", traits, facts(), FILTERS, beside=True)
        assert beside.calls[-1].name == "seccomp"


def test_a_file_is_covered_by_a_file_and_is_no_folder_for_the_guest() -> None:
    box = sandbox(volumes=(Volume("/file", "/etc/x/y", True, False),))
    what = facts(files=frozenset({"/file"}))
    assert [call.what for call in passage.entry(box, command(), what) if call.name in ("mkdirat", "mknodat")] == [
        "/etc", "/etc/x", "/etc/x/y",
    ]  # fmt: skip
    assert passage.folders(box, what) == [("/", True)]
    assert passage.folders(sandbox(refused=("path_*",)), facts()) == []


def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    at = str(tmp_path / "file")
    assert passage.files_among([Volume(at, "/a", True, True), Volume("", "/t", True, True)]) == {at}
    with pytest.raises(FailedPrecondition, match=r"cannot enter the rootfs: .*/nowhere: No such file or directory"):
        passage.files_among([Volume(str(tmp_path / "nowhere"), "/a", True, True)])


def test_faults_are_told_of_arrival_and_birth() -> None:
    arrival = orders.conceive(orders.Conception(0, "", True, False, False), 1 << 32, USER)
    born = orders.bear(sandbox(), command(), "/c", Traits(), facts(), FILTERS, beside=False)
    mapped = next(index for index, call in enumerate(arrival.calls) if call.doing == "map user ids")
    assert "cannot map user ids: /proc/self/" in str(orders.fault(arrival, born, mapped, errno.EPERM))
    mounted = next(index for index, call in enumerate(born.calls) if call.name == "mount")
    told = orders.fault(arrival, born, orders.FIRST + mounted, errno.EPERM)
    assert str(told) == "cannot mount the rootfs: /r: Operation not permitted"
    assert isinstance(orders.fault(arrival, born, orders.FIRST + len(born.calls), 1), Internal)
    assert isinstance(orders.fault(arrival, None, 4711, 1), Internal)


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="256 KiB"):
        orders.bear(sandbox(), command(env=("x" * (1 << 18),)), "/c", Traits(), facts(), FILTERS, beside=False)


def test_clone_flags_go_to_the_kernel_or_to_who_joins() -> None:
    flags = clone.CLONE_NEWNS | clone.CLONE_NEWPID
    first = orders.conceive(orders.Conception(flags, "", False, False, False), 0, ROOT)
    assert clone.CLONE_ARGS.pack(flags | clone.CLONE_PARENT, 0, 0) in first.message
    beside = orders.conceive(orders.Conception(flags, "/m", False, True, True), 0, ROOT)
    assert clone.CLONE_ARGS.pack(clone.CLONE_PARENT | clone.CLONE_INTO_CGROUP, 0, 0) in beside.message
    assert "mount" not in names(beside.calls)
