"""The runtime spec of Linux containers: docker's defaults, what options change in it, and nonsense refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.test_container_request import record
from wherry.engine.spec.devices import device_rules, throttles, wanted
from wherry.engine.spec.linux import MASKED, Ground, held_capabilities, linux_spec
from wherry.engine.spec.process import DEFAULT_CAPABILITIES, User, every_capability
from wherry.engine.spec.seccomp import custom_profile, default_profile
from wherry.engine.spec.security import Security, security
from wherry.errors import InvalidArgument
from wherry.linux.devices import DeviceNode

FUSE = DeviceNode("/dev/fuse", "c", 10, 229, 0o666, 0, 0)


def spec(host: dict[str, Any] | None = None, ground: Ground | None = None, **config: Any) -> dict[str, Any]:
    made = replace(record(host, **config), kind="linux")
    return linux_spec(made, args=["/e"], user=User(), cgroup="/c", annotations={"k": "v"}, ground=ground or Ground())


def mounts(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in made["mounts"]}


def allowed(profile: dict[str, Any]) -> set[str]:
    """Calls that are let through whatever their arguments."""
    rules = [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")]
    return {name for rule in rules for name in rule["names"]}


def test_the_defaults_are_dockers() -> None:
    made = spec()
    held = made["process"]["capabilities"]
    assert held["effective"] == held["bounding"] == held["permitted"]
    assert set(held["bounding"]) == set(DEFAULT_CAPABILITIES)
    assert made["linux"]["maskedPaths"] == list(MASKED)
    assert "/proc/sys" in made["linux"]["readonlyPaths"]
    assert list(mounts(made)) == ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]
    assert "ro" in mounts(made)["/sys"]["options"]
    assert "ro" in mounts(made)["/sys/fs/cgroup"]["options"]
    assert made["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert made["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert made["annotations"] == {"k": "v"}
    assert made["linux"]["cgroupsPath"] == "/c"
    assert "devices" not in made["linux"]


def test_a_user_has_no_capabilities_but_the_bound() -> None:
    made = replace(record(), kind="linux")
    other = linux_spec(made, args=["/e"], user=User(7, 8), cgroup="/c", annotations={}, ground=Ground())
    assert other["process"]["capabilities"]["effective"] == []
    assert len(other["process"]["capabilities"]["bounding"]) == 14


def test_privileged_takes_all_of_it_away() -> None:
    nodes = ((FUSE, "rwm"),)
    made = spec({"Privileged": True}, Ground(devices=nodes))
    assert set(made["process"]["capabilities"]["effective"]) == set(every_capability())
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & made["linux"].keys()
    assert made["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert made["linux"]["devices"][0]["path"] == "/dev/fuse"
    assert "rw" in mounts(made)["/sys"]["options"]
    few = spec({"Privileged": True}, Ground(capabilities=("CAP_CHOWN",)))
    assert few["process"]["capabilities"]["bounding"] == ["CAP_CHOWN"]


def test_modes_that_are_none() -> None:
    for field in ("PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode"):
        with pytest.raises(InvalidArgument, match="mode: nonsense"):
            spec({field: "nonsense"})


def test_capabilities_never_go_beyond_the_engines_own() -> None:
    host = record({"CapAdd": ["SYS_ADMIN"]}).host_config
    ground = Ground(capabilities=("CAP_CHOWN", "CAP_KILL"))
    assert held_capabilities(host, ground) == ("CAP_CHOWN", "CAP_KILL")
    assert held_capabilities(record().host_config, Ground(), privileged=True) == every_capability()


def test_namespaces_shared_with_the_host() -> None:
    made = spec({"UTSMode": "host", "PidMode": "host", "IpcMode": "host"}, Domainname="d.e")
    assert {entry["type"] for entry in made["linux"]["namespaces"]} == {"mount", "network", "cgroup"}
    assert "hostname" not in made
    assert "sysctl" not in made["linux"]
    assert mounts(made)["/dev/shm"]["source"] == "/dev/shm"
    assert "/dev/shm" not in mounts(spec({"IpcMode": "none"}))
    assert spec(Domainname="d.e")["linux"]["sysctl"] == {"kernel.domainname": "d.e"}


def test_what_the_user_mounts_goes_before_what_is_usual() -> None:
    made = spec({"Tmpfs": {"/dev/shm": "size=1m"}, "Binds": ["/a:/sys:ro"]})
    found = [mount["destination"] for mount in made["mounts"]]
    assert found.count("/dev/shm") == found.count("/sys") == 1
    assert mounts(made)["/sys"]["source"] == "/a"
    whole = mounts(spec({"Binds": ["/dev:/dev"]}))
    assert not {"/dev/pts", "/dev/shm", "/dev/mqueue"} & whole.keys()


def test_init_and_shm_and_sysctls() -> None:
    made = spec({"ShmSize": 5, "Sysctls": {"a.b": "1"}}, Ground(init="/usr/bin/tini-static"))
    assert made["process"]["args"] == ["/sbin/docker-init", "--", "/e"]
    assert mounts(made)["/sbin/docker-init"]["source"] == "/usr/bin/tini-static"
    assert "size=5" in mounts(made)["/dev/shm"]["options"]
    assert made["linux"]["sysctl"] == {"a.b": "1"}


def test_apparmor_where_there_is_some() -> None:
    host = {"SecurityOpt": ["apparmor=mine"]}
    assert spec(host, Ground(apparmor=True))["process"]["apparmorProfile"] == "mine"
    assert "apparmorProfile" not in spec(host)["process"]
    assert "apparmorProfile" not in spec({"SecurityOpt": ["apparmor=unconfined"]}, Ground(apparmor=True))["process"]


def test_unmasked() -> None:
    made = spec(
        {"MaskedPaths": [], "ReadonlyPaths": [], "SecurityOpt": ["seccomp=unconfined", "writable-cgroups=true"]}
    )
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & made["linux"].keys()
    assert "rw" in mounts(made)["/sys/fs/cgroup"]["options"]


def test_devices() -> None:
    host = record({"DeviceCgroupRules": ["c 42:* rm"], "Devices": [{"PathOnHost": "/dev/fuse"}]}).host_config
    assert [(item.source, item.target, item.access) for item in wanted(host)] == [("/dev/fuse", "/dev/fuse", "rwm")]
    rules = device_rules(host, [(FUSE, "r")], everything=False)
    assert {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"} in rules
    assert rules[-1] == {"allow": True, "type": "c", "major": 42, "access": "rm"}


def test_limits_on_block_devices() -> None:
    host = {"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1 << 20}], "BlkioWeight": 100}
    (limit,) = throttles(record(host).host_config)
    disk = DeviceNode("/dev/vda", "b", 254, 0, 0o660, 0, 6)
    made = spec(host, Ground(throttles=((limit, disk),)))
    assert made["linux"]["resources"]["blockIO"] == {
        "weight": 100,
        "throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 1 << 20}],
    }
    for wrong in ({"Path": "vda", "Rate": 1}, {"Path": "/dev/vda", "Rate": "x"}, {"Path": "/dev/vda", "Rate": -1}, {}):
        with pytest.raises(InvalidArgument, match="in BlkioDeviceWriteIOps"):
            throttles(record({"BlkioDeviceWriteIOps": [wrong]}).host_config)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ({"DeviceCgroupRules": ["c 42 rm"]}, "invalid device cgroup rule format: 'c 42 rm'"),
        ({"DeviceCgroupRules": ["x" * 9999]}, "invalid device cgroup rule format"),
        ({"Devices": [{"PathOnHost": "/dev/a", "CgroupPermissions": "x"}]}, "invalid device mode"),
        ({"Devices": [{"PathOnHost": 7}]}, "invalid device"),
        ({"Devices": [{}]}, "invalid device"),
        ({"Devices": [{"PathOnHost": "/a", "PathInContainer": "b"}]}, "absolute"),
        ({"DeviceRequests": [{"Capabilities": [["gpu"]]}]}, r"could not select device driver .* \[\[gpu\]\]"),
    ],
)
def test_devices_that_cannot_be(host: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=told) as caught:
        wanted(record(host).host_config)
    assert len(str(caught.value)) < 300


def test_security_options() -> None:
    assert security(["no-new-privileges", "label=disable"]) == Security(no_new_privileges=True)
    assert security(["no-new-privileges:false", "seccomp:unconfined"]) == Security(seccomp="unconfined")
    assert security(['seccomp={"a": 1}', "apparmor=unconfined"]) == Security(seccomp='{"a": 1}', apparmor="unconfined")
    assert security(["seccomp=builtin"]) == Security()
    for wrong in ("nonsense", "wings=1", "no-new-privileges=maybe", "=", "x" * 9999):
        with pytest.raises(InvalidArgument, match="invalid --security-opt") as caught:
            security([wrong])
        assert len(str(caught.value)) < 300


def test_the_default_profile_follows_the_capabilities() -> None:
    usual = default_profile("amd64", DEFAULT_CAPABILITIES)
    assert usual["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert {"read", "arch_prctl", "chroot", "ptrace", "io_setup"} <= allowed(usual)
    dangerous = "mount unshare setns bpf clone clone3 reboot init_module kexec_load keyctl add_key request_key "
    dangerous += "userfaultfd io_uring_setup open_by_handle_at perf_event_open swapon nfsservctl socket personality"
    assert not set(dangerous.split()) & allowed(usual)
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in usual["syscalls"]
    mighty = default_profile("amd64", ["CAP_SYS_ADMIN"])
    assert {"mount", "clone", "clone3"} <= allowed(mighty)
    assert "chroot" not in allowed(mighty)
    assert "arch_prctl" not in allowed(default_profile("arm64", []))


def test_sockets_by_family() -> None:
    rules = [rule["args"][0] for rule in default_profile("amd64", [])["syscalls"] if rule["names"] == ["socket"]]
    compare = {"SCMP_CMP_LT": int.__lt__, "SCMP_CMP_EQ": int.__eq__, "SCMP_CMP_GT": int.__gt__}
    passed = {family for family in range(46) if any(compare[rule["op"]](family, rule["value"]) for rule in rules)}
    assert set(range(46)) - passed == {38, 40}


def test_a_profile_of_the_users_own() -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
            "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
                {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
                {"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_BPF"]}},
                {"names": ["b"], "action": "SCMP_ACT_LOG", "excludes": {"caps": ["CAP_KILL"]}},
                {"names": ["c"], "action": "SCMP_ACT_LOG", "includes": {"arches": ["arm64"]}},
                {"names": ["d"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "4.8"}},
                {"names": ["e"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "99.0"}},
                {"names": ["f"], "action": "SCMP_ACT_LOG", "excludes": {"minKernel": "4.8", "arches": []}},
            ],
        }
    )
    made = custom_profile(text, "amd64", ["CAP_KILL"], (6, 1))
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert [rule["names"] for rule in made["syscalls"]] == [["mkdir"], ["chmod"], ["d"]]
    assert made["syscalls"][0]["errnoRet"] == 5
    assert made["syscalls"][1]["args"][0]["value"] == 2


WRONG = [
    "",
    "{",
    "[]",
    "{}",
    '{"defaultAction": 7}',
    '{"defaultAction": "SCMP_ACT_KILL", "syscalls": 7}',
    '{"defaultAction": "SCMP_ACT_KILL", "syscalls": [7]}',
    '{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"action": "SCMP_ACT_LOG"}]}',
    '{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": [7], "action": "SCMP_ACT_LOG"}]}',
    '{"defaultAction": "SCMP_ACT_KILL", "architectures": ["a"], "archMap": [{}]}',
    '{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "includes": 3}]}',
    "[" * 100_000,
    "x" * (2 << 20),
]


@pytest.mark.parametrize("text", WRONG)
def test_profiles_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Decoding seccomp profile failed") as caught:
        custom_profile(text, "amd64", [], (6, 1))
    assert "\n" not in str(caught.value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("SCMP_ACT_ERRNO"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["names", "name", "action", "args", "includes", "excludes", "caps", "arches", "minKernel"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"defaultAction": st.just("SCMP_ACT_ERRNO"), "syscalls": _json, "archMap": _json}))
def test_any_json_is_a_profile_or_refused(document: Any) -> None:
    try:
        made = custom_profile(json.dumps(document), "amd64", [], (6, 1))
    except InvalidArgument as error:
        assert "Decoding seccomp profile failed" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert made["defaultAction"] == "SCMP_ACT_ERRNO"
