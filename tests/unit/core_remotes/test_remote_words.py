"""The pure parts: challenges, where registries are, what their refusals mean, tokens asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.remotes.authorizer import request_for
from wherry.core.remotes.challenge import Challenge, parse
from wherry.core.remotes.faults import refusal
from wherry.core.remotes.hosts import Endpoint, RegistryConfig, endpoints, parse_insecure, parse_url
from wherry.core.remotes.remote import Credentials
from wherry.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable

CHALLENGES = [
    (['Basic realm="x"'], [Challenge("basic", {"realm": "x"})]),
    (
        ['Bearer realm="https://auth/t",service="a, b",scope="repository:a/b:pull,push"'],
        [Challenge("bearer", {"realm": "https://auth/t", "service": "a, b", "scope": "repository:a/b:pull,push"})],
    ),
    (['BEARER Realm = "q\\"uote" , x=y'], [Challenge("bearer", {"realm": 'q"uote', "x": "y"})]),
    (['Basic realm="x", Bearer realm="y"'], [Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})]),
    (["Negotiate", 'Basic realm=""'], [Challenge("negotiate"), Challenge("basic", {"realm": ""})]),
    ([""], []),
    (['=,,="', "\0"], []),
]


@pytest.mark.parametrize(("headers", "found"), CHALLENGES, ids=range(len(CHALLENGES)))
def test_challenges(headers: list[str], found: list[Challenge]) -> None:
    assert parse(headers) == found


@given(st.text(max_size=200))
def test_any_header_is_read_without_a_fault(text: str) -> None:
    assert isinstance(parse([text]), list)


PLACES = [
    ("docker.io", RegistryConfig(), [Endpoint(("https://registry-1.docker.io",))]),
    ("ghcr.io", RegistryConfig(), [Endpoint(("https://ghcr.io",))]),
    ("localhost:5000", RegistryConfig(), [Endpoint(("https://localhost:5000", "http://localhost:5000"), True)]),
    ("127.9.9.9:5", RegistryConfig(), [Endpoint(("https://127.9.9.9:5", "http://127.9.9.9:5"), True)]),
    ("[::1]:5", RegistryConfig(), [Endpoint(("https://[::1]:5", "http://[::1]:5"), True)]),
    ("10.1.2.3:5", RegistryConfig(), [Endpoint(("https://10.1.2.3:5",))]),
    ("10.1.2.3:5", RegistryConfig(("10.0.0.0/8",)), [Endpoint(("https://10.1.2.3:5", "http://10.1.2.3:5"), True)]),
    ("reg:5", RegistryConfig(("reg:5",)), [Endpoint(("https://reg:5", "http://reg:5"), True)]),
    ("reg:6", RegistryConfig(("reg:5",)), [Endpoint(("https://reg:6",))]),
    ("reg:6", RegistryConfig(("reg",)), [Endpoint(("https://reg:6", "http://reg:6"), True)]),
    ("reg", RegistryConfig(places={"reg": "http://10.0.0.1"}), [Endpoint(("http://10.0.0.1",))]),
    (
        "docker.io",
        RegistryConfig(mirrors=("http://localhost:1", "https://m")),
        [
            Endpoint(("http://localhost:1",), True, False),
            Endpoint(("https://m",), False, False),
            Endpoint(("https://registry-1.docker.io",)),
        ],
    ),
    ("ghcr.io", RegistryConfig(mirrors=("https://m",)), [Endpoint(("https://ghcr.io",))]),
]


@pytest.mark.parametrize(("domain", "config", "found"), PLACES, ids=range(len(PLACES)))
def test_where_registries_are(domain: str, config: RegistryConfig, found: list[Endpoint]) -> None:
    assert list(endpoints(domain, config)) == found


@pytest.mark.parametrize(
    "text", ["", "x", "ftp://x", "http://", "https://a?b", "https://u@h", "http://a b", "http://é"]
)
def test_urls_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid mirror"):
        parse_url(text, "mirror")


@pytest.mark.parametrize("text", ["", "10.0.0.0/99", "a/b", "a b", "é"])
def test_insecure_registries_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid insecure registry"):
        parse_insecure(text)


def test_settings_that_are_fine() -> None:
    assert parse_url("https://mirror:5000/path/", "mirror") == "https://mirror:5000/path"
    assert parse_insecure("http://reg:5000") == "reg:5000"
    assert parse_insecure("10.1.2.3/8") == "10.0.0.0/8"


REFUSALS = [
    (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', NotFound, "manifest unknown: "),
    (400, b'{"errors":[{"code":"DENIED","message":"a\\nb"}]}', PermissionDenied, "denied: a b"),
    (403, b"", PermissionDenied, "denied: requested access to the resource is denied"),
    (500, b"<html>", Unavailable, "GET x: the registry answered with status 500"),
    (418, b'{"errors": 5}', Unavailable, "status 418"),
    (404, b'{"errors":[{"code":5},7]}', NotFound, "not found"),
    (404, b"[" * 99999, NotFound, "not found"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(status: int, body: bytes, kind: type, words: str) -> None:
    error = refusal(status, body, "GET x")
    assert isinstance(error, kind)
    assert words in str(error)
    assert "\n" not in str(error)


def test_tokens_are_asked_for_by_password_or_by_identity() -> None:
    challenge = Challenge("bearer", {"realm": "https://t/x?a=b", "service": "s"})
    asked = request_for(challenge, ("repository:a:pull",), Credentials("me", "pässword"))
    assert (
        asked.url
        == "https://t/x?a=b&service=s&scope=repository%3Aa%3Apull&account=me&client_id=wherry&offline_token=true"
    )
    assert asked.authorization.startswith("Basic ")
    assert "Basic" not in repr(asked)
    anonymous = request_for(challenge, (), Credentials())
    assert (anonymous.url, anonymous.authorization) == ("https://t/x?a=b&service=s", "")
    exchanged = request_for(challenge, ("a", "b"), Credentials(identity_token="i"))
    assert exchanged.form is not None
    assert (exchanged.form["refresh_token"], exchanged.form["scope"]) == ("i", "a b")
    assert "secret" not in repr(Credentials("me", "secret"))
