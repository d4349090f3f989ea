"""`docker -H tcp://` with `--tlsverify`, contexts, and what an engine on TCP refuses."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from tests.fakes.authority import Authority
from tests.integration.conftest import DEADLINE, LEAKY, Daemon, Docker

pytestmark = LEAKY


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def port(fresh_daemon: Daemon, authority: Authority) -> Iterator[int]:
    """The engine again, on TCP too."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    assert fresh_daemon.stop() == 0
    files = (
        "--tlscacert",
        authority["ca.crt"],
        "--tlscert",
        authority["server.crt"],
        "--tlskey",
        authority["server.key"],
    )
    fresh_daemon.arguments = ("--tlsverify", *map(str, files), "--host", f"tcp://127.0.0.1:{number}")
    fresh_daemon.start()
    return number


def test_the_cli_and_the_sdk_over_tls(
    fresh_daemon: Daemon,
    fresh_docker: Docker,
    port: int,
    authority: Authority,
    guest_context: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh_docker("build", "-q", "-t", "guest", guest_context)
    ca, certificate, key = (str(authority[name]) for name in ("ca.crt", "client.crt", "client.key"))
    host = f"tcp://127.0.0.1:{port}"
    over = ("-H", host, "--tlsverify", "--tlscacert", ca, "--tlscert", certificate, "--tlskey", key)
    assert fresh_docker(*over, "run", "--rm", "guest", "args", "a") == "[a]"
    # A half-close: stdin ends, and what comes of it still arrives.
    text = b"x" * 3_000_000
    ended = fresh_docker.run(*over, "run", "-i", "--rm", "guest", "cat", input=text)
    assert (ended.stdout, ended.stderr) == (text, b"3000000 bytes\n")
    assert fresh_docker(*over, "run", "--rm", "guest", "flood", "20000").count("\n") == 19999
    fresh_docker(*over, "run", "-d", "--name", "here", "guest", "sleep")
    assert fresh_docker(*over, "exec", "here", "/guest.wasm", "hello") == "hello"
    followed = fresh_docker.popen(*over, "logs", "-f", "here", stdout=subprocess.PIPE)
    assert followed.stdout.readline() == b"sleeping\n"
    fresh_docker(*over, "kill", "here")
    assert followed.wait(DEADLINE) == 0
    followed.stdout.close()

    fresh_docker("context", "create", "boat", "--docker", f"host={host},ca={ca},cert={certificate},key={key}")
    in_context = {name: value for name, value in fresh_docker.environ.items() if name != "DOCKER_HOST"}
    shown = subprocess.run(
        ["docker", "--context", "boat", "ps", "-a", "--format", "{{.Names}}"],
        env=in_context,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "here\n", shown.stderr

    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # it would win over what the SDK was told
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    tls = sdk.tls.TLSConfig(client_cert=(certificate, key), ca_cert=ca, verify=True)
    client = sdk.DockerClient(base_url=f"https://127.0.0.1:{port}", tls=tls)
    assert client.containers.get("here").start() is None
    assert client.containers.get("here").exec_run(["/guest.wasm", "hello"]) == (0, b"hello\n")
    client.close()


def answer_of(port: int, context: ssl.SSLContext) -> bytes:
    """What a client that offers what ``context`` has is told; b"" when it is not let in."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            return client.recv(4096)
    except OSError:
        return b""


def test_who_was_told_nothing_of_tls_is_told_now(fresh_docker: Docker, port: int) -> None:
    said = fresh_docker.fails("-H", f"tcp://127.0.0.1:{port}", "ps")
    assert said == "Error response from daemon: Client sent an HTTP request to an HTTPS server."


def test_who_shows_no_certificate_gets_nothing(
    fresh_daemon: Daemon, port: int, authority: Authority, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cafile=str(authority["ca.crt"]))
    assert answer_of(port, context) == b""
    stranger = Authority.make(tmp_path)
    context.load_cert_chain(stranger["client.crt"], stranger["client.key"])
    assert answer_of(port, context) == b""
    context.load_cert_chain(authority["client.crt"], authority["client.key"])
    assert answer_of(port, context).startswith(b"HTTP/1.1 200")
    for nonsense in (b"\0" + os.urandom(4096), b"\x16\x03\x01\xff\xff"):
        with socket.create_connection(("127.0.0.1", port), timeout=15) as raw:
            raw.sendall(nonsense)
            raw.shutdown(socket.SHUT_WR)
            answered = b""
            try:
                while data := raw.recv(4096):
                    answered += data
            except ConnectionResetError:
                pass
            assert b"HTTP" not in answered
    assert "Traceback" not in fresh_daemon.log


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "tcp://0.0.0.0:0"), "refusing to listen on tcp://0.0.0.0:0"),
        (
            ("--tlsverify", "--tlscert", "/nothing", "--tlskey", "/nothing", "--tlscacert", "/nothing"),
            "cannot use the cert",
        ),
    ],
)
def test_what_is_refused_is_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-m", "wherry.daemon", "--root", tmp_path / "root", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
