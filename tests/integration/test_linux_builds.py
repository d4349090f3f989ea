"""RUN on Linux bases by docker's classic builder: C compiled to native code and to WebAssembly, mounts, layers."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.debian_images import import_compilers
from tests.integration.conftest import until
from tests.linux_images import busybox_context

HELLO = '#include <stdio.h>\nint main(void) { puts("hello from C"); return 7; }\n'


@pytest.fixture(scope="module")
def base(docker: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Builds the small base image."""
    docker(
        "build", "-q", "--platform", "linux/amd64", "-t", "base", busybox_context(tmp_path_factory.mktemp("busybox"))
    )
    return "base"


@pytest.fixture(scope="module")
def debian(docker: Any) -> str:
    """Debian with gcc and clang, as debootstrap made it."""
    import_compilers(docker, "debian")
    return "debian"


@pytest.fixture
def build(docker: Any, base: str, tmp_path: Path) -> Any:
    """``build(text, *options)``: what the build of a Dockerfile printed; its image is ``built``."""
    (tmp_path / "hello.c").write_text(HELLO)

    def built(text: str, *options: object, ok: bool = True) -> subprocess.CompletedProcess:
        (tmp_path / "Dockerfile").write_text(text)
        done = docker.run("build", "-t", "built", *options, tmp_path)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done

    return built


def run(docker: Any, *command: str) -> str:
    return docker("run", "--rm", "--network", "none", "built", *command)


def layers(docker: Any, image: str) -> list[list[str]]:
    """The names in each layer of an image, lowest first."""
    saved = subprocess.run(["docker", "save", image], env=docker.environ, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        read = archive.extractfile
        names = json.load(read("manifest.json"))[0]["Layers"]
        return [tarfile.open(fileobj=io.BytesIO(read(name).read())).getnames() for name in names]


def test_c_is_compiled_on_a_debian_with_gcc(docker: Any, build: Any, debian: str) -> None:
    text = f'FROM {debian}\nCOPY hello.c .\nRUN gcc -o hello hello.c\nCMD ["./hello"]\n'
    build(text)
    ended = docker.run("run", "--rm", "--network", "none", "built")
    assert (ended.stdout, ended.returncode) == ("hello from C\n", 7)
    assert "Using cache" in build(text).stdout
    wrong = build(f"FROM {debian}\nRUN echo 'int main(' > x.c && gcc x.c\n", ok=False)
    assert "error: expected" in wrong.stdout + wrong.stderr
    assert "returned a non-zero code: 1" in wrong.stderr


def test_c_is_compiled_to_wasm_in_a_linux_stage(docker: Any, build: Any, debian: str) -> None:
    build(
        f"FROM {debian} AS made\nCOPY hello.c /src/\nWORKDIR /src\n"
        "RUN clang --target=wasm32-wasi --sysroot=/usr -O1 -o /hello.wasm hello.c\n"
        'FROM scratch\nCOPY --from=made /hello.wasm /\nENTRYPOINT ["/hello.wasm"]\n'
    )
    ended = docker.run("run", "--rm", "built")
    assert (ended.stdout, ended.returncode) == ("hello from C\n", 7)
    assert docker("image", "inspect", "built", "--format", "{{.Os}}/{{.Architecture}}") == "wasi/wasm"
    docker("image", "rm", "built")


def test_what_a_step_sees_and_leaves(docker: Any, build: Any) -> None:
    told = build(
        "FROM base\nENV E=1\nARG B=2\nARG C\nWORKDIR /w\nUSER mate\n"
        "RUN id -un; pwd; echo $E$B$C$HOME; hostname; grep CapEff /proc/self/status; echo err >&2\n"
        'USER root\nRUN ["touch", "exec form $E"]\nRUN <<EOF\ncat <<END > script\nfrom a script\nEND\nEOF\n'
        "RUN <<EOF\n#!/bin/awk -f\nBEGIN { print 6 * 7 }\nEOF\n",
        "--build-arg",
        "C=3",
    )
    for line in ("mate", "/w", "123/home/mate", "build", "CapEff:\t0000000000000000", "err", "42"):
        assert f"\n{line}\n" in told.stdout, told.stdout
    assert run(docker, "sh", "-c", "ls; cat script; echo $C; id -un") == "exec form $E\nscript\nfrom a script\n\nroot"


def test_a_layer_is_what_changed(docker: Any, build: Any) -> None:
    build(
        "FROM base\nRUN mkdir /d /e && echo 1 > /d/a && echo 2 > /d/b && echo 3 > /e/f\n"
        "RUN rm /d/a && echo more >> /d/b && rm -r /e && mkdir /e && ln -s b /d/l\nRUN true\n"
    )
    first, second = layers(docker, "built")[1:]
    assert sorted(first) == ["d", "d/a", "d/b", "e", "e/f"]
    assert {"d/.wh.a", "d/b", "d/l", "e"} <= set(second)
    assert run(docker, "sh", "-c", "ls /d /e; cat /d/b") == "/d:\nb\nl\n\n/e:\n2\nmore"


def test_mounts(docker: Any, build: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        told = build(
            "FROM base AS one\nRUN echo staged > /made\nFROM base\n"
            "RUN --mount=type=cache,target=/cache --mount=type=bind,target=/src \\\n"
            "    --mount=from=one,source=made,target=/m --mount=type=tmpfs,target=/t,size=1m --network=none \\\n"
            f"    echo {number} >> /cache/n; cat /cache/n /m; head -1 /src/hello.c; df -k /t | tail -1; touch /src/x\n",
            ok=False,
        )
    for shown in ("1\n2\nstaged\n", "#include <stdio.h>\n", "\ntmpfs                     1024"):
        assert shown in told.stdout
    assert "touch: /src/x: Read-only file system" in told.stdout
    build("FROM base\nRUN --mount=type=cache,target=/cache/deep --mount=target=/src true\n")
    assert len(layers(docker, "built")) == 1
    (tmp_path / "key").write_text("hush")
    text = "FROM base\nRUN --mount=type=secret,id=key,required cat /run/secrets/key && ls /run/secrets && echo > /own\n"
    assert "secret key: not found" in build(text, ok=False).stderr
    wherry = [Path(sys.executable).parent / "wherry", "-H", docker.daemon.host, "build", "-t", "built"]
    done = subprocess.run(
        [*wherry, "--secret", f"id=key,src={tmp_path}/key", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hush" in done.stdout
    assert layers(docker, "built")[1:] == [["own"]]


def test_networks_of_steps(docker: Any, build: Any) -> None:
    show = "ls /sys/class/net | tr '\\n' ' '; grep -c nameserver /etc/resolv.conf; head -1 /etc/hosts"
    told = build(f"FROM base\nRUN {show}\nRUN --network=none {show}\nRUN --network=host ls /sys/class/net | wc -l\n")
    assert "eth0 lo 1\n127.0.0.1" in told.stdout
    assert "\nlo " in told.stdout
    assert "eth0" not in build(f"FROM base\nRUN {show}\n", "--no-cache", "--network", "none").stdout
    assert [names for names in layers(docker, "built")[1:] if names] == []
    refused = build("FROM base\nRUN true\n", "--network", "mine", ok=False)
    assert "network mode 'mine' is not supported by builds" in refused.stderr


def test_targets_stdin_and_caches(docker: Any, build: Any, tmp_path: Path) -> None:
    text = "FROM base AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN echo 2 > /two\n"
    build(text, "--target", "one")
    assert run(docker, "sh", "-c", "ls /one /two 2>&1 || :").splitlines()[0] == "ls: /two: No such file or directory"
    told = build(text)
    assert told.stdout.count("Using cache") == 1
    assert "Using cache" not in build(text, "--no-cache").stdout
    docker("tag", "built", "seed")
    docker("builder", "prune", "-f")
    assert build(text, "--cache-from", "seed").stdout.count("Using cache") == 2
    done = docker.run("build", "-t", "built", "-f", "-", tmp_path, input="FROM base\nRUN echo stdin > /from\n")
    assert done.returncode == 0, done.stderr
    assert run(docker, "cat", "/from") == "stdin"


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("FROM base\nRUN exit 42\n", 42, "The command '/bin/sh -c exit 42' returned a non-zero code: 42"),
        ('FROM base\nRUN ["/nope"]\n', 1, 'exec: "/nope": stat /nope: no such file or directory'),
        ("FROM scratch\nRUN true\n", 1, 'exec: "/bin/sh": stat /bin/sh: no such file or directory'),
        ("FROM base\nUSER nobody2\nRUN true\n", 1, "unable to find user nobody2: no matching entries in passwd file"),
        ("FROM base\nRUN --security=insecure true\n", 1, "security.insecure is not allowed"),
        ("FROM base\nRUN --mount=type=bind,source=no,target=/x true\n", 1, '"/no": not found'),
    ],
)
def test_failures(build: Any, docker: Any, text: str, code: int, told: str) -> None:
    done = build(text, ok=False)
    assert told in done.stderr
    assert done.returncode == code
    assert docker("ps", "-aq") == ""


def test_a_build_that_is_given_up_leaves_nothing(docker: Any, build: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN echo begun; while :; do sleep 0.1; done\n")
    client = docker.popen("build", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    until(lambda: "begun\n" in client.stdout.readline(), "the step runs")
    state = Path(docker("info", "--format", "{{.DockerRootDir}}"))
    cgroups = Path("/sys/fs/cgroup/pids/wherry")
    assert list(cgroups.glob("build-*"))
    assert str(state) in Path("/proc/self/mounts").read_text()
    client.kill()
    client.wait()
    client.stdout.close()
    until(lambda: not list(cgroups.glob("build-*")), "its process is gone")
    until(lambda: str(state) not in Path("/proc/self/mounts").read_text(), "its root is unmounted")


def test_an_engine_killed_in_the_middle_of_a_step(fresh_docker: Any, tmp_path: Path) -> None:
    docker, daemon = fresh_docker, fresh_docker.daemon
    docker("build", "-q", "--platform", "linux/amd64", "-t", "base", busybox_context(tmp_path / "base"))
    (tmp_path / "Dockerfile").write_text(
        "FROM base\nRUN --mount=type=cache,target=/c echo begun; while :; do sleep 0.1; done\n"
    )
    client = docker.popen("build", tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    until(lambda: "begun\n" in client.stdout.readline(), "the step runs")
    cgroups = Path("/sys/fs/cgroup/pids/wherry")
    (step,) = [path for path in cgroups.glob("build-*") if (path / "cgroup.procs").read_text()]
    daemon.kill()
    client.wait()
    client.stdout.close()
    daemon.start()
    until(lambda: not step.exists(), "the step's process is gone")
    until(lambda: str(daemon.root) not in Path("/proc/self/mounts").read_text(), "its root is unmounted")
    assert docker("ps", "-aq") == ""
    assert not list((daemon.root / "containers").glob("build-*"))
    state = next(path.parent for path in Path("/run/wherry").glob("*/root") if path.resolve() == daemon.root)
    for folder in ("tasks", "io", "secrets"):
        assert not list((state / folder).glob("*build*")), folder
    (tmp_path / "Dockerfile").write_text("FROM base\nRUN --mount=type=cache,target=/c echo whole > /own\n")
    docker("build", "-t", "built", tmp_path)
    assert docker("run", "--rm", "--network", "none", "built", "cat", "/own") == "whole"
