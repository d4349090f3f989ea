"""The shim's doors: what comes in by the command line, by ttrpc and by a bundle, from somebody who means no good."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.linux import cgroups
from wherry.oci.mount import Mount
from wherry.oci.spec import SPEC_LIMIT, Spec
from wherry.shim import bundle, command, group, sandbox
from wherry.shim.group import check_id, open_group
from wherry.shim.usage import Page, Sum
from wherry.wasm import meter
from wherry.wire.task import WaitResponse
from wherry.wire.wellknown import Any as Packed

IDS = ["..", ".", "", "a/b", "../../etc/passwd", "/a", "a\0", "-a", "a-", "a" * 77, "ä", "a b", "a\n", "._-"]


def spec(**changes: Any) -> Spec:
    process = {"args": ["/m.wasm"], "cwd": "/"} | changes.pop("process", {})
    return Spec.from_json({"ociVersion": "1.1.0", "process": process, "root": {"path": "rootfs"}} | changes)


@pytest.mark.parametrize("text", IDS)
def test_ids_that_are_paths_or_worse_name_no_file(text: str) -> None:
    with pytest.raises(InvalidArgument, match="no container id"):
        check_id(text)


@pytest.mark.parametrize("text", [item for item in IDS if item])
def test_the_command_line_refuses_them_before_it_touches_anything(tmp_path: Path, text: str) -> None:
    words = command.parse(["-namespace", "n", "-address", "", "-id", text, "start"])
    with pytest.raises(InvalidArgument):
        command.start(words, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_ids_of_containerd_docker_and_kubelets_are_taken() -> None:
    for text in ("a", "redis", "k8s.io_pod-1.2", "0" * 64, "0" * 76):
        assert check_id(text) == text


def test_a_folder_that_somebody_else_could_change_is_not_used(tmp_path: Path) -> None:
    run = tmp_path / "wherry" / "shim"
    open_group(str(run), "ns", "")
    for path in (run.parent, run, run / "ns@", run / "ns@/pending"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        path.chmod(0o777)
        with pytest.raises(FailedPrecondition, match="writable by others"):
            open_group(str(run), "ns", "")
        path.chmod(0o700)
    open_group(str(run), "ns", "")


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "wherry").symlink_to("mine")
    with pytest.raises(FailedPrecondition):
        open_group(str(tmp_path / "wherry/shim"), "ns", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_users_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "wherry").mkdir(mode=0o700)
    os.chown(tmp_path / "wherry", 65534, 65534)
    with pytest.raises(FailedPrecondition, match="belongs to another user"):
        open_group(str(tmp_path / "wherry/shim"), "ns", "")


def test_a_socket_is_its_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listening = command.listen(str(tmp_path / "s.sock"))
    finally:
        os.umask(before)
    listening.close()
    assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600


@pytest.mark.parametrize("user", [{"uid": 2**32 - 1}, {"gid": 2**32 - 1}, {"additionalGids": [2**32 - 1]}])
def test_the_number_that_would_leave_a_guest_root_is_no_user(user: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="4294967294"):
        sandbox.plan_command(spec(process={"user": {"uid": 5, "gid": 5} | user}).process)


def test_only_limits_are_limits() -> None:
    rlimits = [{"type": name, "soft": 1, "hard": 1} for name in ("RLIMIT_NOFILE", "setrlimit", "__doc__", "")]
    assert sandbox.plan_command(spec(process={"rlimits": rlimits}).process).rlimits == (("RLIMIT_NOFILE", 1, 1),)


@pytest.mark.parametrize("target", ["..", "../etc", "a/../../etc", "/../etc"])
def test_mounts_of_the_rootfs_stay_in_it(target: str) -> None:
    with pytest.raises(InvalidArgument, match="leads out"):
        sandbox.plan_sandbox(spec(), [Mount("bind", "/srv", (), target)], "/b")


@pytest.mark.parametrize("path", ["/", "", "/..", "a/..", "../../.."])
def test_no_container_is_put_into_the_machines_own_cgroup(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidArgument):
        cgroups.create(cgroups.Hierarchies(str(tmp_path), frozenset(), {}), path, cgroups.Limits())
    made = cgroups.create(cgroups.Hierarchies(str(tmp_path), frozenset(), {}), "../../x", cgroups.Limits())
    assert made.unified == f"{tmp_path}/x"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"process":' * 20_000,
        b"\xff",
        b"null",
        b'{"a": "\\ud800"}',
        b" " * (SPEC_LIMIT + 1),
    ],
    ids=range(9),
)
def test_a_bundle_or_an_exec_of_nonsense_is_told_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(InvalidArgument) as raised:
        bundle.read_spec(str(tmp_path))
    assert "\n" not in str(raised.value)
    with pytest.raises(InvalidArgument) as raised:
        bundle.read_process(Packed(type_url="", value=data))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_annotations_are_words_and_not_code() -> None:
    for text in ("files,wings", "__import__", "files\0"):
        with pytest.raises(InvalidArgument):
            sandbox.plan_sandbox(spec(annotations={"dev.wherry.cap-drop": text}), (), "/b")
    plan = sandbox.plan_sandbox(spec(annotations={"dev.wherry.cap-drop": "files"}), (), "/b")
    assert "path_*" in plan.refused
    assert json.dumps(plan.refused)


def test_groups_of_namespaces_that_are_paths_are_refused(tmp_path: Path) -> None:
    for namespace in ("../x", "a/b", "n" * 300):
        with pytest.raises(FailedPrecondition):
            group.open_group(str(tmp_path / "w/shim"), namespace, "")


def test_pages_full_of_nonsense_are_told_and_break_nothing() -> None:
    pages = [Page(), Page()]
    for page in pages:
        os.pwrite(page.fd, b"\xff" * meter.SIZE, 0)
    total = Sum()
    total.bury(pages.pop())
    told = total.usage(pages, 2**63 - 1)
    assert (told.fuel, told.linear_memory) == (2**64 - 1, 2**64 - 1)
    answer = WaitResponse(exit_status=0, exited_at=None, usage=told).encode()
    assert len(answer) > 100
    pages[0].close()
