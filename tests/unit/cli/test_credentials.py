"""``config.json`` as docker writes it: every way in which a login lies there, and files that are none."""

import base64
import json
import stat
from pathlib import Path

import pytest

from wherry.cli.credentials import HUB, Logins, config_path, header, headers, key_of
from wherry.errors import FailedPrecondition


def logins(folder: Path, document: object) -> Logins:
    (folder / "config.json").write_text(json.dumps(document))
    return Logins({"DOCKER_CONFIG": str(folder), "PATH": "/nowhere"})


AUTH = base64.b64encode(b"me:pa:ss").decode()
ENTRIES = [
    ({"reg:5": {"auth": AUTH}}, "reg:5", {"username": "me", "password": "pa:ss"}),
    ({"https://reg:5/v1/": {"auth": AUTH}}, "reg:5", {"username": "me", "password": "pa:ss"}),
    ({HUB: {"auth": AUTH}}, "docker.io", {"username": "me", "password": "pa:ss"}),
    ({"reg:5": {"auth": base64.b64encode(b"me:").decode(), "identitytoken": "t"}}, "reg:5", {"identitytoken": "t"}),
    ({"reg:5": {"registrytoken": "r"}}, "reg:5", {"registrytoken": "r"}),
    ({"reg:5": {}}, "reg:5", {}),
    ({"reg:5": 7}, "reg:5", {}),
    ({"reg:5": {"auth": "%"}}, "reg:5", {}),
    ({"reg:6": {"auth": AUTH}}, "reg:5", {}),
]


@pytest.mark.parametrize(("auths", "domain", "found"), ENTRIES, ids=range(len(ENTRIES)))
def test_entries(tmp_path: Path, auths: dict, domain: str, found: dict) -> None:
    login = logins(tmp_path, {"auths": auths}).get(domain)
    assert {name: login.get(name) for name in found} == found
    assert bool(login) == bool(found)
    assert (login.get("serveraddress") == key_of(domain)) == bool(found)


def test_no_file_is_nobody(tmp_path: Path) -> None:
    empty = Logins({"DOCKER_CONFIG": str(tmp_path)})
    assert empty.get("reg:5") == {}
    assert empty.all() == {}
    assert empty.of_image("reg:5/x//y") == {}
    assert config_path({"HOME": "/h"}) == "/h/.docker/config.json"


def test_what_is_kept_is_found_again_and_all_else_stays(tmp_path: Path) -> None:
    first = logins(tmp_path, {"auths": {"other": {"auth": AUTH}}, "HttpHeaders": {"X": "ü"}})
    assert first.keep("reg:5", {"username": "you", "password": "p"}) == ""
    assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
    again = Logins({"DOCKER_CONFIG": str(tmp_path)})
    assert again.of_image("reg:5/a/b:1")["username"] == "you"
    assert sorted(again.all()) == ["other", "reg:5"]
    again.keep("docker.io", {"username": "you", "password": "p", "identitytoken": "t"})
    assert "p" not in json.loads((tmp_path / "config.json").read_text())["auths"][HUB].values()
    assert again.get("")["identitytoken"] == "t"
    assert again.forget("reg:5")
    assert not again.forget("reg:5")
    document = json.loads((tmp_path / "config.json").read_text())
    assert (document["HttpHeaders"], sorted(document["auths"])) == ({"X": "ü"}, [HUB, "other"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "config.json").write_text("{}")
    (tmp_path / "config.json").symlink_to(tmp_path / "real" / "config.json")
    Logins({"DOCKER_CONFIG": str(tmp_path)}).keep("reg:5", {"username": "a", "password": "b"})
    assert (tmp_path / "config.json").is_symlink()
    assert "reg:5" in (tmp_path / "real" / "config.json").read_text()


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "[" * 99999, "\udcff"])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FailedPrecondition, match=r"cannot read .*: it is not (JSON|a JSON)") as caught:
        Logins({"DOCKER_CONFIG": str(tmp_path)})
    assert "\n" not in str(caught.value)


HELPERS = [
    ('echo \'{"Username": "me", "Secret": "s"}\'', {"username": "me", "password": "s"}),
    ('echo \'{"Username": "<token>", "Secret": "s"}\'', {"identitytoken": "s"}),
    ("echo credentials not found in native keychain; exit 1", {}),
]


@pytest.mark.parametrize(("script", "found"), HELPERS, ids=range(len(HELPERS)))
@pytest.mark.parametrize("config", [{"credsStore": "x"}, {"credHelpers": {"reg:5": "x"}}])
def test_helpers(tmp_path: Path, config: dict, script: str, found: dict) -> None:
    helper = tmp_path / "docker-credential-x"
    helper.write_text(f"#!/bin/sh\nread line\n{script}\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps(config))
    login = Logins({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}).get("reg:5")
    assert {name: value for name, value in login.items() if name != "serveraddress"} == found


@pytest.mark.parametrize("script", ["echo nonsense", "echo '[]'", "echo '{}'", "echo locked >&2; exit 3"])
def test_helpers_that_fail(tmp_path: Path, script: str) -> None:
    helper = tmp_path / "docker-credential-x"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "x"}')
    with pytest.raises(FailedPrecondition, match=r"docker-credential-x (did not answer|get failed: locked)"):
        Logins({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}).get("reg:5")


def test_headers() -> None:
    assert header({}) == headers({}) == {}
    text = header({"username": "me?>"})["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(text)) == {"username": "me?>"}
    assert "X-Registry-Config" in headers({"reg": {"username": "me"}})
