"""`docker cp` both ways and `docker export`, of running and stopped containers of both kinds."""

import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.both_kinds import PLATFORMS, build_both


@pytest.fixture(scope="module")
def images(docker, tmp_path_factory) -> dict:
    return build_both(docker, tmp_path_factory.mktemp("cp"), "cp")


@pytest.fixture(params=PLATFORMS)
def kind(request):
    return request.param


@pytest.fixture(params=["created", "running", "exited"])
def box(request, docker, images, kind, tmp_path):
    """The name of a container in that state, with a volume at /vol, a read-only one at /ro and a tmpfs at /tmpfs."""
    name = f"box-{kind}-{request.param}"
    (tmp_path / "ro").mkdir()
    (tmp_path / "ro/file").write_text("read only")
    places = ["-v", f"{name}:/vol", "-v", f"{tmp_path}/ro:/ro:ro", "--tmpfs", "/tmpfs"]
    words = ["sleep"] if request.param == "running" else ["hello"]
    docker("create", "--network", "none", "--name", name, *places, images[kind], *words)
    if request.param == "running":
        docker("start", name)
    elif request.param == "exited":
        docker("start", "-a", name)
    yield name
    docker("rm", "-fv", name)
    docker("volume", "rm", "-f", name)


def names_of(archive: bytes) -> list:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return found.getnames()


def test_a_file_goes_in_and_comes_out(docker, box, tmp_path):
    (tmp_path / "in").write_bytes(payload := os.urandom(300_000))
    os.chmod(tmp_path / "in", 0o751)
    os.utime(tmp_path / "in", (1_600_000_000, 1_600_000_000))
    docker("cp", tmp_path / "in", f"{box}:/seed/new")
    docker("cp", f"{box}:/seed/new", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == payload
    status = (tmp_path / "out").stat()
    assert (stat.S_IMODE(status.st_mode), int(status.st_mtime)) == (0o751, 1_600_000_000)
    docker("cp", tmp_path / "in", f"{box}:/seed")
    docker("cp", f"{box}:/seed/in", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == payload


def test_folders_go_both_ways(docker, box, tmp_path):
    (tmp_path / "tree/empty").mkdir(parents=True)
    (tmp_path / "tree/one").write_text("1")
    (tmp_path / "tree/link").symlink_to("one")
    os.link(tmp_path / "tree/one", tmp_path / "tree/same")
    docker("cp", tmp_path / "tree", f"{box}:/made")
    docker("cp", f"{tmp_path}/tree/.", f"{box}:/seed")
    docker("cp", f"{box}:/made", tmp_path / "back")
    assert sorted(os.listdir(tmp_path / "back")) == ["empty", "link", "one", "same"]
    assert os.readlink(tmp_path / "back/link") == "one"
    assert (tmp_path / "back/same").stat().st_ino == (tmp_path / "back/one").stat().st_ino
    docker("cp", f"{box}:/seed", tmp_path / "seed")
    assert sorted(os.listdir(tmp_path / "seed")) == ["deep", "empty", "file", "link", "one", "same"]
    assert (tmp_path / "seed/deep/more").read_text() == "deeper"


def test_volumes_are_reached_and_read_only_ones_are_not_written(docker, box, tmp_path):
    (tmp_path / "x").write_text("in the volume")
    docker("cp", tmp_path / "x", f"{box}:/vol/x")
    folder = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", box))
    assert (folder / "x").read_text() == "in the volume"
    docker("cp", f"{box}:/vol", tmp_path / "out")
    assert (tmp_path / "out/x").read_text() == "in the volume"
    docker("cp", f"{box}:/ro/file", tmp_path / "ro-file")
    assert (tmp_path / "ro-file").read_text() == "read only"
    assert "mounted volume is marked read-only" in docker.fails("cp", tmp_path / "x", f"{box}:/ro/x")


def test_archives_on_stdin_and_stdout(docker, box):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo("sub/hello")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    docker.run("cp", "-", f"{box}:/vol", input=made.getvalue())
    ended = docker.run("cp", f"{box}:/vol/sub", "-", input=b"")
    assert names_of(ended.stdout) == ["sub", "sub/hello"]
    ended = docker.run("cp", f"{box}:/seed/.", "-", input=b"")
    assert sorted(names_of(ended.stdout)) == [".", "./deep", "./deep/more", "./file"]


def test_what_is_not_there_is_told(docker, box, tmp_path):
    words = docker.fails("cp", f"{box}:/absent", tmp_path / "x")
    assert words == f"Error response from daemon: Could not find the file /absent in container {box}"
    (tmp_path / "f").write_text("x")
    assert "no such directory" in docker.fails("cp", tmp_path / "f", f"{box}:/absent/")
    assert "Could not find the file" in docker.fails("cp", tmp_path / "f", f"{box}:/absent/x/y")
    assert "no such directory" in docker.fails("cp", tmp_path / "f", f"{box}:/seed/file/")
    (tmp_path / "d").mkdir()
    assert "cannot copy directory" in docker.fails("cp", tmp_path / "d", f"{box}:/seed/file")
    assert "No such container" in docker.fails("cp", "nobody:/x", tmp_path / "x")


def test_links_lead_nowhere_else(docker, box, tmp_path):
    """A link in a volume that leads to the host's files shows the container's own, and is written through to those."""
    folder = Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", box))
    (tmp_path / "secret").write_text("of the host")
    (folder / "abs").symlink_to(tmp_path)
    (folder / "up").symlink_to("../../../../../../../../../.." + str(tmp_path))
    (folder / "seed").symlink_to("/seed")
    (folder / "loop").symlink_to("loop")
    for place in ("/vol/abs/secret", "/vol/up/secret", "/vol/../../.." + str(tmp_path) + "/secret", "/vol/loop/x"):
        docker.fails("cp", f"{box}:{place}", tmp_path / "stolen")
    assert not (tmp_path / "stolen").exists()
    docker("cp", f"{box}:/vol/seed/file", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "seeded"
    docker("cp", "-L", f"{box}:/vol/seed", tmp_path / "followed")
    assert (tmp_path / "followed/file").read_text() == "seeded"
    docker("cp", f"{box}:/vol/seed", tmp_path / "link")
    assert os.readlink(tmp_path / "link") == "/seed"
    docker.fails("cp", tmp_path / "secret", f"{box}:/vol/abs/planted")
    assert os.listdir(tmp_path / "ro") == ["file"]
    docker("cp", tmp_path / "secret", f"{box}:/vol/seed/through")
    docker("cp", f"{box}:/seed/through", tmp_path / "through")
    assert (tmp_path / "through").read_text() == "of the host"


HOSTILE = {
    "parent": [("../planted", "file", "")],
    "deep parent": [("a/../../../planted", "file", "")],
    "planted link": [("trap", "link", "/etc"), ("trap/planted", "file", "")],
    "hard link": [("h", "hard", "../../etc/passwd")],
    "device": [("dev", "device", "")],
}


@pytest.mark.parametrize("what", ["parent", "deep parent", "planted link", "hard link"])
def test_hostile_archives_stay_within(docker, images, what):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, sort, target in HOSTILE[what]:
            entry = tarfile.TarInfo(path)
            entry.type = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}[sort]
            entry.linkname = target
            archive.addfile(entry)
    name = docker("create", images["wasm"])
    try:
        ended = docker.run("cp", "-", f"{name}:/seed", input=made.getvalue())
        assert ended.returncode != 0
        assert b"Traceback" not in ended.stderr
        assert not Path("/etc/planted").exists()
        assert not any("planted" in path for path in names_of(docker.run("export", name, input=b"").stdout))
    finally:
        docker("rm", "-v", name)


@pytest.mark.parametrize("body", [b"no archive at all" * 100, b"\x1f\x8bcut", b"", b"\0" * 1024])
def test_bodies_that_are_no_archive(docker, images, body):
    name = docker("create", images["wasm"])
    ended = docker.run("cp", "-", f"{name}:/seed", input=body)
    assert b"Traceback" not in ended.stderr
    assert (ended.returncode == 0) == (not body.strip(b"\0"))
    docker("rm", "-v", name)


def test_owners_are_kept_or_the_containers(docker, images, kind, tmp_path):
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 1234, 4321)
    name = docker("create", "--user", "77:88", images[kind])
    docker("cp", tmp_path / "file", f"{name}:/seed/kept")
    docker("cp", "-a", tmp_path / "file", f"{name}:/seed/own")
    ended = docker.run("cp", f"{name}:/seed", "-", input=b"")
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        owners = {entry.name: (entry.uid, entry.gid) for entry in archive}
    assert (owners["seed/kept"], owners["seed/own"]) == ((1234, 4321), (77, 88))
    docker("rm", "-v", name)


def test_a_read_only_root_is_not_written(docker, images, kind, tmp_path):
    (tmp_path / "file").write_text("x")
    name = docker("create", "--read-only", "-v", "/free", images[kind])
    assert "container rootfs is marked read-only" in docker.fails("cp", tmp_path / "file", f"{name}:/seed/x")
    docker("cp", tmp_path / "file", f"{name}:/free/x")
    docker("rm", "-v", name)


def test_a_program_that_was_copied_in_is_the_one_that_runs(docker, images, kind, tmp_path):
    """The task of a WASM container may have been made already, from the module that is replaced."""
    name = docker("create", "--network", "none", "--entrypoint", "/seed/file", images[kind], "args", "new")
    docker("cp", f"{name}:/program", tmp_path / "program")
    docker("cp", tmp_path / "program", f"{name}:/seed/file")
    assert docker("start", "-a", name) == "[new]"
    docker("rm", "-v", name)


def test_a_module_that_was_copied_in_is_the_one_inspected(docker, images, tmp_path):
    name = docker("create", "--network", "none", images["wasm"])
    before = [json.loads(docker("inspect", name))[0]["Wasm"]["Module"] for _ in range(2)]
    assert before[0] == before[1]
    (tmp_path / "other").write_bytes(b"\0asm\1\0\0\0")
    docker("cp", tmp_path / "other", f"{name}:/program")
    after = json.loads(docker("inspect", name))[0]["Wasm"]["Module"]
    assert (before[0]["Size"] > 8, after["Size"]) == (True, 8)
    docker("rm", "-v", name)


def test_a_kind_is_not_replaced_by_another(docker, images, tmp_path):
    name = docker("create", images["wasm"])
    (tmp_path / "deep").write_text("a file")
    words = docker.fails("cp", tmp_path / "deep", f"{name}:/seed")
    assert "cannot overwrite directory" in words
    docker("rm", "-v", name)


def test_export_has_the_rootfs_and_no_volumes(docker, box, tmp_path):
    (tmp_path / "x").write_text("x")
    docker("cp", tmp_path / "x", f"{box}:/vol/x")
    docker("cp", tmp_path / "x", f"{box}:/seed/x")
    docker("export", "-o", tmp_path / "root.tar", box)
    with tarfile.open(tmp_path / "root.tar") as archive:
        names = set(archive.getnames())
    assert {"program", "seed/file", "seed/deep/more", "seed/x"} <= names
    assert not any(name.endswith("vol/x") for name in names)


def test_the_stat_header_is_what_clients_decode(docker, daemon, images):
    name = docker("create", images["wasm"])
    head = subprocess.run(
        ["curl", "-sI", "--unix-socket", daemon.socket, f"http://d/containers/{name}/archive?path=/seed"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (line,) = [line for line in head.splitlines() if line.lower().startswith("x-docker-container-path-stat")]
    decoded = subprocess.run(["base64", "-d"], input=line.split()[1], capture_output=True, text=True, check=True).stdout
    document = json.loads(decoded)
    assert set(document) == {"name", "size", "mode", "mtime", "linkTarget"}
    assert (document["name"], document["mode"]) == ("seed", 1 << 31 | 1 << 20 | 0o777)
    docker("rm", "-v", name)
