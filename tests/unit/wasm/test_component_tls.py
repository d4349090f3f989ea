"""A component's TLS without a network: its machine and a server's, joined by a fake wire; hostile servers by the byte;
and whose certificates are believed."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.fakes.authority import Authority
from wherry.wasm.component.http import tls
from wherry.wasm.component.http.tls import BUNDLES, Tls, Trust, open_hosts_bundle
from wherry.wasm.component.values import Failed

NAME = "Shop.example.org."
PROTOCOL = ("TLS-protocol-error", None)
CERTIFICATE = ("TLS-certificate-error", None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.make(tmp_path_factory.mktemp("ca"))
    made.sign("shop", x509.DNSName("shop.example.org"))
    made.sign("late", x509.DNSName("shop.example.org"), days=-1)
    return made


@pytest.fixture
def trusting(authority: Authority) -> tuple[bytes, ...]:
    return (b"A=b", f"SSL_CERT_FILE={authority['ca.crt']}".encode())


class Server:
    """The other end of the wire."""

    def __init__(self, authority: Authority, name: str = "shop", **settings: object) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority[f"{name}.crt"], authority[f"{name}.key"])
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = lambda _socket, name, _context: self.asked.append(name)
        for setting, value in settings.items():
            setattr(context, setting, value)
        self.asked: list[str | None] = []
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.machine = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.error = ""

    def step(self, act: Callable[[], object]) -> None:
        try:
            act()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self.error = error.reason

    def agree(self, client: Tls) -> bool:
        """Carry everything to and fro until both are done or one has failed."""
        done = False
        for _ in range(10):
            try:
                done = client.agree()
            finally:
                self.incoming.write(client.outgoing())
                self.step(self.machine.do_handshake)
            if data := self.outgoing.read():
                client.feed(data)
            if done and self.machine.version():
                return True
        return False


def client_of(environ: tuple[bytes, ...], name: str = NAME) -> Tls:
    return Tls(Trust().context(environ), name)


def failure(act: Callable[[], object]) -> object:
    with pytest.raises(Failed) as caught:
        act()
    return caught.value.value


def test_both_ends_agree_speak_and_part(authority: Authority, trusting: tuple[bytes, ...]) -> None:
    server, client = Server(authority), client_of(trusting)
    assert server.agree(client)
    assert server.asked == ["Shop.example.org"]
    assert server.machine.selected_alpn_protocol() == "http/1.1"
    assert client.read(10) is None
    sent = os.urandom(100_000)
    assert client.write(sent) == len(sent)
    server.incoming.write(client.outgoing())
    got = b""
    while len(got) < len(sent):
        got += server.machine.read(70_000)
    assert got == sent
    server.machine.write(b"answer")
    server.step(server.machine.unwrap)
    client.feed(server.outgoing.read())
    assert (client.read(4), client.read(4), client.read(4), client.read(4)) == (b"answ", b"er", b"", b"")
    client.say_goodbye()
    server.incoming.write(client.outgoing())
    server.error = ""
    server.step(server.machine.unwrap)
    assert server.error == ""
    client.say_goodbye()


def test_an_end_without_a_goodbye_is_none(authority: Authority, trusting: tuple[bytes, ...]) -> None:
    server, client = Server(authority), client_of(trusting)
    assert server.agree(client)
    server.machine.write(b"half")
    client.feed(server.outgoing.read())
    client.feed(b"")
    assert client.read(10) == b"half"
    for _ in range(2):
        with pytest.raises(EOFError):
            client.read(10)


def test_certificates_that_are_not_believed(
    authority: Authority, trusting: tuple[bytes, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = tuple(word for word in trusting if b"SSL" not in word)
    for name, environ, asked, said in (
        ("late", trusting, NAME, "certificate has expired"),
        ("shop", trusting, "example.org", "Hostname mismatch"),
        ("shop", trusting, "127.0.0.1", "IP address mismatch"),
        ("server", trusting, NAME, "Hostname mismatch"),
        ("shop", nobody, NAME, "unable to get local issuer certificate"),
    ):
        server, client = Server(authority, name), client_of(environ, asked)
        assert failure(lambda: server.agree(client)) == CERTIFICATE, name  # noqa: B023 - called here
        assert said in capfd.readouterr().err
        assert "ALERT" in server.error  # it is told
    assert Server(authority, "server").agree(client_of(trusting, "127.0.0.1"))


@pytest.mark.parametrize("name", ["", ".", ".example.org", "a" * 300])
def test_what_is_no_name(trusting: tuple[bytes, ...], name: str) -> None:
    assert failure(lambda: client_of(trusting, name)) == ("HTTP-request-URI-invalid", None)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", PROTOCOL),
        (b"SSH-2.0-OpenSSH_9\r\n", PROTOCOL),
        (b"\0" * 100, PROTOCOL),
        (b"\x16\x03\x03\xff\xff" + b"\0" * 70_000, PROTOCOL),
        (b"\x16\x03\x03\x00\x04\x02\xff\xff\xff" + b"\x16\x03\x03\x40\x00" + b"\0" * 0x4000, PROTOCOL),
        (b"\x15\x03\x03\x00\x02\x02\x28", ("TLS-alert-received", (40, "handshake failure"))),
        (b"\x15\x03\x03\x00\x02\x02\x46", ("TLS-alert-received", (70, "protocol version"))),
        (b"\x15\x03\x03\x00\x02\x02\x70", ("TLS-alert-received", (112, "unrecognized name"))),
        (b"\x15\x03\x03\x00\x02\x02\x30", ("TLS-alert-received", (48, "unknown ca"))),
        (b"\x15\x03\x03\x00\x02\x02\xc8", PROTOCOL),
        (b"", PROTOCOL),
    ],
)
def test_servers_that_do_not_speak_it(trusting: tuple[bytes, ...], said: bytes, code: object) -> None:
    client = client_of(trusting)
    assert not client.agree()

    def hear() -> None:
        client.feed(said)
        client.agree()
        client.feed(b"")
        client.agree()

    assert failure(hear) == code


def test_a_server_that_never_says_anything_of_use_is_left(authority: Authority, trusting: tuple[bytes, ...]) -> None:
    client, warning = client_of(trusting), b"\x16\x03\x03\x00\x00"  # records with nothing in them
    client.agree()

    def hear(data: bytes, then: Callable[[], object]) -> None:
        for _ in range(1_000_000):
            client.feed(data)
            then()

    assert failure(lambda: hear(warning, client.agree)) == PROTOCOL
    server, client = Server(authority), client_of(trusting)
    assert server.agree(client)
    # What looks like a record that is still to come, byte by byte.
    assert failure(lambda: [client.feed(bytes(16 << 10)) for _ in range(17)]) == PROTOCOL
    server, client = Server(authority), client_of(trusting)
    assert server.agree(client)
    for _ in range(40):  # but not who says much
        server.machine.write(bytes(16 << 10))
        client.feed(server.outgoing.read())
        assert client.read(1 << 16) == bytes(16 << 10)


def test_a_record_that_was_changed_on_the_way_ends_it(authority: Authority, trusting: tuple[bytes, ...]) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        server, client = Server(authority, maximum_version=version), client_of(trusting)
        assert server.agree(client)
        server.machine.write(b"answer")
        data = bytearray(server.outgoing.read())
        data[-1] ^= 1
        client.feed(bytes(data))
        assert failure(lambda: client.read(10)) == PROTOCOL  # noqa: B023 - called here
        assert client.outgoing()


def test_old_versions_are_not_spoken(authority: Authority, trusting: tuple[bytes, ...]) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        server = Server(authority, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    client = client_of(trusting)
    code = failure(lambda: server.agree(client))
    assert code in (PROTOCOL, ("TLS-alert-received", (70, "protocol version")))


def test_whose_certificates_are_believed(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "image.crt"
    monkeypatch.setattr(tls, "BUNDLES", (f"{tmp_path}/none", f"{image}"))
    pem = authority["ca.crt"].read_bytes()
    host = os.open(authority["ca.crt"], os.O_RDONLY)
    is_believed = lambda trust, environ=(): trust.context(environ).cert_store_stats()["x509"]  # noqa: E731
    assert (is_believed(Trust()), is_believed(Trust(host)), open_hosts_bundle()) == (0, 1, -1)
    image.write_bytes("# Åuthorities\n".encode() + pem + b"\n# more\n" + authority["shop.crt"].read_bytes())
    assert is_believed(Trust(host)) == 2
    os.close(opened := open_hosts_bundle())
    assert opened > 2
    named = (b"SSL_CERT_FILE=" + os.fsencode(authority["shop.crt"]),)
    assert is_believed(Trust(host), named) == 1
    assert is_believed(Trust(host), (b"SSL_CERT_FILE=",)) == 2
    trust = Trust(host)
    assert trust.context(()) is trust.context(())
    capfd.readouterr()
    for contents, why in (
        (b"garbage", "does not contain a certificate"),
        (b"", "Empty"),
        (pem[:200] + b"\n" + pem[300:], ""),
    ):
        image.write_bytes(contents)
        assert failure(lambda: Trust(host).context(())) == ("configuration-error", None)
        said = capfd.readouterr().err
        assert said.startswith(f"wherry: https: {image} can't be used: ")
        assert why in said
    os.close(host)


def test_a_file_that_is_none_is_not_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "huge", "wb") as huge:
        huge.truncate(1 << 40)
    for name, why in (("fifo", "no file of"), ("huge", "no file of"), ("none", "No such file"), (".", "no file of")):
        environ = (f"SSL_CERT_FILE={tmp_path}/{name}".encode(),)
        assert failure(lambda: Trust().context(environ)) == ("configuration-error", None)  # noqa: B023 - called here
        assert why in capfd.readouterr().err


def test_the_hosts_own_is_found_here() -> None:
    fd = open_hosts_bundle()
    assert fd > 2
    assert os.readlink(f"/proc/self/fd/{fd}") in map(os.path.realpath, BUNDLES)
    os.close(fd)
