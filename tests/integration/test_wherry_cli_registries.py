"""The wherry CLI and registries: a module's file goes there in one command, in either form, and comes out as it was."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
import wasmtime

from tests.fakes.docker_registry import DockerRegistry
from tests.integration.conftest import Daemon
from tests.integration.wherry_cli import Wherry


@pytest.fixture
def wherry(daemon: Daemon, tmp_path: Path) -> Wherry:
    return Wherry(daemon.host, tmp_path)


@pytest.mark.parametrize("form", ["image", "artifact"])
def test_a_module_goes_there_and_comes_back(
    wherry: Wherry, registry: DockerRegistry, guest_wasm: Path, tmp_path: Path, form: str
) -> None:
    name = f"{registry.address}/module-{form}"
    pushed = wherry("push", "--as", form, guest_wasm, name)
    assert pushed.startswith(f"{name}@sha256:")
    wherry("rmi", name)
    assert wherry("pull", name) == f"{name}\n"
    raw = wherry.run("image", "inspect", "--raw", name).stdout
    manifest = json.loads(raw)
    artifact = manifest["config"]["mediaType"] == "application/vnd.wasm.config.v0+json"
    assert artifact == (form == "artifact")
    assert wherry("run", "--rm", name) == "hello\n"
    shown = json.loads(wherry("image", "inspect", name))[0]
    assert (shown["Os"], shown["Architecture"]) == ("wasip1" if artifact else "wasi", "wasm")
    assert shown["Config"]["Entrypoint"] == ["/guest.wasm"]
    wherry("image", "export-module", name, "-o", tmp_path / "again.wasm")
    assert (tmp_path / "again.wasm").read_bytes() == guest_wasm.read_bytes()
    assert wherry.run("image", "export-module", name).stdout == guest_wasm.read_bytes()
    # Converted again it is the same module, and pushed as it is the same manifest.
    other = "image" if artifact else "artifact"
    wherry("push", "-q", "--as", other, name)
    wherry("push", "-q", name)
    assert wherry("manifest", "inspect", "--raw", name).encode() == raw
    assert json.loads(wherry("manifest", "inspect", name)) == manifest
    wherry("rmi", name)


TEXT = """
(module ;; writes what it is
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00text\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
"""


@pytest.mark.parametrize("form", ["image", "artifact"])
def test_a_module_in_text(wherry: Wherry, registry: DockerRegistry, tmp_path: Path, form: str) -> None:
    """An artifact has it in binary, as others expect it there; an image has the file as it was written."""
    source = tmp_path / "said.wat"
    source.write_text(TEXT)
    binary = bytes(wasmtime.wat2wasm(TEXT))
    name = f"{registry.address}/text-{form}"
    wherry("push", "-q", "--as", form, source, name)
    wherry("rmi", name)
    wherry("pull", "-q", name)
    assert wherry("run", "--rm", name) == "text\n"
    entry = json.loads(wherry("image", "inspect", name))[0]["Config"]["Entrypoint"]
    assert entry == ["/said.wasm" if form == "artifact" else "/said.wat"]
    if form == "artifact":
        (layer,) = json.loads(wherry.run("image", "inspect", "--raw", name).stdout)["layers"]
        assert layer["digest"] == f"sha256:{hashlib.sha256(binary).hexdigest()}"
    assert wherry.run("image", "export-module", name).stdout == binary
    described = json.loads(wherry("sbom", "--format", "cyclonedx", name))
    inside = binary if form == "artifact" else TEXT.encode()
    assert hashlib.sha256(inside).hexdigest() in json.dumps(described)
    assert "fd_write" in json.dumps(described)
    wherry("push", "-q", "--as", "artifact" if form == "image" else "image", name)
    wherry("rmi", name)


def test_wrong_text_is_told_and_leaves_nothing(wherry: Wherry, registry: DockerRegistry, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "bad.wat").write_text("(module (func (export 1)))")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY bad.wat /\nENTRYPOINT ["/bad.wat"]\n')
    name = f"{registry.address}/bad"
    wherry("build", "-q", "-t", name, context)
    for words in (["image", "export-module"], ["push", "--as", "artifact"], ["sbom"]):
        done = wherry.run(*words, name)
        assert (done.returncode, done.stdout) == (1, b"")
        assert "bad.wat is not WebAssembly text: unknown operator" in done.stderr.decode()
    assert "manifest unknown" in wherry.run("manifest", "inspect", name).stderr.decode()
    wherry("rmi", name)


def test_run_pulls(wherry: Wherry, registry: DockerRegistry, guest_wasm: Path) -> None:
    name = f"{registry.address}/run"
    wherry("push", "-q", guest_wasm, name)
    wherry("rmi", name)
    done = wherry.run("run", "--rm", name)
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert f"Status: Downloaded newer image for {name}:latest" in done.stderr.decode()
    assert any(words in done.stderr.decode() for words in (": Pull complete", ": Already exists"))
    wherry("tag", name, f"{name}:other")
    wherry("push", "-q", "--all-tags", name)
    wherry("rmi", name, f"{name}:other")
    wherry("pull", "-a", "-q", name)
    assert sorted(wherry("images", "--format", "{{.Tag}}", name).split()) == ["latest", "other"]


def test_a_build_for_several_platforms_is_an_index(
    wherry: Wherry, registry: DockerRegistry, guest_context: Path, tmp_path: Path
) -> None:
    name = f"{registry.address}/several"
    wherry("build", "--platform", "wasi/wasm,linux/amd64", "-t", name, guest_context)
    assert wherry("run", "--rm", name) == "hello\n"
    assert wherry("run", "--rm", "--platform", "linux/amd64", name) == "hello\n"
    wherry("push", "-q", name)
    listed = json.loads(wherry("manifest", "inspect", name))
    assert listed["mediaType"] == "application/vnd.oci.image.index.v1+json"
    entries = listed["manifests"]
    assert [f"{entry['platform']['os']}/{entry['platform']['architecture']}" for entry in entries] == [
        "wasi/wasm",
        "linux/amd64",
    ]
    for entry in entries:  # its children are there, and can be asked for
        assert json.loads(wherry("manifest", "inspect", f"{name}@{entry['digest']}"))["layers"]
    wherry("rmi", name)
    wherry("pull", "-q", "--platform", "linux/amd64", name)
    assert json.loads(wherry("image", "inspect", name))[0]["Os"] == "linux"
    assert json.loads(wherry.run("image", "inspect", "--raw", name).stdout) == listed
    wherry("rmi", name)


def test_login_and_logout(wherry: Wherry, guarded: DockerRegistry, guest_wasm: Path) -> None:
    name = f"{guarded.address}/private"
    assert "unauthorized" in wherry.fails(1, "push", guest_wasm, name)
    assert "unauthorized" in wherry.fails(1, "login", "-u", "me", "-p", "wrong", guarded.address)
    assert wherry("login", "-u", "me", "--password-stdin", guarded.address, stdin=b"secret\n") == "Login Succeeded\n"
    path = wherry.home / ".docker" / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert wherry.config["auths"] == {guarded.address: {"auth": "bWU6c2VjcmV0"}}
    assert wherry("login", guarded.address) == "Login Succeeded\n"
    wherry("push", "-q", guest_wasm, name)
    wherry("rmi", name)
    assert wherry.run("run", "--rm", name).stdout == b"hello\n"
    wherry("rmi", name)
    assert "hello" not in wherry("build", "-q", "-t", "on-private", "-", stdin=f"FROM {name}\nENV A=1\n".encode())
    assert "Removing login credentials" in wherry("logout", guarded.address)
    assert wherry.config["auths"] == {}
    assert "pull access denied" in wherry.fails(1, "pull", name)
    assert "Not logged in" in wherry("logout", guarded.address)


HELPER = """\
#!/bin/sh
read server
case $1 in
    get) [ -f "$HOME/kept" ] && cat "$HOME/kept" || { echo "credentials not found in native keychain"; exit 1; } ;;
    store) echo "$server" > "$HOME/kept" ;;
    erase) rm -f "$HOME/kept" ;;
esac
"""


def test_a_credential_helper(wherry: Wherry, guarded: DockerRegistry, guest_wasm: Path) -> None:
    helper = wherry.home / "docker-credential-fake"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    (wherry.home / ".docker").mkdir()
    config = wherry.home / ".docker" / "config.json"
    config.write_text(json.dumps({"credHelpers": {guarded.address: "fake"}, "other": {"kept": [1]}}))
    name = f"{guarded.address}/helped"
    assert "unauthorized" in wherry.fails(1, "push", guest_wasm, name)
    wherry("login", "-u", "me", "-p", "secret", guarded.address)
    assert json.loads((wherry.home / "kept").read_text())["Secret"] == "secret"
    assert wherry.config["other"] == {"kept": [1]}
    assert "secret" not in config.read_text()
    wherry("push", "-q", guest_wasm, name)
    wherry("logout", guarded.address)
    assert not (wherry.home / "kept").exists()
    helper.unlink()
    assert "docker-credential-fake is not installed" in wherry.fails(1, "pull", name)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"auths": 5}', '{"auths": {"127.0.0.1:1": {"auth": "%%%"}}}'])
def test_a_damaged_configuration(wherry: Wherry, text: str) -> None:
    (wherry.home / ".docker").mkdir()
    (wherry.home / ".docker" / "config.json").write_text(text)
    said = wherry.fails(1, "pull", "127.0.0.1:1/x")
    assert "connection refused" in said or f"cannot read {wherry.home}/.docker/config.json" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["push", "nosuch:1"], "does not exist locally with the tag: nosuch"),
        (["push", "--as", "zip", "guest"], "unknown form 'zip'"),
        (["push", "./a.wasm"], "say under which name"),
        (["push", "./a.wasm", "host/UPPER"], "must be lowercase"),
        (["push", "-a", "x:1"], "tag can't be used with --all-tags"),
        (["pull", "-a", "x:1"], "tag can't be used with --all-tags"),
        (["pull", "a//b"], "invalid reference format"),
        (["login", "-u", "me", "bad host"], "non TTY"),
        (["login", "-u", "me", "-p", "x", "nothost"], "invalid registry 'nothost'"),
        (["login", "--password-stdin"], "Must provide --username"),
        (["manifest", "inspect", "nosuch"], "no such manifest: nosuch:latest"),
        (["image", "export-module", "nosuch"], "No such image: nosuch"),
        (["image", "inspect", "--raw", "nosuch"], "No such image: nosuch"),
    ],
)
def test_what_is_wrong_is_said(wherry: Wherry, words: list[str], said: str) -> None:
    assert said in wherry.fails(1, *words)
