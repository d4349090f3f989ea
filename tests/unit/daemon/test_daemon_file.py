"""The configuration file: its schema, what is wrong with it, and how it goes together with flags and environment."""

import json
import os

import pytest

from wherry.daemon import file
from wherry.daemon.config import UnixAddress, parse
from wherry.daemon.options import DEFAULTS
from wherry.errors import InvalidArgument


def said(tmp_path, text, *flags, environ=None):
    path = tmp_path / "daemon.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return parse(["--config-file", str(path), *flags], environ or {}, 0)


def refusal(tmp_path, text, *flags):
    with pytest.raises(InvalidArgument) as caught:
        said(tmp_path, text, *flags)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_every_key_is_a_flag_and_every_flag_but_two_a_key():
    flags = {key.flag for key in file.KEYS.values()}
    assert set(DEFAULTS) - flags == {"config_file", "validate"}
    assert flags <= set(DEFAULTS)


def test_the_file_says_what_flags_say(tmp_path):
    document = {
        "root": str(tmp_path),
        "hosts": ["unix:///run/a.sock"],
        "debug": True,
        "group": "staff",
        "labels": ["a=b"],
        "log-driver": "local",
        "log-opts": {"max-size": "1m"},
        "insecure-registries": ["reg:5000"],
        "registry-mirrors": ["http://m:1/"],
        "max-layer-entries": 7,
    }
    config = said(tmp_path, json.dumps(document))
    assert (config.root, config.addresses) == (str(tmp_path), (UnixAddress("/run/a.sock"),))
    assert (config.log_level, config.group, config.labels) == ("debug", "staff", ("a=b",))
    assert (config.log_driver, config.log_options) == ("local", {"max-size": "1m"})
    assert config.registries.insecure == ("reg:5000",)
    assert config.most_entries == 7


def test_flags_and_environment_win_but_do_not_contradict(tmp_path):
    assert said(tmp_path, '{"root": "/a"}', "--root", "/a").root == "/a"
    assert said(tmp_path, '{"root": "/a"}', environ={"WHERRY_ROOT": "/b"}).root == "/b"
    assert "log-level (from flag: debug, from file: info)" in refusal(
        tmp_path, '{"log-level": "info"}', "--log-level", "debug"
    )
    assert "hosts (from flag: [unix:///a], from file: [unix:///b])" in refusal(
        tmp_path, '{"hosts": ["unix:///b"]}', "-H", "unix:///a"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"registry-miror": []}', "unknown key 'registry-miror': did you mean 'registry-mirrors'?"),
        ('{"zzzzzzzzz": 1}', "unknown key 'zzzzzzzzz'"),
        ('{"debug": "yes"}', "debug must be true or false"),
        ('{"hosts": "unix:///a"}', "hosts must be a list of strings"),
        ('{"hosts": [1]}', "hosts must be a list of strings"),
        ('{"log-opts": ["a=b"]}', "log-opts must be an object of strings"),
        ('{"max-layer-entries": true}', "max-layer-entries must be a whole number"),
        ('{"root": "a\\u0000b"}', "root must be a string"),
        ('{"log-level": "loud"}', "invalid log-level 'loud'"),
        ('{"labels": ["x"]}', "invalid label 'x': write KEY=VALUE"),
        ('{"labels": ["x=1", "x=2"]}', "two values"),
        ('{"debug": true, "debug": false}', "'debug' is there twice"),
        ("{", "is no JSON"),
        (b"\xff\xfe\xfa", "is no JSON"),
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"max-layer-entries":' + "9" * 5000 + "}", "is no JSON: a number has too many digits"),
        (b" " * (file.LIMIT + 1), "too large: it may have 1 MiB"),
        (json.dumps({f"k{number}": 1 for number in range(1000)}), "unknown key 'k0'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidArgument, match="there is none"):
        parse(["--config-file", str(tmp_path / "none.json")], {}, 0)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):  # neither blocks
        with pytest.raises(InvalidArgument, match="cannot read the configuration file"):
            parse(["--config-file", str(path)], {}, 0)


def test_the_default_file_of_a_user_may_be_missing(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert parse([], environ, 1000).config_file == f"{tmp_path}/wherry/daemon.json"
    (tmp_path / "wherry").mkdir()
    (tmp_path / "wherry/daemon.json").write_text('{"debug": true}')
    assert parse([], environ, 1000).log_level == "debug"
    (tmp_path / "wherry/daemon.json").write_text("")
    assert parse([], environ, 1000).log_level == "info"
