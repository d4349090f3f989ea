"""Debian's containerd in wherryd's place: `ctr` runs a WASM image through containerd-shim-wherry-v1."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.netns import network_namespace
from tests.zig import compile_wasm

DATA = Path(__file__).parent.parent / "data"
IMAGE = "docker.io/library/hello:latest"
RUNTIME = "io.containerd.wherry.v1"
MODULE = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\16\00\00\00")
  (data (i32.const 16) "hello from containerd\n")
  ;; one argument: say hello and exit with 42; more: say it and sleep for ever
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $sizes (i32.const 64) (i32.const 68)))
    (if (i32.eq (i32.load (i32.const 64)) (i32.const 1)) (then (call $exit (i32.const 42))))
    (i64.store (i32.const 152) (i64.const 3600000000000))
    (loop (drop (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 8))) (br 0))))
"""


def archive(module: bytes) -> bytes:
    """An image as `docker save` and `ctr image export` write it: an OCI layout in a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        def blob(data: bytes, media_type: str) -> dict[str, object]:
            digest = hashlib.sha256(data).hexdigest()
            add(f"blobs/sha256/{digest}", data)
            return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as inner:
            info = tarfile.TarInfo("hello.wasm")
            info.size, info.mode = len(module), 0o755
            inner.addfile(info, io.BytesIO(module))
        oci = "application/vnd.oci.image"
        layers = [blob(layer.getvalue(), f"{oci}.layer.v1.tar")]
        platform = {"os": "wasi", "architecture": "wasm"}
        rootfs = {"type": "layers", "diff_ids": [layers[0]["digest"]]}
        config = platform | {"config": {"Entrypoint": ["/hello.wasm"]}, "rootfs": rootfs}
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{oci}.manifest.v1+json",
            "config": blob(json.dumps(config).encode(), f"{oci}.config.v1+json"),
            "layers": layers,
        }
        entry = blob(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
        entry |= {"platform": platform, "annotations": {"io.containerd.image.name": IMAGE}}
        add("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return out.getvalue()


@dataclass
class Containerd:
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        environ = os.environ | {"PATH": path, "WHERRY_CACHE": str(self.folder / "compiled")}
        with open(self.folder / "log", "ab") as log:
            command = ["containerd", "-c", self.folder / "config.toml"]
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        until(lambda: self.ctr("version").returncode == 0, "containerd answers")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def ctr(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["ctr", "-a", str(self.folder / "c.sock"), *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def run(
        self, container_id: str, *args: str, options: tuple[str, ...] = ("--rm",)
    ) -> subprocess.CompletedProcess[str]:
        wanted = ("--runtime", RUNTIME, "--platform", "wasi/wasm")
        return self.ctr("run", *options, *wanted, IMAGE, container_id, *args)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    folder = tmp_path_factory.mktemp("ctrd")
    (folder / "config.toml").write_text(f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/c.sock"
[ttrpc]
  address = "{folder}/c.sock.ttrpc"
""")
    (folder / "hello.tar").write_bytes(archive(MODULE.encode()))  # text is a module too: the shim's compiler takes it
    daemon = Containerd(folder)
    daemon.start()
    try:
        imported = daemon.ctr("image", "import", "--all-platforms", str(folder / "hello.tar"))
        assert imported.returncode == 0, imported.stderr
        yield daemon
    finally:
        daemon.stop()


def test_output_and_exit_code_come_through(containerd: Containerd) -> None:
    for container_id in ("one", "two"):  # the second is served by the group the first one started, or by a new one
        done = containerd.run(container_id)
        assert (done.stdout, done.returncode) == ("hello from containerd\n", 42), done.stderr
    assert containerd.ctr("task", "ls", "-q").stdout == ""


def test_errors_name_what_is_missing(containerd: Containerd) -> None:
    done = containerd.run("missing", "/nope.wasm")
    assert done.returncode == 1
    assert 'exec: "/nope.wasm": stat /nope.wasm: no such file or directory' in done.stderr
    containerd.ctr("container", "rm", "missing")


def test_a_task_outlives_containerd_and_is_ended_by_the_next_one(containerd: Containerd) -> None:
    started = containerd.run("long", "/hello.wasm", "sleep", options=("-d",))
    assert started.returncode == 0, started.stderr
    try:
        assert containerd.ctr("task", "exec", "--exec-id", "e", "long", "/hello.wasm").returncode == 42
        assert containerd.ctr("task", "pause", "long").returncode == 0
        assert "PAUSED" in containerd.ctr("task", "ls").stdout
        assert containerd.ctr("task", "resume", "long").returncode == 0
        assert "pids.current" in containerd.ctr("task", "metrics", "long").stdout
        containerd.stop()
        containerd.start()
        assert "RUNNING" in containerd.ctr("task", "ls").stdout
    finally:
        containerd.ctr("task", "kill", "-s", str(signal.SIGTERM.value), "long")
    until(lambda: "STOPPED" in containerd.ctr("task", "ls").stdout, "the task has ended")
    deleted = containerd.ctr("task", "rm", "long")
    assert "143" in deleted.stderr + deleted.stdout
    assert containerd.ctr("container", "rm", "long").returncode == 0


def test_a_server_in_a_network_that_somebody_else_has_made(containerd: Containerd, tmp_path: Path) -> None:
    """As in a pod: containerd names the namespace, and says nothing of ports."""
    compile_wasm(DATA / "wasmedge_guest.c", tmp_path / "guest.wasm")
    with network_namespace() as network:
        options = ("-d", "--with-ns", f"network:{network.path}")
        options += ("--mount", f"type=bind,src={tmp_path},dst=/pod,options=rbind:ro")
        done = containerd.run("pod", "/pod/guest.wasm", "tcp", "8080", "1", options=options)
        assert done.returncode == 0, done.stderr

        def listens() -> bool:
            with network.new_socket() as client:
                return client.connect_ex(("127.0.0.1", 8080)) == 0

        try:
            until(listens, "the guest listens")
        finally:
            containerd.ctr("task", "kill", "-s", "KILL", "pod")
            containerd.ctr("task", "rm", "pod")
            containerd.ctr("container", "rm", "pod")
