"""Logs by the docker CLI: drivers, partial lines, binary output, bursts, many followers, slow ones, the very end."""

import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import DATA, Docker
from tests.zig import compile_wasm

_MEBIBYTES = 48
_BLOCK = b"".join(b"%062d.\n" % number for number in range(1 << 14))
_BINARY = bytes((at * 7 + at // 256) % 256 for at in range(256 * 300))


@pytest.fixture(scope="module")
def talker(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("talker")
    compile_wasm(DATA / "log_guest.c", folder / "guest.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY guest.wasm /guest.wasm\nENTRYPOINT ["/guest.wasm"]\n')
    docker("build", "-q", "-t", "talker", folder)
    return "talker"


@pytest.fixture
def run(docker: Docker, talker: str) -> Iterator:
    made: list[str] = []

    def ran(*words: object) -> str:
        options = [word for word in words if str(word).startswith("--")]
        rest = [word for word in words if word not in options]
        made.append(docker("run", "-d", "--network", "none", *options, talker, *rest))
        return made[-1]

    yield ran
    docker.run("rm", "-f", *made)


def logs(docker: Docker, *words: object) -> bytes:
    """The log's stdout, byte by byte."""
    ended = docker.run("logs", *words, input=b"")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_not_a_byte_is_lost_in_a_burst(docker: Docker, run, driver: str) -> None:
    container = run(f"--log-driver={driver}", "burst", _MEBIBYTES)
    began = time.monotonic()
    assert docker("wait", container) == "0"
    print(f"{driver}: {_MEBIBYTES / (time.monotonic() - began):.0f} MiB/s")
    wanted = hashlib.sha256(_BLOCK * _MEBIBYTES).hexdigest()
    kept = logs(docker, container)
    assert hashlib.sha256(kept).hexdigest() == wanted
    assert logs(docker, "--tail", "3", container) == _BLOCK[-192:]


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_binary_and_partial_lines(docker: Docker, run, driver: str) -> None:
    container = run(f"--log-driver={driver}", "binary")
    docker("wait", container)
    assert logs(docker, container) == _BINARY
    attached = docker.run("run", "--rm", "--network", "none", f"--log-driver={driver}", "talker", "binary", input=b"")
    assert attached.stdout == _BINARY
    partial = run(f"--log-driver={driver}", "partial")
    docker("wait", partial)
    both = docker.run("logs", partial)
    assert (both.stdout, both.stderr) == ("one two\nthree", "err")
    path = docker("inspect", container, "--format", "{{.LogPath}}")
    assert path.endswith("-json.log") if driver == "json-file" else not path


def test_a_log_is_whole_right_after_the_end(docker: Docker, run) -> None:
    for count in (1, 7, 400):
        container = run("lines", count)
        docker("wait", container)
        assert logs(docker, container).count(b"\n") == count


def test_rotation_by_options(docker: Docker, run) -> None:
    options = ("--log-opt=max-size=100k", "--log-opt=max-file=3")
    container = run("--log-driver=json-file", *options, "lines", 5000)
    docker("wait", container)
    path = Path(docker("inspect", container, "--format", "{{.LogPath}}"))
    assert sorted(file.name for file in path.parent.glob("*-json.log*")) == [
        path.name,
        f"{path.name}.1",
        f"{path.name}.2",
    ]
    assert all(file.stat().st_size < 101_000 for file in path.parent.glob("*-json.log*"))
    kept = logs(docker, container).split()[1::2]
    assert kept == [b"%d" % number for number in range(5000 - len(kept), 5000)]


def test_many_follow_and_a_slow_one_holds_nobody_up(docker: Docker, run) -> None:
    container = run("burst", _MEBIBYTES)
    slow = docker.popen("logs", "-f", container, stdout=-1, stderr=-1)
    followers = [docker.popen("logs", "-f", container, stdout=-1, stderr=-1) for _ in range(3)]
    sums: list[str] = []

    def drain(follower) -> None:
        found = hashlib.sha256()
        while data := follower.stdout.read(1 << 20):
            found.update(data)
        sums.append(found.hexdigest())

    threads = [threading.Thread(target=drain, args=(follower,)) for follower in followers]
    for thread in threads:
        thread.start()
    # `slow` has read nothing, and all the others come to the end.
    assert docker("wait", container) == "0"
    for thread in threads:
        thread.join(120)
    assert sums == [hashlib.sha256(_BLOCK * _MEBIBYTES).hexdigest()] * 3
    assert slow.poll() is None
    drain(slow)
    assert sums[3] == sums[0]
    for follower in (slow, *followers):
        follower.stderr.close()
        follower.stdout.close()
        assert follower.wait(60) == 0


def test_since_until_tail_follow_details(docker: Docker, run) -> None:
    container = run("--label=team=blue", "--env=SIZE=9", "--log-opt=labels=team", "--log-opt=env=SIZE", "lines", 10)
    docker("wait", container)
    stamped = docker("logs", "-t", container).splitlines()
    times = [line.split()[0] for line in stamped]
    assert times == sorted(times)
    assert docker("logs", "--tail", "0", container) == ""
    assert docker("logs", "--since", times[-1], container).splitlines()[-1] == "line 9"
    assert docker("logs", "--until", times[0], container).splitlines()[0] == "line 0"
    assert docker("logs", "--since", "1h", "--tail", "2", "-f", container).splitlines() == ["line 8", "line 9"]
    assert docker("logs", "--details", "--tail", "1", container) == "SIZE=9,team=blue line 9"


def test_attributes_are_in_the_file_and_in_details(docker: Docker, run) -> None:
    container = run(
        "--label=team=blue",
        "--label=tea=a,b c",
        "--env=SIZE=9",
        "--log-opt=labels-regex=^te",
        "--log-opt=env-regex=^SI.E$",
        "--log-opt=tag={{.ImageName}}/{{.Name}}",
        "lines",
        1,
    )
    docker("wait", container)
    name = docker("inspect", "-f", "{{.Name}}", container)
    told = docker("logs", "--details", container)
    assert told == f"SIZE=9,tag=talker{name.replace('/', '%2F')},tea=a%2Cb+c,team=blue line 0"
    line = json.loads(Path(docker("inspect", "-f", "{{.LogPath}}", container)).read_text())
    assert line["attrs"] == {"SIZE": "9", "tag": f"talker{name}", "tea": "a,b c", "team": "blue"}
    for tag in ("{{.Nope}}", "{{", "{{range .}}"):
        assert "invalid tag" in docker.fails("create", "--log-opt", f"tag={tag}", "talker")


def test_nothing_is_kept_by_none(docker: Docker, run) -> None:
    container = run("--log-driver=none", "lines", 3)
    docker("wait", container)
    assert "configured logging driver does not support reading" in docker.fails("logs", container)
    assert docker("run", "--rm", "--network", "none", "--log-driver", "none", "talker", "lines", 1) == "line 0"


def test_syslog_is_told_and_the_log_can_be_read(docker: Docker, run, tmp_path: Path) -> None:
    folder = Path("/tmp") / f"sl-{tmp_path.name}"
    folder.mkdir()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.settimeout(30)
            server.bind(str(folder / "s"))
            address = f"--log-opt=syslog-address=unixgram://{folder}/s"
            container = run(
                "--log-driver=syslog", address, "--log-opt=tag={{.Name}}/{{.ID}}", "--name=told", "lines", 2
            )
            said = [server.recv(4096).decode() for _ in range(2)]
            assert [line.partition("]: ")[2] for line in said] == ["line 0\n", "line 1\n"]
            assert f" told/{container[:12]}[" in said[0]
            docker("wait", container)
            assert logs(docker, container) == b"line 0\nline 1\n"
            assert json.loads(docker("inspect", container))[0]["HostConfig"]["LogConfig"]["Type"] == "syslog"
    finally:
        shutil.rmtree(folder)
    away = docker.fails("run", "--log-driver", "syslog", "--log-opt", "syslog-address=tcp://127.0.0.1:1", "talker")
    assert "failed to initialize logging driver" in away
    assert "refused" in away
    assert "no log driver named" in docker.fails("run", "--log-driver", "journald", "talker")
    assert docker("info", "--format", "{{.Plugins.Log}}") == "[json-file local none syslog]"
