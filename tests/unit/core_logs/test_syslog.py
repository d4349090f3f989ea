"""The syslog driver against servers of all four kinds, servers that are away, that break off, that do not read."""

import asyncio
import re
import socket
import ssl
import threading
from pathlib import Path

import pytest

from tests.integration.tls_box import make_certificate
from wherry.core.logs.drivers import LogDrivers
from wherry.core.logs.sending import Sender
from wherry.core.logs.syslog import Target
from wherry.errors import Unavailable, Unimplemented

START = 1_700_000_000 * 10**9


def server(scheme: str, folder: Path) -> tuple[socket.socket, str]:
    """A bound socket, and its address as the option says it."""
    family = socket.AF_UNIX if scheme.startswith("unix") else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if scheme in ("udp", "unixgram") else socket.SOCK_STREAM)
    made.settimeout(20)
    made.bind(str(folder / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
    if made.type == socket.SOCK_STREAM:
        made.listen()
    place = str(folder / "s") if family == socket.AF_UNIX else f"127.0.0.1:{made.getsockname()[1]}"
    return made, f"{scheme}://{place}"


def received(made: socket.socket, count: int) -> list[bytes]:
    """The next ``count`` lines that came."""
    if made.type == socket.SOCK_DGRAM:
        return [made.recv(1 << 16) for _ in range(count)]
    connection, _ = made.accept()
    with connection, connection.makefile("rb") as file:
        return [file.readline() for _ in range(count)]


@pytest.mark.parametrize("scheme", ["udp", "tcp", "unix", "unixgram"])
async def test_lines_arrive_whole_and_are_kept(scheme: str, tmp_path: Path) -> None:
    made, address = server(scheme, tmp_path)
    with made:
        options = {"syslog-address": address, "syslog-facility": "local3", "tag": "the tag"}
        log = await LogDrivers().open("syslog", options, str(tmp_path / "l" / "c.log"), strict=True)
        await log.ready()
        await log.write("stdout", START, b"one\n\ntw")
        await log.write("stderr", START, b"bad \xff\n")
        await log.write("stdout", START, b"o\nrest")
        await log.aclose()
        await log.aclose()
        lines = await asyncio.to_thread(received, made, 4)
    matches = [re.fullmatch(rb"<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d) the_tag\[\d+\]: (.*)\n", line) for line in lines]
    assert all(matches), lines
    info, error = b"158", b"155"  # 19 * 8, and 6 or 3
    assert [(found[1], found[3]) for found in matches if found] == [
        (info, b"one"),
        (error, b"bad \xff"),
        (info, b"two"),
        (info, b"rest"),
    ]
    kept = [entry.data async for batch in log.read() for entry in batch]
    assert kept == [
        b"one\n",
        b"\n",
        b"bad \xff\n",
        b"two\n",
        b"rest",
    ]


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("rfc3164", rb"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d host t\[7\]: x\n"),
        ("rfc5424", rb"<30>1 2023-11-14T22:13:20Z host t 7 t - x\n"),
        ("rfc5424micro", rb"<30>1 2023-11-14T22:13:20\.000123Z host t 7 t - x\n"),
    ],
)
def test_formats(form: str, pattern: bytes) -> None:
    target = Target.parse("udp://[::1]", "", form, "t")
    assert (target.host, target.port, str(target)) == ("::1", 514, "udp [::1]:514")
    assert re.fullmatch(pattern, target.message("stdout", START + 123_456, b"x", "host", 7))


def test_a_tag_cannot_forge_a_line() -> None:
    target = Target.parse("", "", "", "a\n<0>b c")
    assert target.message("stdout", START, b"x", "h", 1).count(b"\n") == 1
    assert target.tag == "a_<0>b_c"
    assert target.path == "/dev/log"


async def test_a_server_that_is_away(tmp_path: Path) -> None:
    options = {"syslog-address": f"unix://{tmp_path}/none", "cache-disabled": "true"}
    with pytest.raises(Unavailable, match=r"failed to initialize logging driver: dial unix .*/none: connect: no such"):
        await LogDrivers().open("syslog", options, str(tmp_path / "c.log"), strict=True)
    log = await LogDrivers().open("syslog", options, str(tmp_path / "c.log"))
    with pytest.raises(Unavailable):
        await log.write("stdout", START, b"lost\n")
    await log.write("stdout", START, b"lost too, and nothing is tried\n")
    with pytest.raises(Unimplemented):
        log.read()
    await log.aclose()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="it is no socket"):
        Sender(Target.parse(f"unixgram://{tmp_path}/file", "", "", "")).connect()


def test_a_connection_that_broke_is_made_anew(tmp_path: Path) -> None:
    made, address = server("tcp", tmp_path)
    now = [0.0]
    sender = Sender(Target.parse(address, "", "", "t"), lambda: now[0])
    got: list[bytes] = []

    def serve() -> None:
        for _ in range(2):
            got.extend(received(made, 1))

    with made:
        serving = threading.Thread(target=serve)
        serving.start()
        sent = 0
        while serving.is_alive() and sent < 100_000:
            sender.send(START, [("stdout", b"line %d\n" % sent)])
            sent += 1
        serving.join(20)
    sender.close()
    assert got[0].endswith(b": line 0\n")
    assert re.search(rb": line \d+\n$", got[1])
    with pytest.raises(Unavailable):
        sender.send(START, [("stdout", b"nobody\n")])
    sender.send(START, [("stdout", b"dropped\n")])
    now[0] = 6.0
    with pytest.raises(Unavailable):
        sender.send(START, [("stdout", b"tried again\n")])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class TlsServer:
    """A syslog server by TLS, that keeps what it is sent."""

    def __init__(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        context.load_verify_locations(certificate / "cert.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp+tls://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = b""
        self.known: dict | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        plain.settimeout(20)
        try:
            with self._context.wrap_socket(plain, server_side=True) as line:
                self.known = line.getpeercert()
                while data := line.recv(1 << 16):
                    self.received += data
        except ssl.SSLError:
            plain.close()

    def end(self) -> bytes:
        self._thread.join(20)
        self._listener.close()
        return self.received


@pytest.mark.parametrize("form", ["", "rfc5424"])
async def test_lines_arrive_by_tls(certificate: Path, tmp_path: Path, form: str) -> None:
    served = TlsServer(certificate)
    files = {"syslog-tls-ca-cert": "cert.pem", "syslog-tls-cert": "cert.pem", "syslog-tls-key": "key.pem"}
    options = {name: str(certificate / file) for name, file in files.items()}
    options |= {"syslog-address": served.address, "syslog-format": form, "tag": "t"}
    log = await LogDrivers().open("syslog", options, str(tmp_path / "c.log"), strict=True)
    await log.write("stdout", START, b"one\ntwo\n")
    await log.aclose()
    received = await asyncio.to_thread(served.end)
    assert served.known
    if form:
        size, _, rest = received.partition(b" ")
        assert rest[: int(size)].endswith(b" t - one\n")
        assert rest[int(size) :].endswith(b" t - two\n")
    else:
        assert re.fullmatch(rb"<30>.* t\[\d+\]: one\n<30>.* t\[\d+\]: two\n", received)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "certificate.verify.failed"),
        ({"syslog-tls-ca-cert": "/nowhere"}, "no such file"),
        ({"syslog-tls-skip-verify": "", "syslog-tls-cert": __file__}, "ssl"),
    ],
)
async def test_a_server_that_is_not_trusted(
    certificate: Path, tmp_path: Path, options: dict[str, str], words: str
) -> None:
    served = TlsServer(certificate)
    options = {"syslog-address": served.address, **options}
    with pytest.raises(Unavailable, match=f"failed to initialize logging driver: dial tcp\\+tls .*{words}"):
        await LogDrivers().open("syslog", options, str(tmp_path / "c.log"), strict=True)
    assert await asyncio.to_thread(served.end) == b""


async def test_a_server_need_not_be_asked_who_it_is(certificate: Path, tmp_path: Path) -> None:
    served = TlsServer(certificate)
    options = {"syslog-address": served.address, "syslog-tls-skip-verify": "1"}
    log = await LogDrivers().open("syslog", options, str(tmp_path / "c.log"), strict=True)
    await log.write("stdout", START, b"one\n")
    await log.aclose()
    assert (await asyncio.to_thread(served.end)).endswith(b": one\n")
