"""Volumes by the stock docker CLI, in WASM and Linux containers alike."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.both_kinds import PLATFORMS, build_both
from tests.integration.conftest import until

KINDS = tuple(PLATFORMS)


@pytest.fixture(scope="module")
def images(docker, tmp_path_factory) -> dict:
    return build_both(docker, tmp_path_factory.mktemp("volumes"), "vol")


@pytest.fixture(params=KINDS)
def run(request, docker, images):
    """``docker run --network none`` of the kind's image; its stdout."""

    def run(*arguments, words=("hello",)):
        return docker("run", "--network", "none", *arguments, images[request.param], *words)

    run.image = images[request.param]
    run.kind = request.param
    return run


def mounts(docker, name: str) -> list:
    return json.loads(docker("inspect", "-f", "{{json .Mounts}}", name))


def test_a_named_volume_outlives_its_containers_and_is_shared(docker, run):
    name = f"shared-{run.kind}"
    run("--rm", "-v", f"{name}:/data", words=("write", "/data/x", "kept"))
    assert run("--rm", "-v", f"{name}:/elsewhere:ro", words=("read", "/elsewhere/x")) == "kept"
    assert docker("volume", "ls", "-q", "-f", f"name=^{name}$") == name
    document = json.loads(docker("volume", "inspect", name))[0]
    assert (document["Driver"], document["Scope"], document["Labels"]) == ("local", "local", None)
    assert Path(document["Mountpoint"], "x").read_text() == "kept"
    failed = docker.run(
        "run", "--rm", "--network", "none", "-v", f"{name}:/data:ro", run.image, "write", "/data/x", "n"
    )
    assert failed.returncode != 0
    assert docker("volume", "rm", name) == name
    assert not Path(document["Mountpoint"]).exists()


def test_an_empty_volume_begins_with_what_the_image_has_there(docker, run):
    name = f"copied-{run.kind}"
    assert run("--rm", "-v", f"{name}:/seed", words=("read", "/seed/deep/more")) == "deeper"
    folder = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", name))
    assert (folder / "file").read_text() == "seeded"
    assert folder.stat().st_mode & 0o7777 == 0o1777
    (folder / "file").write_text("changed")
    assert run("--rm", "-v", f"{name}:/seed", words=("read", "/seed/file")) == "changed"
    bare = f"bare-{run.kind}"
    docker("create", "--name", bare, "-v", f"{bare}:/seed:nocopy", run.image)
    assert os.listdir(docker("volume", "inspect", "-f", "{{.Mountpoint}}", bare)) == []
    docker("rm", bare)
    docker("volume", "rm", name, bare)


def test_anonymous_volumes_go_with_rm_and_stay_without(docker, run):
    name = f"anonymous-{run.kind}"
    run("--name", name, "-v", "/more", words=("write", "/declared/x", "1"))
    found = {point["Destination"]: point for point in mounts(docker, name)}
    assert set(found) == {"/declared", "/more"}
    assert all(re.fullmatch("[0-9a-f]{64}", point["Name"]) for point in found.values())
    assert (found["/more"]["Type"], found["/more"]["Driver"], found["/more"]["RW"]) == ("volume", "local", True)
    assert Path(found["/declared"]["Source"], "x").read_text() == "1"
    docker("rm", name)
    names = [point["Name"] for point in found.values()]
    assert set(names) <= set(docker("volume", "ls", "-q", "-f", "dangling=true").split())
    docker("volume", "rm", *names)
    before = set(docker("volume", "ls", "-q").split())
    run("--name", name, "-v", f"named-{run.kind}:/n")
    docker("rm", "-v", name)
    assert set(docker("volume", "ls", "-q").split()) - before == {f"named-{run.kind}"}
    docker("volume", "rm", f"named-{run.kind}")
    run("--rm", "-v", "/more")
    assert set(docker("volume", "ls", "-q").split()) == before


def test_binds_and_tmpfs_by_every_spelling(docker, run, tmp_path):
    (tmp_path / "file").write_text("of the host")
    assert run("--rm", "-v", f"{tmp_path}:/host:ro,z", words=("read", "/host/file")) == "of the host"
    assert run("--rm", "-v", f"{tmp_path}/file:/one", words=("read", "/one")) == "of the host"
    spec = f"type=bind,source={tmp_path},target=/host,readonly,bind-recursive=disabled"
    assert run("--rm", "--mount", spec, words=("read", "/host/file")) == "of the host"
    run("--rm", "--tmpfs", "/tmp/t:size=64k,mode=1777", words=("write", "/tmp/t/x", "1"))
    run("--rm", "--mount", "type=tmpfs,target=/t,tmpfs-size=65536,tmpfs-mode=700", words=("write", "/t/x", "1"))
    made = tmp_path / "made/by/docker"
    run("--rm", "-v", f"{made}:/m")
    assert made.is_dir()
    absent = f"type=bind,source={tmp_path}/absent,target=/x"
    words = docker.fails("run", "--rm", "--mount", absent, run.image, code=125)
    assert "bind source path does not exist" in words


def test_mount_says_all_that_docker_knows_of_volumes(docker, run):
    name = f"spec-{run.kind}"
    spec = f"type=volume,source={name},target=/v,volume-label=color=blue,volume-driver=local"
    run("--name", name, "--mount", spec, words=("write", "/v/x", "whole"))
    assert docker("volume", "ls", "-q", "-f", "label=color=blue") == name
    (point,) = [point for point in mounts(docker, name) if point["Destination"] == "/v"]
    assert (point["Name"], point["Mode"], point["Propagation"]) == (name, "z", "")
    folder = Path(point["Source"])
    (folder / "part").mkdir()
    (folder / "part/file").write_text("a part")
    part = f"type=volume,src={name},dst=/p,volume-subpath=part,readonly"
    assert run("--rm", "--mount", part, words=("read", "/p/file")) == "a part"
    docker("rm", name)
    docker("volume", "rm", name)


def test_a_part_of_a_volume_never_leads_out_of_it(docker, run, tmp_path):
    name = f"escape-{run.kind}"
    folder = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", docker("volume", "create", name)))
    (tmp_path / "secret").write_text("of the host")
    (folder / "link").symlink_to(tmp_path)
    (folder / "up").symlink_to("../../../..")
    for part in ("link", "up", "absent"):
        spec = f"type=volume,src={name},dst=/p,volume-subpath={part}"
        words = docker.fails("run", "--rm", "--network", "none", "--mount", spec, run.image, "read", "/p/secret")
        assert f"cannot access path {part} in volume {name}" in words
    spec = f"type=volume,src={name},dst=/p,volume-subpath=../x"
    assert "subpath" in docker.fails("run", "--rm", "--mount", spec, run.image)
    docker("volume", "rm", name)


def test_volumes_from_another_container(docker, run):
    lender, borrower = f"lender-{run.kind}", f"borrower-{run.kind}"
    run("--name", lender, "-v", f"{lender}:/named", "--tmpfs", "/t", words=("write", "/declared/x", "lent"))
    assert run("--rm", "--volumes-from", lender, words=("read", "/declared/x")) == "lent"
    run("--name", borrower, "--volumes-from", f"{lender}:ro")
    lent = {point["Destination"]: point for point in mounts(docker, borrower)}
    assert set(lent) == {"/named", "/declared"}
    assert not any(point["RW"] for point in lent.values())
    docker("rm", "-v", lender)
    assert docker("volume", "ls", "-q", "-f", f"name={lent['/declared']['Name']}")  # the borrower has it still
    assert "No such container" in docker.fails("run", "--rm", "--volumes-from", "nobody", "--pull=never", run.image)
    docker("rm", "-v", borrower)
    docker("volume", "rm", lender)


def test_a_volume_in_use_stays(docker, run):
    name = f"used-{run.kind}"
    container = docker("create", "--name", name, "-v", f"{name}:/d", run.image)
    assert docker.fails("volume", "rm", name) == (
        f"Error response from daemon: remove {name}: volume is in use - [{container}]"
    )
    assert name not in docker("volume", "ls", "-q", "-f", "dangling=true").split()
    assert docker("ps", "-aq", "--no-trunc", "-f", f"volume={name}") == container
    docker("rm", name)
    docker("volume", "rm", name)
    assert docker.fails("volume", "rm", name) == f"Error response from daemon: get {name}: no such volume"
    docker("volume", "rm", "-f", name)


def test_creating_listing_and_pruning(docker):
    assert docker("volume", "create", "--label", "a=b", "--label", "c", "first") == "first"
    assert docker("volume", "create", "first") == "first"
    anonymous = docker("volume", "create")
    assert re.fullmatch("[0-9a-f]{64}", anonymous)
    assert json.loads(docker("volume", "inspect", "-f", "{{json .Labels}}", "first")) == {"a": "b", "c": ""}
    for condition, there in {"label=a=b": True, "label=a=x": False, "driver=local": True, "driver=nfs": False}.items():
        assert ("first" in docker("volume", "ls", "-q", "-f", condition).split()) is there
    pruned = docker("volume", "prune", "-f")
    assert anonymous in pruned
    assert "first" not in pruned
    assert "first" not in docker("volume", "prune", "-af", "--filter", "label!=a")
    assert "first" in docker("volume", "prune", "-af", "--filter", "label=a=b")
    assert docker("volume", "ls", "-q", "-f", "name=first") == ""


def test_wrong_volumes_are_told_in_dockers_words(docker, run):
    assert "includes invalid characters for a local volume name" in docker.fails("volume", "create", "a/b")
    assert "no such volume" in docker.fails("volume", "inspect", "absent")
    assert "invalid filter 'x'" in docker.fails("volume", "ls", "-f", "x=y")
    assert 'plugin "nfs" not found' in docker.fails("volume", "create", "-d", "nfs", "x1")
    for words, reason in {
        ("-v", "data:rel"): "mount path must be absolute",
        ("-v", "data:/a:bad"): "invalid mode: bad",
        ("-v", "b*d:/a"): "includes invalid characters",
        ("-v", "data:/"): "destination can't be '/'",
        ("-v", "data:/a", "-v", "other:/a/"): "Duplicate mount point: /a",
        ("--mount", "type=volume,dst=/a,readonly"): "must not set ReadOnly mode when using anonymous volumes",
        ("--volumes-from", "x:bad"): "invalid mode: bad",
    }.items():
        assert reason in docker.fails("run", "--rm", *words, run.image)
    assert docker("volume", "ls", "-q", "-f", "name=data") == ""


def test_volumes_survive_the_engine(fresh_daemon, fresh_docker, tmp_path):
    images = build_both(fresh_docker, tmp_path, "survive")
    fresh_docker("run", "--network", "none", "--name", "c", "-v", "v1:/d", images["wasm"], "write", "/d/x", "kept")
    fresh_daemon.kill()
    fresh_daemon.start()
    assert "volume is in use" in fresh_docker.fails("volume", "rm", "v1")
    assert fresh_docker("run", "--rm", "--network", "none", "-v", "v1:/d", images["linux"], "read", "/d/x") == "kept"
    usage = json.loads(fresh_docker("system", "df", "--format", "json").splitlines()[2])
    assert (usage["Type"], usage["TotalCount"]) == ("Local Volumes", "2")
    fresh_docker("rm", "-v", "c")
    fresh_docker("volume", "rm", "v1")
    assert fresh_docker("volume", "ls", "-q") == ""


def test_a_read_only_bind_can_be_so_all_the_way_down(docker, run, tmp_path):
    """A mount below the folder, writable by itself."""
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "below"], check=True)
    try:
        spec = f"type=bind,source={tmp_path},target=/host,readonly,bind-recursive=readonly,bind-propagation=rprivate"
        ended = docker.run("run", "--rm", "--mount", spec, run.image, "write", "/host/below/x", "1")
        assert (ended.returncode, os.listdir(tmp_path / "below")) == (1, [])
        run("--rm", "-v", f"{tmp_path}:/host", words=("write", "/host/below/x", "1"))
        spec = f"type=bind,source={tmp_path},target=/host,bind-recursive=disabled"
        run("--rm", "--mount", spec, words=("write", "/host/below/y", "1"))
        assert os.listdir(tmp_path / "below") == ["x"]
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)


def test_anonymous_volumes_of_a_killed_engine_go(fresh_daemon, fresh_docker, tmp_path):
    """Killed again and again while containers with anonymous volumes are made and removed."""
    image = build_both(fresh_docker, tmp_path, "killed")["wasm"]
    kept = fresh_docker("create", "--name", "kept", "-v", "/more", image)
    own = {point["Name"] for point in mounts(fresh_docker, "kept")}
    for _ in range(6):
        busy = [fresh_docker.popen("run", "--rm", "-v", "/a", image, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL) for _ in range(4)]  # fmt: skip
        fresh_daemon.kill()
        fresh_daemon.start()
        for process in busy:
            process.wait(30)
    until(lambda: fresh_docker("ps", "-aq", "--no-trunc") == kept, "the others are gone")
    until(lambda: set(fresh_docker("volume", "ls", "-q").split()) == own, "their volumes are gone")
    folder = Path(fresh_docker("volume", "inspect", "-f", "{{.Mountpoint}}", *own).splitlines()[0]).parents[1]
    assert set(os.listdir(folder)) == own
    fresh_docker("rm", "kept")
    fresh_daemon.kill()
    fresh_daemon.start()
    assert set(fresh_docker("volume", "ls", "-q").split()) == own
    assert fresh_docker("system", "df", "-v")


def test_events_of_volumes(docker, run):
    since = time.time()
    name = f"told-{run.kind}"
    docker("volume", "create", name)
    run("--rm", "-v", f"{name}:/d:ro")
    docker("volume", "rm", name)
    end = time.time()
    style = "{{.Action}} {{.Actor.ID}}"
    told = docker("events", "--since", f"{since:.9f}", "--until", f"{end:.9f}", "--filter", "type=volume",
                  "--filter", f"volume={name}", "--format", style).splitlines()  # fmt: skip
    assert told == [f"{action} {name}" for action in ("create", "mount", "unmount", "destroy")]
