"""Plans: what a spec, ours or anybody's, means for a WASM guest."""

from pathlib import Path
from typing import Any

import pytest

from wherry.errors import InvalidArgument, NotFound
from wherry.linux import clone
from wherry.oci.mount import Mount
from wherry.oci.spec import Spec
from wherry.shim import birth, sandbox


def spec(**changes: Any) -> Spec:
    document: dict[str, Any] = {
        "ociVersion": "1.1.0",
        "process": {"args": ["/hello.wasm", "one"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount"}]},
    }
    return Spec.from_json(document | changes)


def test_namespaces_are_those_of_the_spec() -> None:
    plan = sandbox.plan_sandbox(spec(), (), "/b")
    assert plan.flags == clone.CLONE_NEWNS | clone.CLONE_NEWPID | clone.CLONE_NEWNET
    assert plan.rootfs == "/b/rootfs"
    joined = spec(linux={"namespaces": [{"type": "network", "path": "/run/netns/x"}]})
    assert sandbox.plan_sandbox(joined, (), "/b").network == "/run/netns/x"


def test_kernel_filesystems_are_no_volumes() -> None:
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        {"destination": "/sys/fs/cgroup", "type": "bind", "source": "/sys/fs/cgroup", "options": ["rbind"]},
        {"destination": "/data/../etc", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
        {"destination": "tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=64k"]},
    ]
    assert sandbox.plan_sandbox(spec(mounts=mounts), (), "/b").volumes == (
        birth.Volume("/srv", "/etc", readonly=True, recursive=True),
        birth.Volume("", "/tmp", readonly=False, recursive=False, data="size=64k"),
    )


def test_minus_one_and_zero_are_no_limits() -> None:
    limited = spec(linux={"resources": {"memory": {"limit": -1}, "cpu": {"quota": 0, "shares": 512}}})
    limits = sandbox.limits_of(limited.linux.resources)
    assert (limits.memory, limits.quota, limits.shares) == (None, None, 512)


def test_an_export_can_be_named() -> None:
    command = sandbox.plan_command(spec(process={"args": ["/m.wasm#add", "1"], "cwd": "w"}).process)
    assert (command.module, command.entry, command.args, command.cwd) == ("/m.wasm", "add", ("/m.wasm", "1"), "/w")


@pytest.mark.parametrize("process", [{"args": [], "cwd": "/"}, {"args": ["/a\0b"], "cwd": "/"}])
def test_what_cannot_be_run_is_refused(process: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        sandbox.plan_command(spec(process=process).process)


def test_only_file_capabilities_are_ever_kept() -> None:
    asked = {"effective": ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_NET_RAW"]}
    process = {"args": ["/m.wasm"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": asked}
    assert sandbox.plan_command(spec(process=process).process).capabilities == {"CAP_DAC_OVERRIDE"}
    process["user"] = {"uid": 7, "gid": 7}
    assert sandbox.plan_command(spec(process=process).process).capabilities == frozenset()


def test_modules_are_found_in_layers_volumes_and_path(tmp_path: Path) -> None:
    upper, lower, volume = (tmp_path / name for name in ("upper", "lower", "volume"))
    for folder in (upper, lower / "bin", volume):
        folder.mkdir(parents=True)
    (lower / "hello.wasm").touch()
    (lower / "bin/tool.wasm").touch()
    (volume / "mine.wasm").touch()
    mounts = [{"destination": "/data", "type": "bind", "source": str(volume), "options": ["rbind"]}]
    overlay = Mount("overlay", "overlay", (f"lowerdir={lower}", f"upperdir={upper}", "workdir=/w"))
    plan = sandbox.plan_sandbox(spec(mounts=mounts), (overlay,), "/b")

    def found(module: str) -> str:
        process = {"args": [module], "cwd": "/", "env": ["PATH=/sbin:/bin"]}
        return sandbox.module_on_host(plan, sandbox.plan_command(spec(process=process).process))

    assert found("/hello.wasm") == f"{lower}/hello.wasm"
    assert found("hello.wasm") == f"{lower}/hello.wasm"
    assert found("tool.wasm") == f"{lower}/bin/tool.wasm"
    assert found("/data/mine.wasm") == f"{volume}/mine.wasm"
    for missing in ("/nope.wasm", "nope.wasm", "/data/../../../etc/passwd"):
        with pytest.raises(NotFound, match=r"no such file or directory|executable file not found"):
            found(missing)


def test_a_child_is_told_all() -> None:
    mounts = [{"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]}]
    process = {
        "args": ["/m.wasm", "é"],
        "cwd": "/w",
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2**64 - 1}],
    }
    whole = spec(mounts=mounts, process=process, hostname="h")
    overlay = Mount("overlay", "overlay", ("lowerdir=/l",))
    plan, command = sandbox.plan_sandbox(whole, (overlay,), "/b"), sandbox.plan_command(whole.process)
    assert birth.unpack(birth.pack(plan, command)) == (plan, command)
