"""The docker CLI, a real registry (Debian's docker-registry), skopeo and umoci: images go there, come back, and run."""

import json
import subprocess
from pathlib import Path

from tests.fakes.docker_registry import DockerRegistry
from tests.fakes.proxy import proxy
from tests.integration.conftest import Docker


def manifest_digest(docker: Docker, name: str) -> str:
    return json.loads(docker("image", "inspect", name))[0]["Id"]


def test_push_and_pull(docker: Docker, guest_image: str, registry: DockerRegistry) -> None:
    name = f"{registry.address}/guest"
    docker("tag", guest_image, f"{name}:v1")
    said = docker("push", f"{name}:v1")
    assert f"The push refers to repository [{name}]" in said
    assert ": Pushed" in said
    digest = manifest_digest(docker, guest_image)
    assert f"v1: digest: {digest} size:" in said
    assert ": Layer already exists" in docker("push", f"{name}:v1")
    docker("rmi", f"{name}:v1")
    said = docker("pull", f"{name}:v1")
    assert said.splitlines()[0] == "v1: Pulling from guest"
    assert f"Digest: {digest}" in said
    assert f"Status: Downloaded newer image for {name}:v1" in said
    assert said.splitlines()[-1] == f"{name}:v1"
    assert f"Status: Image is up to date for {name}:v1" in docker("pull", f"{name}:v1")
    assert manifest_digest(docker, f"{name}:v1") == digest
    assert docker("run", "--rm", f"{name}:v1") == "hello"


def test_by_digest(docker: Docker, guest_image: str, registry: DockerRegistry) -> None:
    name = f"{registry.address}/pinned"
    docker("tag", guest_image, name)
    docker("push", "-q", name)
    docker("rmi", name)
    digest = manifest_digest(docker, guest_image)
    assert f"{digest}: Pulling from pinned" in docker("pull", f"{name}@{digest}")
    assert f"{name}@{digest}" in docker("images", "--digests", "--format", "{{.Repository}}@{{.Digest}}", name)
    assert docker("run", "--rm", f"{name}@{digest}") == "hello"
    docker("rmi", f"{name}@{digest}")


def test_run_pulls_what_is_not_here(fresh_docker: Docker, guest_context: Path, registry: DockerRegistry) -> None:
    docker, name = fresh_docker, f"{registry.address}/unknown"
    docker("build", "-q", "-t", name, guest_context)
    docker("push", "-q", name)
    docker("rmi", name)
    ended = docker.run("run", "--rm", name)
    assert (ended.returncode, ended.stdout) == (0, "hello\n")
    assert f"Unable to find image '{name}:latest' locally" in ended.stderr
    assert f"Downloaded newer image for {name}:latest" in ended.stderr
    assert docker("run", "--rm", "--pull", "always", "-q", name).endswith("hello")
    docker.fails("run", "--rm", "--pull", "never", f"{registry.address}/other", code=125)


def test_a_build_pulls_its_base(fresh_docker: Docker, guest_context: Path, registry: DockerRegistry) -> None:
    docker, name = fresh_docker, f"{registry.address}/base"
    docker("build", "-q", "-t", name, guest_context)
    docker("push", "-q", name)
    docker("rmi", name)
    said = docker("build", "-t", "mine", "-", input=f"FROM {name}\nENV A=b\n")
    assert "latest: Pulling from base" in said
    assert docker("run", "--rm", "mine") == "hello"
    assert "Pulling" not in docker("build", "-t", "mine", "-", input=f"FROM {name}\nENV A=c\n")
    assert f"Image is up to date for {name}" in docker("build", "--pull", "-", input=f"FROM {name}\nENV A=d\n")


def test_all_tags(fresh_docker: Docker, guest_context: Path, registry: DockerRegistry) -> None:
    docker, name = fresh_docker, f"{registry.address}/many"
    docker("build", "-q", "-t", name, guest_context)
    for tag in ("v1", "v2"):
        docker("tag", name, f"{name}:{tag}")
    docker("push", "-a", name)
    docker("rmi", "-f", name, f"{name}:v1", f"{name}:v2")
    docker("pull", "-a", name)
    assert sorted(docker("images", "--format", "{{.Tag}}", name).splitlines()) == ["latest", "v1", "v2"]


def test_a_registry_behind_a_proxy(
    docker: Docker, guest_image: str, registry: DockerRegistry, fresh_docker: Docker
) -> None:
    docker("tag", guest_image, f"{registry.address}/behind")
    docker("push", "-q", f"{registry.address}/behind")
    behind, daemon = fresh_docker, fresh_docker.daemon
    with proxy({"reg.test": registry.address, "other.test": registry.address}, "me:hidden") as made:
        daemon.stop()
        daemon.environ = {"HTTP_PROXY": f"http://me:hidden@{made.address}", "NO_PROXY": "other.test"}
        daemon.arguments = ("--registry", "reg.test=http://reg.test", "--registry", "other.test=http://other.test")
        daemon.start()
        assert "Downloaded newer image" in behind("pull", "reg.test/behind")
        assert behind("run", "--rm", "reg.test/behind") == "hello"
        assert "GET http://reg.test/v2/" in made.log
        shown = json.loads(behind("info", "--format", "{{json .}}"))
        assert (shown["HttpProxy"], shown["NoProxy"]) == (f"http://xxxxx:xxxxx@{made.address}", "other.test")
        assert "lookup other.test: no such host" in behind.fails("pull", "other.test/behind", code=1)


def test_what_is_not_there(docker: Docker, registry: DockerRegistry) -> None:
    name = f"{registry.address}/nothing"
    assert f"manifest for {name}:latest not found: manifest unknown: " in docker.fails("pull", name, code=1)
    assert docker.fails("pull", "nothing", code=1).startswith(
        "Error response from daemon: pull access denied for nothing, repository does not exist or may require"
        " 'docker login'"
    )
    assert f"An image does not exist locally with the tag: {name}" in docker.fails("push", name, code=1)
    assert "connection refused" in docker.fails("pull", "127.0.0.1:1/x", code=1)


def test_logins(docker: Docker, guest_image: str, guarded: DockerRegistry) -> None:
    name = f"{guarded.address}/private"
    docker("tag", guest_image, name)
    assert "unauthorized" in docker.fails("push", name, code=1)
    assert "unauthorized" in docker.fails("login", "-u", "me", "-p", "wrong", guarded.address)
    assert "Login Succeeded" in docker("login", "-u", "me", "--password-stdin", guarded.address, input="secret")
    docker("push", "-q", name)
    docker("rmi", name)
    assert docker.run("run", "--rm", name).stdout == "hello\n"
    docker("rmi", name)
    docker("build", "-q", "-", input=f"FROM {name}\nENV A=b\n")
    docker("logout", guarded.address)
    assert "pull access denied for" in docker.fails("pull", name, code=1)


def test_manifest_inspect_and_distribution(docker: Docker, guest_image: str, registry: DockerRegistry) -> None:
    name = f"{registry.address}/inspected"
    docker("tag", guest_image, name)
    docker("push", "-q", name)
    found = json.loads(docker("manifest", "inspect", "--insecure", name))
    assert found["schemaVersion"] == 2
    assert len(found["layers"]) == 1


def test_skopeo_and_umoci_both_ways(docker: Docker, guest_image: str, registry: DockerRegistry, tmp_path: Path) -> None:
    name = f"{registry.address}/traded"
    docker("tag", guest_image, name)
    docker("push", "-q", name)
    layout = f"oci:{tmp_path}/layout:traded"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}:latest", layout)
    run("umoci", "config", "--image", f"{tmp_path}/layout:traded", "--config.env", "GREETING=changed")
    run("skopeo", "copy", "-q", "--dest-tls-verify=false", layout, f"docker://{name}:changed")
    docker("pull", f"{name}:changed")
    assert "GREETING=changed" in json.loads(docker("image", "inspect", f"{name}:changed"))[0]["Config"]["Env"]
    assert docker("run", "--rm", f"{name}:changed") == "hello"
    # What Docker's own format looks like: schema 2, uncompressed and by zstd.
    run("skopeo", "copy", "-q", "--dest-tls-verify=false", "-f", "v2s2", layout, f"docker://{name}:docker")
    run(
        "skopeo",
        "copy",
        "-q",
        "--dest-tls-verify=false",
        "--dest-compress-format=zstd",
        layout,
        f"docker://{name}:zstd",
    )
    for tag in ("docker", "zstd"):
        docker("pull", "-q", f"{name}:{tag}")
        assert docker("run", "--rm", f"{name}:{tag}") == "hello"
        digest = manifest_digest(docker, f"{name}:{tag}")
        docker("tag", f"{name}:{tag}", f"{registry.address}/again:{tag}")
        assert f"digest: {digest}" in docker("push", f"{registry.address}/again:{tag}")


def run(*command: object) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
