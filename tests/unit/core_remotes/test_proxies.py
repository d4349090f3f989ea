"""Proxies on the way to registries: which is asked for what, and real ones between the client and a registry."""

import ssl
from pathlib import Path

import pytest

from tests.fakes.authority import Authority
from tests.fakes.proxy import proxy
from tests.fakes.registry import FakeRegistry
from tests.fakes.remotes import image_document
from wherry.core.remotes import http
from wherry.core.remotes.hosts import RegistryConfig
from wherry.core.remotes.http import Timing
from wherry.core.remotes.proxies import Proxies, proxies, shown
from wherry.core.remotes.registry import RegistryRemotes
from wherry.core.remotes.remote import Credentials
from wherry.errors import InvalidArgument, Unavailable
from wherry.oci import mediatypes

PLAIN, SECURE = "http://plain:1", "http://secure:1"


@pytest.mark.parametrize(
    ("url", "no", "found"),
    [
        ("http://reg.io/v2/", "", PLAIN),
        ("https://reg.io/v2/", "", SECURE),
        ("https://reg.io:5000/v2/", "other.io, ,io.reg", SECURE),
        ("https://reg.io/", "REG.io", ""),
        ("https://a.reg.io/", "reg.io", ""),
        ("https://areg.io/", "reg.io", SECURE),
        ("https://reg.io/", ".reg.io", SECURE),
        ("https://a.reg.io/", ".reg.io", ""),
        ("https://a.reg.io/", "*.reg.io", ""),
        ("https://reg.io./", "reg.io", ""),
        ("https://reg.io/", "*", ""),
        ("https://reg.io/", "reg.io:443", ""),
        ("https://reg.io:5000/", "reg.io:443", SECURE),
        ("http://reg.io/", "reg.io:80", ""),
        ("https://10.1.2.3/", "10.0.0.0/8", ""),
        ("https://11.1.2.3/", "10.0.0.0/8,11.1.2.3", ""),
        ("https://11.1.2.3/", "10.0.0.0/99,1.2.3", SECURE),
        ("https://[2001:db8::1]:5/", "2001:db8::1", ""),
        ("https://[2001:db8::1]:5/", "[2001:db8::1]:6", SECURE),
        ("http://127.0.0.1:5000/", "", ""),
        ("https://[::1]:5000/", "", ""),
        ("http://localhost/", "", ""),
    ],
)
def test_who_is_asked(url: str, no: str, found: str) -> None:
    assert Proxies(PLAIN, SECURE, no).of(url) == found


def test_where_they_are_said() -> None:
    environ = {
        "HTTP_PROXY": "",
        "http_proxy": "http://low:1",
        "HTTPS_PROXY": "up:3128",
        "https_proxy": "x",
        "no_proxy": "a",
    }
    assert proxies({}, environ) == Proxies("http://low:1", "http://up:3128", "a")
    given = {"http": "https://me:pw@p:1", "https": "", "no": None}
    assert proxies(given, environ) == Proxies("https://me:pw@p:1", "", "a")
    assert shown("https://me:pw@p:1/") == "https://xxxxx:xxxxx@p:1/"
    assert "pw" not in repr(proxies(given, environ))


@pytest.mark.parametrize(
    "text", ["socks5://secret@p:1", "http://", "http://secret:0", "http://secret:99999", "http://a secret"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid HTTPS_PROXY: write http://") as caught:
        proxies({}, {"HTTPS_PROXY": text})
    assert "secret" not in str(caught.value)


def client(place: str, **more: object) -> RegistryRemotes:
    async def at_once(_: float) -> None:
        pass

    return RegistryRemotes(RegistryConfig(places={"reg": place}, **more), Timing(at_once, stall=10.0))


async def test_a_registry_by_http_behind_a_proxy_that_wants_a_login() -> None:
    document, _ = image_document(b"layer")
    async with FakeRegistry({"me": "secret"}, tokens=True) as registry:
        registry.add_manifest("a", document.data, mediatypes.OCI_MANIFEST, "latest")
        registry.address, own = "reg.test", registry.address  # so that its token server is behind the proxy as well
        with proxy({"reg.test": own}, "p:q") as made:
            there = client("http://reg.test", proxies=Proxies(f"http://p:q@{made.address}"))
            found = await there.repository("reg", "a", Credentials("me", "secret")).document("latest")
            await there.close()
            assert found.data == document.data
            assert any(line.startswith("GET http://reg.test/token?") for line in made.log)
            assert all("Proxy-Authorization" not in headers for _, headers in registry.seen)
            there = client("http://reg.test", proxies=Proxies(f"http://{made.address}"))
            with pytest.raises(Unavailable, match="the proxy wants a login"):
                await there.repository("reg", "a").document("latest")
            await there.close()


async def test_a_registry_by_https_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, document = Authority.make(tmp_path), image_document(b"layer")[0]
    registry = FakeRegistry()
    registry.ssl = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    registry.ssl.load_cert_chain(authority["server.crt"], authority["server.key"])
    (tmp_path / "127.0.0.1:443").mkdir()
    (tmp_path / "127.0.0.1:443" / "ca.crt").write_bytes(authority["ca.crt"].read_bytes())
    monkeypatch.setattr(http, "is_insecure", lambda *_: False)
    monkeypatch.setattr("wherry.core.remotes.proxies._is_direct", lambda *_: False)
    async with registry:
        registry.add_manifest("a", document.data, mediatypes.OCI_MANIFEST, "latest")
        with proxy({"127.0.0.1:443": registry.address}) as made:
            there = client(
                "https://127.0.0.1:443", certificates=(str(tmp_path),), proxies=Proxies("", f"http://{made.address}")
            )
            assert (await there.repository("reg", "a").document("latest")).data == document.data
            await there.close()
            assert set(made.log) == {"CONNECT 127.0.0.1:443"}


async def test_proxies_that_are_no_help() -> None:
    with proxy({}) as made:
        there = client("https://reg.test", proxies=Proxies("", f"http://{made.address}"))
        with pytest.raises(Unavailable, match="the proxy refuses to connect: 502 no such host"):
            await there.repository("reg", "a").resolve("latest")
        await there.close()
    there = client("https://reg.test", proxies=Proxies("", f"http://me:hidden@{made.address}"))
    with pytest.raises(
        Unavailable, match=f"proxyconnect tcp: dial tcp {made.address}: connect: connection refused"
    ) as caught:
        await there.repository("reg", "a").resolve("latest")
    assert "hidden" not in str(caught.value)
    await there.close()
