"""Runtime names, bundles' ids and what shims print: the pure parts around launching."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.tasks.bundle import Bundles, Record, check_id
from wherry.core.tasks.launch import Address, parse_address
from wherry.core.tasks.runtimes import RUNC, WHERRY, RuntimeTable, binary_name
from wherry.core.tasks.tasks import TaskIO
from wherry.errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument, NotFound, WherryError
from wherry.linux.mounts import MS_BIND, mount, umount
from wherry.wire.task import RuncOptions
from wherry.wire.wellknown import Any


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shims = ("containerd-shim-runc-v2", "containerd-shim-wherry-v1", "containerd-shim-spin-v2", "own-shim")
    for name in (*shims, "runc", "crun"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "containerd-shim-plain-v1").write_text("not executable")
    return tmp_path


def test_names_and_the_binaries_they_mean(folder: Path) -> None:
    table = RuntimeTable(["/nonexistent", str(folder)], {"io.containerd.wasmer.v1": "own-shim"})
    found = {name: os.path.basename(table.resolve(name).binary) for name in ("runc", "crun", RUNC, "wherry", WHERRY)}
    assert found == {
        "runc": "containerd-shim-runc-v2",
        "crun": "containerd-shim-runc-v2",
        RUNC: "containerd-shim-runc-v2",
        "wherry": "containerd-shim-wherry-v1",
        WHERRY: "containerd-shim-wherry-v1",
    }
    # Other engines' names mean wherry, even if their shim is there, unless it is configured.
    assert table.resolve("io.containerd.spin.v2").binary.endswith("containerd-shim-wherry-v1")
    assert table.resolve("io.containerd.spin.v2").grouped
    assert table.resolve("io.containerd.wasmer.v1").binary == str(folder / "own-shim")
    assert not table.resolve("io.containerd.wasmer.v1").grouped
    assert table.resolve(str(folder / "own-shim")).binary == str(folder / "own-shim")
    options = Any.decode(table.resolve("crun").options)
    assert RuncOptions.decode(options.value).binary_name == "crun"
    assert table.resolve("runc").options == b""


def test_names_that_mean_nothing(folder: Path) -> None:
    table = RuntimeTable([str(folder)])
    for name in ("", "nonsense", "a/b", "../x.y", "x" * 300, "io.containerd.\nrunc.v2", "a..b", "."):
        with pytest.raises(InvalidArgument, match="unknown or invalid runtime name") as raised:
            table.resolve(name)
        assert "crun" in str(raised.value)
    with pytest.raises(FailedPrecondition, match="containerd-shim-plain-v1 is not on PATH"):
        table.resolve("io.containerd.plain.v1")
    with pytest.raises(FailedPrecondition, match="install Debian's containerd"):
        RuntimeTable([]).resolve("runc")
    with pytest.raises(FailedPrecondition):
        table.resolve("/nonexistent/shim")
    with pytest.raises(FailedPrecondition):
        table.resolve(str(folder))


def test_known_runtimes(folder: Path) -> None:
    known = RuntimeTable([str(folder)], {"mine": "own-shim", "gone": "/nonexistent"}).known()
    assert {"runc", "crun", RUNC, WHERRY, "io.containerd.wasmedge.v1", "mine"} <= set(known)
    assert "gone" not in known
    (folder / "crun").unlink()
    assert "crun" not in RuntimeTable([str(folder)]).known()
    (folder / "runc").unlink()
    assert not {"runc", RUNC} & set(RuntimeTable([str(folder)]).known())
    for name, package in (("runc", "runc"), (RUNC, "runc"), ("crun", "crun")):
        with pytest.raises(FailedPrecondition, match=f"{package} is not on PATH: install Debian's {package}"):
            RuntimeTable([str(folder)]).resolve(name)
    assert RuntimeTable([]).known() == []


@given(st.text(max_size=60))
def test_binary_names_are_names_of_files(text: str) -> None:
    name = binary_name(text)
    assert name is None or (name.startswith("containerd-shim-") and "/" not in name and "\n" not in name)


@given(st.text(max_size=90))
def test_ids_stay_in_their_folder(text: str) -> None:
    try:
        check_id(text)
    except InvalidArgument as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert os.path.basename(os.path.normpath(f"/x/{text}")) == text


@pytest.mark.parametrize(
    ("output", "address"),
    [
        (b"unix:///run/containerd/s/abc", Address("/run/containerd/s/abc", 2)),
        (b"unix:///run/x\n", Address("/run/x", 2)),
        (b"unix://@abstract", Address("\0abstract", 2)),
        (b'{"version":3,"address":"unix:///run/y","protocol":"ttrpc"}', Address("/run/y", 3)),
    ],
)
def test_addresses(output: bytes, address: Address) -> None:
    assert parse_address(output) == address


@pytest.mark.parametrize(
    "output",
    [
        *(b"", b"hello", b"\xff", b"{", b"{}", b"[]", b"tcp://1.2.3.4:5", b"unix://", b"unix://" + b"x" * 200),
        b'{"address":5}',
        b'{"address":"unix:///x","version":"y"}',
        b'{"version":3,"address":"unix:///x","protocol":"grpc"}',
    ],
)
def test_addresses_that_are_none(output: bytes) -> None:
    with pytest.raises(WherryError) as raised:
        parse_address(output)
    assert "\n" not in str(raised.value)


def test_bundles(tmp_path: Path) -> None:
    bundles = Bundles(str(tmp_path / "tasks"))
    bundles.open()
    record = Record("runc", "/bin/shim", TaskIO(stdout="/x"), {"A": "b"})
    path = Path(bundles.create("one", {"ociVersion": "1"}, record))
    assert sorted(os.listdir(path)) == ["config.json", "rootfs", "task.json"]
    assert (path / "config.json").read_text() == '{"ociVersion":"1"}'
    assert bundles.record("one") == record
    with pytest.raises(AlreadyExists):
        bundles.create("one", {}, record)
    assert list(bundles.ids()) == ["one"]
    (path / "rootfs" / "made by a runtime").mkdir()
    bundles.remove("one")
    assert os.listdir(tmp_path / "tasks") == []


def test_removing_a_bundle_never_walks_into_a_mount(tmp_path: Path) -> None:
    bundles = Bundles(str(tmp_path / "tasks"))
    bundles.open()
    path = Path(bundles.create("one", {}, Record("runc", "/bin/shim", TaskIO())))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("")
    mount(str(precious), str(path / "rootfs"), "", MS_BIND)
    bundles.remove("one")  # mounted on rootfs itself: it is unmounted
    assert (precious / "file").exists()
    path = Path(bundles.create("two", {}, Record("runc", "/bin/shim", TaskIO())))
    (path / "rootfs" / "in side").mkdir()
    mount(str(precious), str(path / "rootfs" / "in side"), "", MS_BIND)
    with pytest.raises(FailedPrecondition, match="cannot remove the bundle"):
        bundles.remove("two")
    assert (precious / "file").exists()
    assert bundles.record("two").runtime == "runc"
    umount(str(path / "rootfs" / "in side"))
    bundles.remove("two")
    assert list(bundles.ids()) == []


def test_bundles_half_made_and_half_removed_are_cleared_at_the_next_start(tmp_path: Path) -> None:
    for name in (".new-a", ".old-b"):
        (tmp_path / name / "work").mkdir(parents=True)
        (tmp_path / name / "rootfs").mkdir()
    bundles = Bundles(str(tmp_path))
    bundles.open()
    assert os.listdir(tmp_path) == []
    bundles.remove("never-was")
    with pytest.raises(NotFound):
        bundles.record("never-was")
    with pytest.raises(NotFound):
        bundles.update("never-was", Record("", "", TaskIO()))
    assert bundles.shim_address("never-was") == ""


@given(data=st.binary(max_size=60) | st.sampled_from([b"{}", b'{"io":{"stdin":5}}', b'{"io":{},"x":1}']))
def test_damaged_records(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("r")
    (root / "c").mkdir()
    (root / "c" / "task.json").write_bytes(data)
    with pytest.raises(DataLoss, match="damaged"):
        Bundles(str(root)).record("c")
