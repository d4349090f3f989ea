"""`wherry volume`, `cp`, `commit`, `export`, `import`, `diff`: as a user types them, against a real engine."""

import io
import os
import stat
import tarfile

import pytest

from tests.integration.both_kinds import build_both
from tests.integration.wherry_cli import Wherry


@pytest.fixture(scope="module")
def wherry(daemon) -> Wherry:
    return Wherry(daemon.host)


@pytest.fixture(scope="module")
def images(docker, tmp_path_factory) -> dict:
    return build_both(docker, tmp_path_factory.mktemp("cli"), "wcli")


@pytest.fixture(params=["sleep", "hello"])
def box(request, wherry, images):
    """A container that runs, or ran."""
    name = f"wbox-{request.param}"
    detached = ["-d"] if request.param == "sleep" else []
    wherry("run", *detached, "--name", name, "-v", "/vol", images["wasm"], request.param)
    yield name
    wherry("rm", "-fv", name)


def test_volumes(wherry, images):
    assert wherry("volume", "create", "--label", "a=b", "one") == "one\n"
    assert wherry("volume", "ls", "-q", "-f", "label=a=b") == "one\n"
    table = wherry("volume", "ls").splitlines()
    assert table[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert ["local", "one"] in [line.split() for line in table]
    mount = "type=volume,source=one,target=/d,volume-nocopy,volume-label=c=d"
    wherry("run", "--name", "lender", "--mount", mount, images["wasm"], "write", "/d/x", "kept")
    assert wherry("run", "--rm", "--volumes-from", "lender:ro", images["wasm"], "read", "/d/x") == "kept"
    assert wherry("volume", "inspect", "-f", "{{.Name}} {{.Labels.a}}", "one") == "one b\n"
    assert "volume is in use" in wherry.fails(1, "volume", "rm", "one")
    wherry("rm", "-v", "lender")
    assert wherry("volume", "rm", "one") == "one\n"
    assert "no such volume" in wherry.fails(1, "volume", "rm", "one")
    wherry("volume", "create", "two")
    assert "two" not in wherry("volume", "prune", "-f")
    assert "two" in wherry("volume", "prune", "-af")


def test_files_go_in_and_out(wherry, box, tmp_path):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/file").write_text("x" * 100_000)
    (tmp_path / "tree/link").symlink_to("file")
    os.link(tmp_path / "tree/file", tmp_path / "tree/same")
    (tmp_path / "tree/sub").chmod(0o700)
    wherry("cp", tmp_path / "tree", f"{box}:/vol")
    wherry("cp", f"{tmp_path}/tree/.", f"{box}:/seed")
    wherry("cp", tmp_path / "tree", f"{box}:/renamed")
    wherry("cp", tmp_path / "tree/file", f"{box}:/seed/called")
    wherry("cp", f"{box}:/vol/tree", tmp_path / "back")
    assert sorted(os.listdir(tmp_path / "back")) == ["file", "link", "same", "sub"]
    assert (tmp_path / "back/same").stat().st_ino == (tmp_path / "back/file").stat().st_ino
    assert stat.S_IMODE((tmp_path / "back/sub").stat().st_mode) == 0o700
    (tmp_path / "into").mkdir()
    wherry("cp", f"{box}:/seed/called", tmp_path / "into")
    wherry("cp", f"{box}:/renamed", tmp_path / "into")
    wherry("cp", f"{box}:/seed/.", tmp_path / "into")
    found = sorted(os.listdir(tmp_path / "into"))
    assert found == ["called", "deep", "file", "link", "renamed", "same", "sub"]
    assert (tmp_path / "into/renamed/file").read_text() == "x" * 100_000
    wherry("cp", f"{box}:/seed/called", tmp_path / "other")
    assert (tmp_path / "other").read_text() == "x" * 100_000


def test_links_are_kept_or_followed(wherry, box, tmp_path):
    (tmp_path / "link").symlink_to("/seed/file")
    wherry("cp", tmp_path / "link", f"{box}:/vol/link")
    wherry("cp", f"{box}:/vol/link", tmp_path / "as-link")
    assert os.readlink(tmp_path / "as-link") == "/seed/file"
    wherry("cp", "-L", f"{box}:/vol/link", tmp_path / "followed")
    assert (tmp_path / "followed").read_text() == "seeded"


def test_archives(wherry, box, tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("in/stdin")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"ok"))
    wherry("cp", "-", f"{box}:/vol", stdin=made.getvalue())
    sent = wherry.run("cp", f"{box}:/vol/in", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
        assert archive.getnames() == ["in", "in/stdin"]


def test_wrong_copies(wherry, box, tmp_path):
    (tmp_path / "f").write_text("x")
    for words, reason in {
        (f"{box}:/absent", tmp_path / "x"): "Could not find the file /absent in container",
        (f"{box}:/seed/file", tmp_path / "no/such"): "no such directory",
        (f"{box}:/seed", tmp_path / "f"): "cannot copy directory",
        (tmp_path / "absent", f"{box}:/x"): "no such file or directory",
        (tmp_path / "f", f"{box}:/absent/"): "no such directory",
        (tmp_path, f"{box}:/seed/file"): "cannot copy directory",
        (tmp_path / "f", "nobody:/x"): "No such container: nobody",
        ("a:/x", "b:/y"): "copying between containers is not supported",
        ("./x", "./y"): "must specify at least one container source",
        (f"{box}:", "./y"): "a path is missing",
    }.items():
        assert reason in wherry.fails(1, "cp", *words)


def test_diff_commit_export_import(wherry, docker, images, tmp_path):
    wherry("run", "--name", "made", images["wasm"], "write", "/seed/new", "made")
    assert "A /seed/new" in wherry("diff", "made").splitlines()
    image = wherry(
        "commit", "-m", "said", "-c", 'CMD ["read", "/seed/new"]', "--pause=false", "made", "made:v1"
    ).strip()
    assert wherry("inspect", "-f", "{{.Id}}", "made:v1").strip() == image
    assert wherry("run", "--rm", "made:v1") == "made"
    wherry("export", "-o", tmp_path / "root.tar", "made")
    archive = wherry.run("export", "made").stdout
    assert archive == (tmp_path / "root.tar").read_bytes()
    options = ("--platform", "wasi/wasm", "-c", 'ENTRYPOINT ["/program"]')
    assert wherry("import", *options, tmp_path / "root.tar", "again").startswith("sha256:")
    assert wherry("run", "--rm", "again", "read", "/seed/new") == "made"
    wherry("import", *options, "-", "piped:v2", stdin=archive)
    assert wherry("run", "--rm", "piped:v2", "read", "/seed/new") == "made"
    wherry("rm", "-v", "made")
    wherry("rmi", "made:v1", "again", "piped:v2")


def test_update(wherry, images):
    wherry("run", "-d", "--name", "fed", "-m", "64m", images["wasm"], "sleep")
    try:
        assert wherry("update", "-m", "128m", "--cpus", "0.5", "--restart", "on-failure:3", "fed") == "fed\n"
        shown = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
        assert wherry("inspect", "-f", shown, "fed") == f"{128 << 20} 500000000 3\n"
        assert "one or more flags" in wherry.fails(1, "update", "fed")
        assert "Minimum memory limit" in wherry.fails(1, "update", "-m", "1k", "fed")
        assert "No such container" in wherry.fails(1, "update", "-m", "64m", "nobody")
    finally:
        wherry("rm", "-fv", "fed")
