"""`docker diff`, `docker commit`, `docker import` and prunes, with both kinds of container."""

import io
import json
import subprocess
import tarfile

import pytest

from tests.integration.both_kinds import PLATFORMS, build_both


@pytest.fixture(scope="module")
def images(docker, tmp_path_factory) -> dict:
    return build_both(docker, tmp_path_factory.mktemp("makings"), "mk")


@pytest.fixture(params=PLATFORMS)
def kind(request):
    return request.param


@pytest.fixture
def box(docker, images, kind, tmp_path):
    """A container that ran: it wrote /seed/file and /seed/deep/new."""
    name = f"made-{kind}"
    words = ["--network", "none", "-e", "COLOUR=blue", "-l", "own=1", images[kind], "write", "/seed/deep/new", "fresh"]
    docker("run", "--name", name, *words)
    (tmp_path / "file").write_text("changed")
    docker("cp", tmp_path / "file", f"{name}:/seed/file")
    yield name
    docker("rm", "-fv", name)


def test_diff_tells_what_was_changed_and_added(docker, box):
    told = set(docker("diff", box).splitlines())
    assert told - {"A /declared"} == {"C /seed", "C /seed/file", "C /seed/deep", "A /seed/deep/new"}


def test_a_commit_is_an_image_with_the_changes_and_the_settings(docker, box, kind, tmp_path):
    image = docker("commit", "-m", "said", "-a", "somebody", "-c", 'CMD ["read", "/seed/file"]',
                   "-c", "ENV SIZE=$COLOUR", "-c", "WORKDIR /seed", "-c", "LABEL more=2",
                   box, f"committed-{kind}:v1")  # fmt: skip
    assert image.startswith("sha256:")
    document = json.loads(docker("image", "inspect", f"committed-{kind}:v1"))[0]
    assert document["Id"] == image
    assert (document["Author"], document["Config"]["WorkingDir"]) == ("somebody", "/seed")
    assert {"COLOUR=blue", "SIZE=blue"} <= set(document["Config"]["Env"])
    assert document["Config"]["Labels"] == {"own": "1", "more": "2"}
    assert document["Os"] == PLATFORMS[kind].partition("/")[0]
    assert docker("run", "--rm", "--network", "none", f"committed-{kind}:v1") == "changed"
    assert docker("run", "--rm", "--network", "none", f"committed-{kind}:v1", "read", "/seed/deep/new") == "fresh"
    assert docker("run", "--rm", "--network", "none", f"committed-{kind}:v1", "read", "/seed/deep/more") == "deeper"
    assert "said" in docker("history", "--format", "{{.Comment}}", f"committed-{kind}:v1")
    docker("save", "-o", tmp_path / "image.tar", f"committed-{kind}:v1")
    docker("rmi", f"committed-{kind}:v1")
    docker("load", "-i", tmp_path / "image.tar")
    assert docker("run", "--rm", "--network", "none", f"committed-{kind}:v1") == "changed"
    docker("rmi", f"committed-{kind}:v1")


def test_a_running_container_is_committed_and_goes_on(docker, images, kind):
    name = f"running-{kind}"
    docker("run", "-d", "--network", "none", "--name", name, images[kind], "sleep")
    try:
        image = docker("commit", name)
        assert docker("inspect", "-f", "{{.State.Status}}", name) == "running"
        assert docker("images", "-q", "--no-trunc", "-f", "dangling=true").splitlines().count(image) == 1
        docker("commit", "--pause=false", name, f"unpaused-{kind}")
        docker("rmi", image, f"unpaused-{kind}")
    finally:
        docker("rm", "-fv", name)


def test_wrong_commits(docker, images, box):
    assert "FROM is not a valid change command" in docker.fails("commit", "-c", "FROM x", box)
    assert "RUN is not a valid change command" in docker.fails("commit", "-c", "RUN ls", box)
    assert "COPY is not a valid change command" in docker.fails("commit", "-c", "COPY a b", box)
    assert "NONSENSE is not a valid change command" in docker.fails("commit", "-c", "NONSENSE x", box)
    assert "invalid reference format" in docker.fails("commit", box, "Upper/Case")
    assert "No such container" in docker.fails("commit", "nobody")


def _root_archive(program: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, data in (("/program", program), ("./etc/words", b"of the archive")):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def test_an_archive_is_imported(docker, images, kind, tmp_path):
    name = docker("create", images[kind])
    docker("cp", f"{name}:/program", tmp_path / "program")
    docker("rm", "-v", name)
    (tmp_path / "root.tgz").write_bytes(_root_archive((tmp_path / "program").read_bytes()))
    said = docker("import", "--platform", PLATFORMS[kind], "-m", "told", "-c", 'ENTRYPOINT ["/program"]',
                  "-c", "CMD read /etc/words" if kind == "wasm" else 'CMD ["read", "/etc/words"]',
                  tmp_path / "root.tgz", f"imported-{kind}")  # fmt: skip
    assert said.startswith("sha256:")
    assert docker("run", "--rm", "--network", "none", f"imported-{kind}") == "of the archive"
    assert docker("history", "--format", "{{.Comment}}", f"imported-{kind}") == "told"
    docker("rmi", f"imported-{kind}")


def test_an_export_is_imported_again(docker, images, box, kind):
    archive = docker.run("export", box, input=b"").stdout
    said = docker.run("import", "--platform", PLATFORMS[kind], "-c", 'ENTRYPOINT ["/program"]', "-", f"again-{kind}",
                      input=archive)  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert docker("run", "--rm", "--network", "none", f"again-{kind}", "read", "/seed/deep/new") == "fresh"
    docker("rmi", f"again-{kind}")


@pytest.mark.parametrize("body", [b"no archive" * 100, b"", b"\x1f\x8b\x08cut off"])
def test_what_is_no_archive_is_not_imported(docker, body):
    before = docker("images", "-aq")
    ended = docker.run("import", "-", "bad", input=body)
    assert ended.returncode != 0
    assert b"archive" in ended.stderr
    assert docker("images", "-aq") == before


def test_a_sparse_archive_is_imported_whole(docker, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with open(root / "holes", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"island")
    subprocess.run(["tar", "-C", root, "-cSf", tmp_path / "root.tar", "."], check=True)
    docker("import", "-c", "CMD x", tmp_path / "root.tar", "sparse")
    name = docker("create", "sparse", "x")
    docker("cp", f"{name}:/holes", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (root / "holes").read_bytes()
    docker("rm", name)
    docker("rmi", "sparse")


def test_system_prune_takes_volumes_when_asked(fresh_docker, tmp_path):
    made = build_both(fresh_docker, tmp_path, "prune")
    fresh_docker("create", "--network", "none", made["wasm"])
    fresh_docker("volume", "create", "named")
    assert "Deleted Volumes" not in fresh_docker("system", "prune", "-f")
    assert len(fresh_docker("volume", "ls", "-q").split()) == 2
    assert "Total reclaimed space" in fresh_docker("system", "prune", "-f", "--volumes")
    assert fresh_docker("volume", "ls", "-q") == "named"
    usage = [json.loads(line) for line in fresh_docker("system", "df", "--format", "json").splitlines()]
    assert [(row["Type"], row["TotalCount"]) for row in usage][2] == ("Local Volumes", "1")
    assert fresh_docker("volume", "prune", "-af").startswith("Deleted Volumes:\nnamed")
