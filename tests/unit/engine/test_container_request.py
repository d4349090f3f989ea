"""What clients send to make a container: taken, completed, or refused in one line; and the specs made of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engine.containers.hostconfig import host_config, update_of
from wherry.engine.containers.request import merged, merged_environment, parse
from wherry.engine.containers.warnings import warnings
from wherry.engine.record import Record, from_container, to_container
from wherry.engine.spec.mounts import mount_points
from wherry.engine.spec.process import User, capabilities, environment, rlimits
from wherry.engine.spec.resources import resources
from wherry.engine.spec.user import resolve_user
from wherry.engine.spec.wasm import wasm_spec
from wherry.errors import DataLoss, InvalidArgument, Unimplemented, WherryError
from wherry.oci.image import RunConfig

IMAGE = RunConfig(
    user="5", env=("PATH=/bin", "A=image"), entrypoint=("/e",), cmd=("c",), working_dir="/w", labels={"l": "1"}
)


def record(host: dict[str, Any] | None = None, **config: Any) -> Record:
    request = parse({"Image": "hello", "HostConfig": host or {}, **config})
    full = merged(request.config, IMAGE)
    full["Hostname"] = full["Hostname"] or "boat"
    return Record(
        id="f" * 64,
        name="boat",
        created=1,
        image="hello",
        image_id="sha256:1",
        image_name="docker.io/library/hello:latest",
        platform="wasi/wasm",
        runtime="io.containerd.wherry.v1",
        kind="wasm",
        config=full,
        host_config=request.host,
        mounts=mount_points(request.host),
    )


@pytest.mark.parametrize(
    ("own", "args"),
    [
        ({}, ("/e", "c")),
        ({"Cmd": ["x"]}, ("/e", "x")),
        ({"Cmd": "x"}, ("/e", "x")),
        ({"Entrypoint": ["/f"]}, ("/f",)),
        ({"Entrypoint": ["/f"], "Cmd": ["x"]}, ("/f", "x")),
        ({"Entrypoint": [""], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": [], "Cmd": ["x"]}, ("x",)),
        ({"Entrypoint": []}, ("c",)),
    ],
)
def test_entrypoint_and_command_by_dockers_rules(own: dict[str, Any], args: tuple[str, ...]) -> None:
    assert record(**own).args == args


def test_nothing_to_run() -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        merged(parse({"Image": "x"}).config, RunConfig())


def test_the_image_fills_what_the_user_left_open() -> None:
    made = record(Env=["A=own", "B=2"], Labels={"m": "2"})
    assert made.config["User"] == "5"
    assert made.config["WorkingDir"] == "/w"
    assert made.labels == {"l": "1", "m": "2"}
    assert made.config["Env"] == ["A=own", "B=2", "PATH=/bin"]
    assert merged_environment(["A", "B=1", "B=2"], ["A=image"]) == ["B=2"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "an object is wanted"),
        ([], "an object is wanted"),
        ({}, "no image was named"),
        ({"Image": 5}, "Image must be a text"),
        ({"Image": "x", "Cmd": [5]}, "Cmd must be a list of texts"),
        ({"Image": "x", "Env": ["=x"]}, "invalid environment variable"),
        ({"Image": "x", "Env": ["a\0b"]}, "Env must be"),
        ({"Image": "x", "WorkingDir": "w"}, "absolute path"),
        ({"Image": "x", "Hostname": "h" * 64}, "invalid hostname"),
        ({"Image": "x", "StopTimeout": 2**70}, "StopTimeout must be a whole number"),
        ({"Image": "x", "HostConfig": "x"}, "host configuration: an object"),
        ({"Image": "x", "HostConfig": {"Memory": "1g"}}, "Memory must be a whole number"),
        ({"Image": "x", "HostConfig": {"Memory": 4096}}, "512KB"),
        ({"Image": "x", "HostConfig": {"NanoCpus": 1, "CpuQuota": 5000}}, "Conflicting options"),
        ({"Image": "x", "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}}, "AutoRemove"),
        ({"Image": "x", "HostConfig": {"PortBindings": {"x/tcp": None}}}, "invalid port specification: 'x/tcp'"),
        ({"Image": "x", "HostConfig": {"Dns": ["ns"]}}, "ns is not an ip address"),
        ({"Image": "x", "HostConfig": {"ExtraHosts": ["a"]}}, "bad format for add-host"),
        ({"Image": "x", "NetworkingConfig": {"EndpointsConfig": {"a": {"MacAddress": "1"}}}}, "not a valid mac"),
        ({"Image": "x", "HostConfig": {"CpusetCpus": "a"}}, "cpuset cpus"),
        ({"Image": "x", "HostConfig": {"ConsoleSize": [1]}}, "ConsoleSize must be"),
    ],
)
def test_nonsense_is_refused_in_one_line(body: Any, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text) as caught:
        parse(body)
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse({name: object() for name in ("Image", "Cmd", "Env", "Tty", "User", "Labels", "Shell")})
    assert "and 2 more" in str(caught.value)


def test_what_is_not_offered_yet_is_said() -> None:
    with pytest.raises(Unimplemented):
        host_config({"PidMode": "container:x"})


@pytest.mark.parametrize("link", ["", ":a", "a:b:c", "a b", "a:"])
def test_a_link_is_a_name_and_an_alias(link: str) -> None:
    if link == "a:":
        assert host_config({"Links": [link]})["Links"] == [link]
        return
    with pytest.raises(InvalidArgument, match="bad format for links"):
        host_config({"Links": [link]})


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def outcome_of(parse: Callable[[Any], object], document: Any) -> str:
    """The error's one line, or that there was none; any other exception is a fault."""
    try:
        parse(document)
    except WherryError as error:
        return str(error).replace("\n", "")
    return "taken"


@given(st.dictionaries(st.sampled_from(["Image", "Cmd", "Env", "Labels", "HostConfig", "Volumes", "User"]), _anything))
def test_no_body_breaks_the_parser(body: dict[str, Any]) -> None:
    assert outcome_of(parse, body)


_HOST_FIELDS = ["Binds", "Mounts", "Tmpfs", "RestartPolicy", "LogConfig", "Ulimits", "Memory", "PortBindings"]


@given(st.dictionaries(st.sampled_from(_HOST_FIELDS), _anything))
def test_no_host_config_breaks_the_parser(document: dict[str, Any]) -> None:
    def take(document: dict[str, Any]) -> None:
        host = host_config(document)
        mount_points(host)
        rlimits(host["Ulimits"] or ())

    assert outcome_of(take, document)


@pytest.mark.parametrize(
    ("bind", "source", "target", "writable"),
    [
        ("/a:/b", "/a", "/b", True),
        ("/a:/b:ro", "/a", "/b", False),
        ("/a/../c:/b/:rw,z,rshared", "/c", "/b", True),
    ],
)
def test_binds(bind: str, source: str, target: str, writable: bool) -> None:
    (point,) = mount_points(host_config({"Binds": [bind]}))
    assert (point.source, point.destination, point.writable) == (source, target, writable)


@pytest.mark.parametrize("bind", ["/a", "/a:", "/a:b", "/a:/", "/a:/b:c", "a:b:c:d", "/a://", "/a:/b/.."])
def test_no_binds(bind: str) -> None:
    with pytest.raises(InvalidArgument):
        mount_points(host_config({"Binds": [bind]}))


def test_other_mounts() -> None:
    host = host_config(
        {
            "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}}],
            "Tmpfs": {"/run/x": "size=1m,ro"},
            "Binds": ["/a:/t/deeper"],
        }
    )
    spec = wasm_spec(record(), args=["/e"], user=User(), cgroup="/c", annotations={})
    assert spec["mounts"] == []
    points = mount_points(host)
    assert [point.destination for point in points] == ["/t", "/run/x", "/t/deeper"]
    assert points[0].options == ("size=4096", "mode=700")
    assert not points[1].writable
    with pytest.raises(InvalidArgument, match="Duplicate mount point"):
        mount_points(host_config({"Binds": ["/a:/b", "/c:/b/"]}))
    for wrong in (
        {"Type": "bind", "Target": "/x", "Source": "rel"},
        {"Type": "npipe", "Target": "/x"},
        {"Type": "bind"},
    ):
        with pytest.raises(InvalidArgument):
            mount_points(host_config({"Mounts": [wrong]}))


def test_the_wasm_spec() -> None:
    made = record({"Memory": 1 << 20, "NanoCpus": 500_000_000, "ReadonlyRootfs": True, "Binds": ["/a:/b:ro"]}, Tty=True)
    spec = wasm_spec(made, args=["/e", "c"], user=User(5, 5), cgroup="/wherry/f", annotations={"k": "v"})
    assert spec["process"]["args"] == ["/e", "c"]
    assert spec["process"]["cwd"] == "/w"
    assert spec["process"]["terminal"] is True
    assert "TERM=xterm" in spec["process"]["env"]
    assert spec["root"] == {"path": "rootfs", "readonly": True}
    assert spec["mounts"] == [
        {"destination": "/b", "type": "bind", "source": "/a", "options": ["rbind", "ro", "rprivate"]}
    ]
    assert spec["linux"]["resources"] == {
        "memory": {"limit": 1 << 20, "swap": 2 << 20},
        "cpu": {"period": 100_000, "quota": 50_000},
    }
    kinds = {namespace["type"] for namespace in spec["linux"]["namespaces"]}
    assert kinds == {"mount", "pid", "ipc", "uts", "network", "cgroup"}
    shared = wasm_spec(record({"NetworkMode": "host"}), args=["/e"], user=User(), cgroup="/c", annotations={})
    assert {"type": "network"} not in shared["linux"]["namespaces"]


def test_capabilities_and_limits() -> None:
    assert "CAP_SYS_ADMIN" in capabilities(["sys_admin"], [])
    assert capabilities(["CHOWN"], ["ALL"]) == ("CAP_CHOWN",)
    assert "CAP_CHOWN" not in capabilities(["ALL"], ["CAP_CHOWN"])
    with pytest.raises(InvalidArgument, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        capabilities(["FLY"], [])
    assert rlimits([{"Name": "nofile", "Soft": 1, "Hard": -1}])[0]["hard"] == 2**64 - 1
    for wrong in ({"Name": "wings", "Soft": 1, "Hard": 1}, {"Name": "nofile", "Soft": 2, "Hard": 1}, {}):
        with pytest.raises(InvalidArgument):
            rlimits([wrong])
    assert environment(["HOME=/x"], tty=False, hostname="h", home="/y")[-1] == "HOME=/x"
    assert resources(update_of({"Memory": 0, "CpuShares": 5, "Nonsense": 1})) == {"cpu": {"shares": 5}}


PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken\nmate:x:7:8:Mate:/home/mate:/bin/sh\n"
GROUP = "root:x:0:\nmates:x:8:\ndeck:x:9:mate,other\n"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (0,), "/root")),
        ("mate", User(7, 8, (8, 9), "/home/mate")),
        ("7", User(7, 8, (8, 9), "/home/mate")),
        ("mate:deck", User(7, 9, (9,), "/home/mate")),
        ("1234:5", User(1234, 5, (5,), "/")),
    ],
)
def test_users(text: str, user: User) -> None:
    found = resolve_user(text, PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups) == (user.uid, user.gid, user.groups)


def test_no_users() -> None:
    for text in ("nobody", "mate:nogroup", "9" * 30, "-1", "mate:-1"):
        with pytest.raises(InvalidArgument, match=r"no matching entries|must be in range"):
            resolve_user(text, PASSWD, GROUP)
    assert resolve_user("mate", PASSWD, GROUP, ["root"]).groups == (8, 9, 0)


@pytest.mark.parametrize(
    ("host", "config", "told"),
    [
        ({"PortBindings": {"80/tcp": []}, "NetworkMode": "host"}, {}, "Published ports are discarded"),
        ({"Privileged": True}, {}, "--privileged"),
        ({"Devices": [{"PathOnHost": "/dev/null"}]}, {}, "--device"),
        ({"Sysctls": {"a.b": "1"}}, {}, "--sysctl"),
        ({"ShmSize": 1 << 20}, {}, "--shm-size"),
        ({"CpusetCpus": "0"}, {}, "--cpuset-cpus"),
        ({"SecurityOpt": ["seccomp=unconfined"]}, {}, "--security-opt seccomp=unconfined"),
    ],
)
def test_what_has_no_effect_is_said(host: dict[str, Any], config: dict[str, Any], told: str) -> None:
    made = record(host, **config)
    (warning,) = warnings(made)
    assert warning.startswith(told)


def test_what_was_not_asked_for_is_not_warned_of() -> None:
    # As docker's CLI sends a container without any options.
    host = {
        "Dns": [],
        "ExtraHosts": None,
        "Devices": [],
        "ShmSize": 0,
        "SecurityOpt": ["no-new-privileges"],
        "Init": None,
    }
    made = record(host)
    assert warnings(made) == []
    assert warnings(replace(made, kind="linux", host_config={**made.host_config, "Sysctls": {"a": "1"}})) == []


def test_records_survive_the_store() -> None:
    made = record({"Binds": ["/a:/b"]}).with_state(status="exited", exit_code=3, finished_at=9)
    assert from_container(to_container(made)) == made
    broken = to_container(made)
    for document in ({}, {"state": {"status": "flying"}}, {"state": 5}, 7):
        with pytest.raises(DataLoss, match="record of container ffffffffffff is damaged"):
            from_container(
                type(broken)(
                    **{
                        **{
                            key: getattr(broken, key)
                            for key in ("id", "name", "image", "runtime", "snapshot", "created")
                        },
                        "extensions": {"docker": document},
                    }
                )
            )
