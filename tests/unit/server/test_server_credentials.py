"""Logins that come with requests: read as docker's clients write them, refused in one line when they are nonsense."""

import base64
import json

import pytest

from wherry.core.remotes.remote import ANONYMOUS, Credentials
from wherry.errors import InvalidArgument
from wherry.server.credentials import from_header, several


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ANONYMOUS),
        (encoded({}), ANONYMOUS),
        (encoded(None), ANONYMOUS),
        (encoded({"username": "me", "password": "p>?~ü"}), Credentials("me", "p>?~ü")),
        (encoded({"username": "me", "password": "p"}).rstrip("="), Credentials("me", "p")),
        (encoded({"identitytoken": "i"}), Credentials(identity_token="i")),
        (encoded({"registrytoken": "r", "serveraddress": "x"}), Credentials(registry_token="r")),
        (encoded({"auth": base64.b64encode(b"me:pa:ss").decode()}), Credentials("me", "pa:ss")),
    ],
)
def test_a_login(text: str, found: Credentials) -> None:
    assert from_header(text) == found


@pytest.mark.parametrize("text", ["%%%", "aGk", encoded([1]), encoded({"username": 5}), encoded("x"), "x" * (2 << 20)])
def test_nonsense(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid") as caught:
        from_header(text)
    assert "\n" not in str(caught.value)


def test_those_of_a_build() -> None:
    logins = several(encoded({"reg:5000": {"username": "me", "password": "p"}, "other": 5}))
    assert logins == {"reg:5000": Credentials("me", "p")}
    assert several("") == {}
