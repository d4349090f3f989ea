"""An engine that is not root's: Linux containers in a user namespace, and both kinds on its one network, by pasta."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.netns import NetworkNamespace, network_namespace
from tests.integration.conftest import Daemon, Docker, until
from tests.integration.networked import answers, fetch, inspect, serve
from tests.linux_images import busybox_context
from tests.zig import compile_wasm

USER = 64323
EXAMPLE = Path(__file__).parents[2] / "examples/http"
GUEST = Path(__file__).parent.parent / "data/wasmedge_guest.c"
# A device for all, seen by this engine alone; the machine's own may be root's.
TUN = """
mount -t tmpfs -o mode=755 tmpfs /dev/net
[ "$1" = none ] || mknod -m "$1" /dev/net/tun c 10 200
shift
exec "$@"
"""


def rootless(tun: str = "666") -> Daemon:
    """Not started yet."""
    assert os.geteuid() == 0, "another user's engine can only be started by root"
    assert shutil.which("pasta"), "pasta is not installed: install passt"
    outer = ["unshare", "-m", "--propagation", "private", "sh", "-c", TUN, "sh", tun]
    daemon = Daemon(Path(tempfile.mkdtemp(prefix="wherry-", dir="/tmp")), user=USER, outer=outer)
    os.chown(daemon.folder, USER, USER)
    daemon.environ = {"HOME": str(daemon.folder), "XDG_RUNTIME_DIR": str(daemon.folder)}
    return daemon


def end(daemon: Daemon) -> None:
    docker = Docker(daemon)
    left = docker.run("ps", "-aq").stdout.split()
    if left:
        docker("rm", "-fv", *left)
    assert daemon.stop() == 0, daemon.log
    shutil.rmtree(daemon.folder)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    daemon = rootless()
    daemon.start()
    yield daemon
    end(daemon)


@pytest.fixture(scope="module")
def box(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    return "box"


@pytest.fixture(scope="module")
def wasm(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    """``edge`` serves, ``guest`` calls."""
    for name, source in (("edge", EXAMPLE / "server.c"), ("guest", GUEST)):
        folder = tmp_path_factory.mktemp(name)
        compile_wasm(source, folder / "server.wasm")
        (folder / "Dockerfile").write_text(
            'FROM scratch\nCOPY server.wasm /s.wasm\nEXPOSE 80\nENTRYPOINT ["/s.wasm"]\n'
        )
        docker("build", "-q", "--platform", "wasi/wasm32", "-t", name, folder)


@pytest.fixture(autouse=True)
def nothing_stays(daemon: Daemon, docker: Docker) -> Iterator[None]:
    yield
    left = docker("ps", "-aq").split()
    if left:
        docker("rm", "-fv", *left)
    until(lambda: processes(daemon, "pasta") == [], "no pasta is left")
    until(lambda: os.listdir(state_of(daemon) / "tasks") == [], "no bundle is left")


def state_of(daemon: Daemon) -> Path:
    (found,) = [path for path in (daemon.folder / "wherry").iterdir() if (path / "root").is_symlink()]
    return found


def processes(daemon: Daemon, program: str) -> list[int]:
    """Of this engine, those of a program."""
    found = []
    for entry in Path("/proc").iterdir():
        words = _command(entry) if entry.name.isdigit() else []
        if words and os.path.basename(words[0]) == program and any(str(daemon.folder) in word for word in words):
            found.append(int(entry.name))
    return found


def _command(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def test_a_linux_container_alone_in_its_user_namespace(docker: Docker, box: str, tmp_path: Path) -> None:
    assert docker("run", "--rm", "--network", "none", box, "id", "-u") == "0"
    own, hosts = docker("run", "--rm", "--network", "host", box, "cat", "/proc/self/uid_map").split(), str(USER)
    assert own == ["0", hosts, "1"]
    name = docker("run", "-d", "-t", "-v", "data:/d", "--tmpfs", "/t", box, "sh", "-c", "echo kept >/d/x; sleep 60")
    assert docker("exec", name, "sh", "-c", "until cat /d/x 2>/dev/null; do sleep 0.1; done") == "kept"
    (tmp_path / "in").write_text("over the fence")
    docker("cp", tmp_path / "in", f"{name}:/in")
    assert docker("exec", name, "cat", "/in") == "over the fence"
    assert "sleep 60" in docker("top", name)
    assert docker("stats", "--no-stream", "--format", "{{.Name}}", name) != ""
    docker("rm", "-f", name)
    assert docker("run", "--rm", "-v", "data:/d:ro", box, "cat", "/d/x") == "kept"
    assert docker.run("run", "--rm", box, "sh", "-c", "exit 7").returncode == 7
    docker("volume", "rm", "data")


def test_what_such_a_container_cannot_have(docker: Docker, box: str) -> None:
    assert "one user, whom it knows as root" in docker.fails("run", "--rm", "--user", "1000", box, "id")
    limited = docker.run("run", "--rm", "-m", "64m", box, "true")
    assert (limited.returncode, "Limitation discarded" in limited.stderr) == (0, True)
    assert "needs an engine that runs as root" in docker.fails("network", "create", "shore")
    assert docker("network", "ls", "--format", "{{.Name}}").split() == ["bridge", "host", "none"]
    docker("run", "-d", "--name", "one", box, "sleep", "60")
    assert "needs an engine that runs as root" in docker.fails("run", "--rm", "--network", "container:one", box, "true")


def test_a_run_of_a_build(docker: Docker, box: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM box\nRUN ip route | grep -q default && echo made >/made\n")
    docker("build", "-q", "--platform", "linux/amd64", "-t", "made", tmp_path)
    assert docker("run", "--rm", "made", "cat", "/made") == "made"


def test_ports_of_both_kinds(daemon: Daemon, docker: Docker, box: str, wasm: None) -> None:
    serve(docker, "web", "-p", "127.0.0.1::80")
    docker("run", "-d", "--name", "edge", "-p", "127.0.0.1::80", "edge")
    ports = {name: int(docker("port", name, "80").rpartition(":")[2]) for name in ("web", "edge")}
    until(lambda: answers(ports["edge"]), "the module answers")
    assert fetch(ports["web"]) == "web"
    assert fetch(ports["edge"]) == "Hello from WebAssembly!"
    settings = inspect(docker, "web")["NetworkSettings"]
    assert (settings["IPAddress"], settings["Gateway"]) == ("10.0.2.100", "10.0.2.2")
    taken = docker.fails("run", "--rm", "-p", f"127.0.0.1:{ports['web']}:80", box, "true", code=125)
    assert "port is already allocated" in taken
    daemon.kill()  # what is open goes on without the engine, and the next one knows of it
    assert fetch(ports["web"]) == "web"
    daemon.start()
    assert "port is already allocated" in docker.fails("run", "--rm", "-p", f"127.0.0.1:{ports['web']}:80", box, "true")
    docker("stop", "-t", "0", "web")
    assert not answers(ports["web"])
    docker("start", "web")
    until(lambda: answers(int(docker("port", "web", "80").rpartition(":")[2])), "it is open again")


@pytest.fixture
def shore() -> Iterator[tuple[NetworkNamespace, str]]:
    """Another machine, one hop away, and its address."""
    with network_namespace() as there:
        name = os.path.basename(there.path)
        ours = f"l{name[3:]}"
        link = ["ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", name]
        subprocess.run(link, check=True)
        for words in (
            ["-n", name, "addr", "add", "10.213.77.2/30", "dev", "eth0"],
            ["-n", name, "link", "set", "eth0", "up"],
        ):
            subprocess.run(["ip", *words], check=True)
        subprocess.run(["ip", "addr", "add", "10.213.77.1/30", "dev", ours], check=True)
        subprocess.run(["ip", "link", "set", ours, "up"], check=True)
        yield there, "10.213.77.2"


def test_the_way_out(docker: Docker, box: str, wasm: None, shore: tuple[NetworkNamespace, str]) -> None:
    """Of both kinds, by TCP."""
    there, address = shore
    with there.inside(lambda: socket.create_server((address, 0))) as server:
        server.settimeout(20)
        port = str(server.getsockname()[1])
        for image, words in ((box, ["nc", "-w", "5"]), ("guest", ["fetch"])):
            process = docker.popen("run", "--rm", image, *words, address, port, stdout=-3, stderr=-3)
            server.accept()[0].close()
            process.wait(30)
    assert "nameserver 10.0.2.3" in docker("run", "--rm", box, "cat", "/etc/resolv.conf")


def test_the_hosts_loopback_is_not_reached(docker: Docker, box: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for address in ("127.0.0.1", "10.0.2.2"):
            assert docker.run("run", "--rm", box, "nc", "-w", "1", address, port).returncode != 0


def test_kills_leave_nothing(daemon: Daemon, docker: Docker, box: str) -> None:
    docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", box, "sleep", "60")
    assert len(processes(daemon, "pasta")) == 1
    (shim,) = processes(daemon, "containerd-shim-runc-v2")
    daemon.kill()
    os.kill(shim, signal.SIGKILL)
    daemon.start()
    # That it ran may not have been written down yet.
    until(lambda: inspect(docker, "web")["State"]["Status"] in ("exited", "created"), "its end is known")
    until(lambda: processes(daemon, "pasta") == [], "its pasta is gone")
    docker("start", "web")
    (shim,) = processes(daemon, "containerd-shim-runc-v2")
    os.kill(shim, signal.SIGKILL)
    until(lambda: inspect(docker, "web")["State"]["Status"] == "exited", "its end is known")
    until(lambda: processes(daemon, "pasta") == [], "its pasta is gone")


@pytest.mark.parametrize(("tun", "words"), [("600", "this user may not open"), ("none", "is not there")])
def test_without_the_device(tun: str, words: str, tmp_path: Path) -> None:
    daemon = rootless(tun)
    daemon.start()
    try:
        docker = Docker(daemon)
        docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
        said = docker.fails("run", "--rm", "box", "true", code=125)
        assert f"pasta needs /dev/net/tun, which {words}: have the administrator" in said
        assert docker("run", "--rm", "--network", "none", "box", "echo", "alone") == "alone"
        assert json.loads(docker("network", "inspect", "bridge"))[0]["Containers"] == {}
    finally:
        end(daemon)


def test_where_containerd_never_ran(tmp_path: Path) -> None:
    """/run/containerd is not there, and nobody but root could make it."""
    daemon = rootless()
    mark = "the host's"
    script = f'mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/shore; echo "{mark}" > /run/shore/mark; ' + TUN
    daemon.outer = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", "666"]
    daemon.start()
    try:
        docker = Docker(daemon)
        docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path))
        assert docker("run", "--rm", "-v", "/run/shore:/shore:ro", "box", "cat", "/shore/mark") == mark
    finally:
        end(daemon)
