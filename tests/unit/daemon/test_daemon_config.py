"""What wherryd was told: arguments, environment, defaults, addresses."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.client.locate import locate
from wherry.core.remotes.proxies import Proxies
from wherry.daemon.config import TcpAddress, UnixAddress, parse, parse_address
from wherry.daemon.tls import TlsConfig
from wherry.errors import InvalidArgument


def test_roots_defaults():
    config = parse([], {}, 0)
    assert config.root == "/var/lib/wherry"
    assert config.addresses == (UnixAddress("/run/wherry/wherry.sock"),)
    assert config.state.startswith("/run/wherry/")
    assert (config.log_level, config.rootless) == ("info", False)


def test_a_users_defaults_follow_xdg():
    environ = {"XDG_DATA_HOME": "/home/u/data", "XDG_RUNTIME_DIR": "/run/user/1000"}
    config = parse([], environ, 1000)
    assert config.root == "/home/u/data/wherry"
    assert config.addresses == (UnixAddress("/run/user/1000/wherry/wherry.sock"),)
    assert config.state.startswith("/run/user/1000/wherry/")
    assert config.rootless


def test_a_users_defaults_without_xdg():
    config = parse([], {"HOME": "/home/u", "XDG_RUNTIME_DIR": "relative"}, 1000)
    assert config.root == "/home/u/.local/share/wherry"
    assert config.addresses == (UnixAddress("/tmp/wherry-1000/wherry.sock"),)


def test_arguments_win_over_the_environment():
    environ = {"WHERRY_ROOT": "/env", "WHERRY_HOST": "unix:///env.sock,tcp://127.0.0.1:1"}
    assert parse([], environ, 0).root == "/env"
    assert parse([], environ, 0).addresses == (UnixAddress("/env.sock"), TcpAddress("127.0.0.1", 1))
    told = parse(["--root", "/arg", "--host", "unix:///a.sock", "-H", "unix:///b.sock"], environ, 0)
    assert told.root == "/arg"
    assert told.addresses == (UnixAddress("/a.sock"), UnixAddress("/b.sock"))


def test_each_root_has_a_short_state_folder_of_its_own(tmp_path):
    one, other = (parse(["--root", str(tmp_path / name)], {}, 0).state for name in ("one", "other"))
    assert one != other
    assert len(os.path.basename(one)) == 12
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("one")
    assert parse(["--root", str(tmp_path / "link")], {}, 0).state == one


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///a/../b.sock", UnixAddress("/b.sock")),
        ("tcp://127.0.0.1:2375", TcpAddress("127.0.0.1", 2375)),
        ("tcp://localhost:0/", TcpAddress("127.0.0.1", 0)),
        ("tcp://[::1]:2375", TcpAddress("::1", 2375)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write unix://PATH, tcp"),
        ("/run/x.sock", "write unix://PATH, tcp"),
        ("unix://relative", "absolute"),
        ("unix:///" + "x" * 200, "at most 107 bytes"),
        ("tcp://127.0.0.1", "a port from 0 to 65535"),
        ("tcp://127.0.0.1:99999", "a port from 0 to 65535"),
        ("tcp://127.0.0.1:٣", "a port from 0 to 65535"),
        ("tcp://0.0.0.0:2375", "refusing to listen on tcp://0.0.0.0:2375"),
        ("tcp://:2375", "only loopback"),
        ("tcp://example.org:2375", "only loopback"),
        ("tcp://[::]:2375", "only loopback"),
        ("ssh://host", "write unix://PATH, tcp"),
    ],
)
def test_wrong_addresses_are_refused_with_the_way_out(text, words):
    with pytest.raises(InvalidArgument, match=words.replace("[", r"\[")):
        parse_address(text)


def test_tls_as_dockerds_flags_have_it():
    here = {"HOME": "/home/me"}
    assert parse([], here, 0).tls is None
    assert parse(["--tlsverify"], here, 0).tls == TlsConfig(
        "/home/me/.docker/cert.pem", "/home/me/.docker/key.pem", "/home/me/.docker/ca.pem"
    )
    told = parse(["--tls", "--tlscert", "/c", "--tlskey", "/k"], {"DOCKER_CERT_PATH": "/certs"}, 0)
    assert told.tls == TlsConfig("/c", "/k")
    verified = parse(["--tlsverify", "-H", "tcp://0.0.0.0:2376", "-H", "tcp://:1", "-H", "tcp://[::]:2"], here, 0)
    assert verified.addresses == (TcpAddress("0.0.0.0", 2376), TcpAddress("0.0.0.0", 1), TcpAddress("::", 2))
    for arguments, words in (
        (["--tls", "-H", "tcp://0.0.0.0:2376"], "need --tlsverify"),
        (["--tlsverify", "-H", "tcp://example.org:2376"], "an IP address"),
        (["--tlscert", "/c"], "--tlscert is for TLS"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            parse(arguments, here, 0)


@given(st.text())
def test_parse_address_raises_nothing_else(text):
    try:
        parse_address(text)
    except InvalidArgument:
        pass


@pytest.mark.parametrize("arguments", [["--bad"], ["extra"], ["--log-level", "loud"], ["--root"], ["--roo", "/x"]])
def test_wrong_arguments_are_one_line(arguments):
    with pytest.raises(InvalidArgument) as caught:
        parse(arguments, {}, 0)
    assert "\n" not in str(caught.value)
    assert "wherryd --help" in str(caught.value)


def test_version_and_help(capsys):
    for arguments, words in ((["--version"], "wherryd 0.1"), (["--help"], "--host")):
        with pytest.raises(SystemExit) as caught:
            parse(arguments, {}, 0)
        assert caught.value.code == 0
        said = capsys.readouterr().out
        assert words in said
        assert len(said.splitlines()) < 60


def test_registries():
    told = ["--insecure-registry", "reg:5000", "--insecure-registry", "10.1.0.0/16", "--registry-mirror", "http://m:1/"]
    config = parse(
        [*told, "--registry", "ghcr.io=https://g/x", "--max-layer-size", "2g", "--max-layer-entries", "7"], {}, 0
    )
    assert config.registries.insecure == ("reg:5000", "10.1.0.0/16")
    assert config.registries.mirrors == ("http://m:1",)
    assert config.registries.places == {"ghcr.io": "https://g/x"}
    assert config.registries.certificates == ("/etc/wherry/certs.d", "/etc/docker/certs.d")
    assert (config.largest_layer, config.most_entries) == (2 << 30, 7)
    proxied = parse(["--https-proxy", "http://p:1", "--no-proxy", "a,b"], {"HTTP_PROXY": "q:2", "NO_PROXY": "c"}, 0)
    assert proxied.registries.proxies == Proxies("http://q:2", "http://p:1", "a,b")
    mine = parse(["--certs-dir", "/x"], {"WHERRY_REGISTRIES": "a=http://b,c=http://d"}, 1000)
    assert mine.registries.places == {"a": "http://b", "c": "http://d"}
    assert mine.registries.certificates == ("/x",)
    assert parse([], {"HOME": "/home/me"}, 1000).registries.certificates[1] == "/home/me/.config/docker/certs.d"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--registry", "a"],
        ["--registry", "=http://x"],
        ["--registry", "a=ftp://x"],
        ["--registry-mirror", "m"],
        ["--insecure-registry", "1.2.3.4/99"],
        ["--max-layer-size", "0"],
        ["--max-layer-size", "big"],
        ["--max-layer-size", ""],
        ["--max-layer-entries", "0"],
        ["--max-layer-entries", "many"],
        ["--http-proxy", "socks5://x:1"],
    ],
)
def test_registries_that_are_none(arguments):
    with pytest.raises(InvalidArgument, match="invalid"):
        parse(arguments, {}, 0)


@pytest.mark.parametrize("uid", [0, 7])
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HOME": ""},
        {"HOME": "/"},
        {"HOME": "/home/u/"},
        {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7", "XDG_DATA_HOME": "/d"},
        {"HOME": "/home/u", "XDG_RUNTIME_DIR": "relative", "XDG_DATA_HOME": "relative"},
    ],
)
def test_clients_look_where_the_engine_is(environ, uid):
    config, place = parse([], environ, uid), locate(environ, uid)
    assert str(config.addresses[0]) == str(place.address)
    assert config.root == place.root
