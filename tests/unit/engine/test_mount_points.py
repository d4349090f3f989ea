"""What a container mounts: every way to say it, what covers what, and what is refused, in docker's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.engine.containers.hostconfig import host_config
from wherry.engine.record import MountPoint
from wherry.engine.spec.mounts import lend, mount_points, to_spec, volume_options, volumes_from
from wherry.errors import InvalidArgument


def points(*, image: tuple[str, ...] = (), lent: tuple[MountPoint, ...] = (), **host: Any) -> dict[str, MountPoint]:
    return {point.destination: point for point in mount_points(host_config(host), image, lent)}


def test_a_name_is_a_volume_and_a_path_a_bind() -> None:
    found = points(Binds=["data:/a", "/data:/b:ro", "data:/c:ro,nocopy,z"], image=("/d/",))
    assert (found["/a"].type, found["/a"].name, found["/a"].mode, found["/a"].copy) == ("volume", "data", "z", True)
    assert (found["/b"].type, found["/b"].source, found["/b"].writable) == ("bind", "/data", False)
    assert (found["/c"].writable, found["/c"].copy, found["/c"].mode) == (False, False, "ro,nocopy,z")
    assert (found["/d"].type, found["/d"].name, found["/d"].anonymous) == ("volume", "", True)


def test_mounts_of_each_type() -> None:
    found = points(
        Mounts=[
            {"Type": "volume", "Source": "v1", "Target": "/v", "VolumeOptions": {"Subpath": "a/./b", "NoCopy": False}},
            {"Type": "volume", "Target": "/anonymous"},
            {"Type": "bind", "Source": "/s/../t", "Target": "/b", "BindOptions": {"NonRecursive": True}},
            {"Type": "tmpfs", "Target": "/t"},
        ]
    )
    assert (found["/v"].subpath, found["/v"].copy, found["/v"].anonymous) == ("a/b", False, False)
    assert found["/anonymous"].anonymous
    assert (found["/b"].source, found["/b"].recursive) == ("/t", False)
    assert to_spec([found["/b"]])[0]["options"] == ["bind", "rw", "rprivate"]


def test_what_covers_what() -> None:
    lender = points(Binds=["lent:/a", "/host:/b"], Tmpfs={"/t": ""}, image=("/c",))
    lent = tuple(lend(lender.values(), writable=False))
    assert {point.destination for point in lent} == {"/a", "/b", "/c"}
    found = points(Binds=["own:/a"], image=("/a", "/b", "/e"), lent=lent)
    assert (found["/a"].name, found["/a"].writable) == ("own", True)
    assert (found["/b"].source, found["/b"].writable) == ("/host", False)
    assert found["/c"].anonymous
    assert found["/e"].anonymous
    assert list(points(Binds=["x1:/a/b/c", "x2:/a", "x3:/a/b"])) == ["/a", "/a/b", "/a/b/c"]


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("data:/a:ro,rw", "invalid mode: ro,rw"),
        ("data:/a:copy,nocopy", "invalid mode"),
        ("data:/a:ro,ro", "invalid mode"),
        ("data:/a:rshared", "field BindOptions must not be specified"),
        (":/a", "invalid volume specification"),
        ("data::ro", "invalid volume specification"),
    ],
)
def test_wrong_binds(bind: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        points(Binds=[bind])


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"Type": "volume", "Target": "/a", "ReadOnly": True}, "must not set ReadOnly mode when using anonymous"),
        ({"Type": "volume", "Source": "v1", "Target": "/a", "BindOptions": {"x": 1}}, "BindOptions must not be"),
        ({"Type": "bind", "Source": "/a", "Target": "/a", "VolumeOptions": {"x": 1}}, "VolumeOptions must not be"),
        ({"Type": "bind", "Target": "/a"}, "field Source must not be empty"),
        ({"Type": "tmpfs", "Source": "/a", "Target": "/a"}, "field Source must not be specified"),
        ({"Type": "volume", "Target": "/a", "VolumeOptions": {"Subpath": "x"}}, "Subpath when using anonymous"),
        ({"Type": "volume", "Source": "v1", "Target": "/a", "VolumeOptions": {"Subpath": "../x"}}, "relative path"),
        ({"Type": "volume", "Source": "v1", "Target": "/a", "VolumeOptions": {"Subpath": "/x"}}, "relative path"),
        ({"Type": "volume", "Source": "v1", "Target": "/a", "VolumeOptions": []}, None),
        ({"Type": "volume", "Source": "v1", "Target": "/a", "VolumeOptions": ["x"]}, "must be an object"),
        ({"Type": "volume", "Source": 7, "Target": "/a"}, "Source must be a text"),
        (
            {"Type": "volume", "Source": "v1", "Target": "/a", "VolumeOptions": {"DriverConfig": {"Name": "nfs"}}},
            'plugin "nfs" not found',
        ),
        ({"Type": ["bind"], "Target": "/a"}, "mount type unknown"),
        ({"Type": "bind", "Source": "/a", "Target": "/a", "BindOptions": {"ReadOnlyForceRecursive": True}}, "needs"),
    ],
)
def test_wrong_mounts(entry: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert points(Mounts=[entry])
        return
    with pytest.raises(InvalidArgument, match=reason):
        points(Mounts=[entry])


def test_drivers_and_lenders() -> None:
    with pytest.raises(InvalidArgument, match='plugin "x" not found'):
        points(VolumeDriver="x")
    assert volumes_from("c:ro") == ("c", False)
    assert volumes_from("c") == ("c", True)
    for wrong in ("", ":ro", "c:nocopy", "c:rshared", "c:x"):
        with pytest.raises(InvalidArgument):
            volumes_from(wrong)


def test_options_are_found_by_their_place() -> None:
    entry = {"Type": "volume", "Source": "v1", "Target": "/a//b/", "VolumeOptions": {"Labels": {"k": "v"}}}
    host = host_config({"Mounts": [entry]})
    assert volume_options(host, "/a/b") == {"Labels": {"k": "v"}}
    assert volume_options(host, "/a") == {}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("Type", "Source", "Target", "ReadOnly", "BindOptions", "VolumeOptions", "TmpfsOptions")
_ENTRIES = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(["bind", "volume", "tmpfs"]),
        "Target": st.sampled_from(["/a", "/b/../c", "x", ""]) | _JSON,
    },
    optional={name: _JSON | st.sampled_from(["/s", "v1"]) for name in _FIELDS[1:2] + _FIELDS[3:]},
)


@given(st.lists(_ENTRIES, max_size=3))
def test_no_mount_brings_another_error_out(entries: list[dict[str, Any]]) -> None:
    try:
        made = points(Mounts=entries)
    except InvalidArgument as error:
        assert "\n" not in str(error)[:40]  # noqa: PT017 - either outcome is right
    else:
        assert all(point.destination.startswith("/") for point in made.values())
