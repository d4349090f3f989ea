"""The CLI's pure parts: sizes and times, flags' values, detach keys, tables."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli import human, values
from wherry.cli.detach import DetachMatcher, parse_keys
from wherry.cli.exits import run_code
from wherry.cli.formatting import align, render
from wherry.cli.nouns import container_row, ellipsis, event_line, image_rows, since
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (22840, "22.8kB"), (1_234_567, "1.23MB"), (72_800_000_000, "72.8GB")],
)
def test_human_size(size: int, shown: str) -> None:
    assert human.human_size(size) == shown


def test_binary_size() -> None:
    assert human.binary_size(1536 * 1024) == "1.5MiB"
    assert human.binary_size(0) == "0B"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.2, "Less than a second"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_human_duration(seconds: float, shown: str) -> None:
    assert human.human_duration(seconds) == shown


def test_ago() -> None:
    assert human.ago(100, 220) == "2 minutes ago"
    assert human.ago(0, 220) == "N/A"
    assert human.ago(300, 220) == "Less than a second ago"


@pytest.mark.parametrize(
    ("text", "size"), [("5", 5), ("64m", 64 << 20), ("1.5g", 3 << 29), ("2kb", 2048), ("3MiB", 3 << 20), ("7 k", 7168)]
)
def test_parse_size(text: str, size: int) -> None:
    assert human.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "m", "1x", "1e9", "1.g", "9" * 40, "١m"])
def test_no_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid size"):
        human.parse_size(text)


@pytest.mark.parametrize(
    ("text", "ns"), [("0", 0), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("500ms", 5 * 10**8)]
)
def test_parse_duration(text: str, ns: int) -> None:
    assert human.parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "1s2", "-1s", "1d", "1s 2s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid duration"):
        human.parse_duration(text)


def test_parse_time() -> None:
    assert human.parse_time("1970-01-01T00:00:10.500000000Z") == 10.5
    assert human.parse_time("0001-01-01T00:00:00Z") == 0.0
    assert human.parse_time("nonsense") == 0.0


@given(st.text(max_size=30))
def test_any_text_parses_or_is_invalid(text: str) -> None:
    for parse in (
        human.parse_size,
        human.parse_duration,
        values.restart_policy,
        values.nano_cpus,
        values.ulimit,
        values.mount,
        parse_keys,
        lambda t: values.ports([t], []),
        lambda t: values.ports([], [t]),
        lambda t: values.volumes([t], "/w"),
        lambda t: values.environment([("f", t)], [t], {}),
        lambda t: values.filters([t]),
        lambda t: values.tmpfs([t]),
        lambda t: values.key_values([t]),
        lambda t: since(t, 1e9),
    ):
        try:
            parse(text)
        except InvalidArgument as error:
            assert len(str(error).splitlines()) >= 1  # noqa: PT017 - both outcomes are fine, a third is not


def test_environment() -> None:
    contents = "# comment\n\nA=1\n  B=x=y # kept\nC\nD\n"
    assert values.environment([("f", contents)], ["E=", "C", "Z"], {"C": "c"}) == [
        "A=1",
        "B=x=y # kept",
        "C=c",
        "E=",
        "C=c",
    ]


@pytest.mark.parametrize("line", ["=x", "a b=1", "\0=1"])
def test_a_bad_line_of_an_env_file_is_named(line: str) -> None:
    with pytest.raises(InvalidArgument, match=r"env\.txt:2"):
        values.environment([("env.txt", f"OK=1\n{line}")], [], {})


def test_volumes() -> None:
    binds, anonymous = values.volumes(["/a:/b:ro", "./x/../y:/c", "..:/d", "name:/e", "/only"], "/w/d")
    assert binds == ["/a:/b:ro", "/w/d/y:/c", "/w:/d", "name:/e"]
    assert anonymous == {"/only": {}}


@pytest.mark.parametrize("text", ["", ":", "a:b", "/a:/b:ro:x", "~:/x", "/a:", "relative"])
def test_bad_volumes(text: str) -> None:
    with pytest.raises(InvalidArgument):
        values.volumes([text], "/w")


def test_mount() -> None:
    assert values.mount("type=bind,src=/a,dst=/b,readonly") == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
    }
    assert values.mount("type=tmpfs,target=/t,tmpfs-size=1m")["TmpfsOptions"] == {"SizeBytes": 1 << 20}
    assert values.mount("source=v,target=/t,volume-nocopy,volume-label=a=1,volume-label=b,volume-opt=o=x") == {
        "Type": "volume",
        "Source": "v",
        "Target": "/t",
        "VolumeOptions": {
            "NoCopy": True,
            "Labels": {"a": "1", "b": ""},
            "DriverConfig": {"Options": {"o": "x"}},
        },
    }
    assert values.mount("target=/t,ro=false,volume-driver=d,volume-subpath=s") == {
        "Type": "volume",
        "Source": "",
        "Target": "/t",
        "ReadOnly": False,
        "VolumeOptions": {"DriverConfig": {"Name": "d"}, "Subpath": "s"},
    }
    recursive = values.mount("type=bind,source=/a,dst=/b,bind-recursive=readonly,bind-propagation=rslave")
    assert recursive["BindOptions"] == {"ReadOnlyForceRecursive": True, "Propagation": "rslave"}
    assert values.mount("type=bind,source=/a,dst=/b,bind-recursive=enabled")["BindOptions"] == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type=bind,source=/a,target=/b,colour=red", "bad field 'colour=red' (known: type, source, target,"),
        ("foo", "bad field 'foo'"),
        ("type,target=/b", "bad field 'type'"),
        ("type=foo,target=/b", "type: use bind, volume or tmpfs"),
        ("type=bind,source=a,target=/b", "a bind needs source=/PATH"),
        ("type=tmpfs", "target=/PATH is required"),
        ("target=b", "target=/PATH is required"),
        ("target=/b,ro=perhaps", "ro: use true or false"),
        ("type=tmpfs,target=/b,tmpfs-size=big", "tmpfs-size: invalid size: 'big'"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "tmpfs-mode: expected an octal number"),
        (
            "type=bind,source=/a,target=/b,bind-recursive=no",
            "bind-recursive: use enabled, disabled, writable or readonly",
        ),
        ("type=bind,source=/a,target=/b,bind-propagation=no", "bind-propagation: use rprivate,"),
        ("target=/b,volume-driver=", "volume-driver: it is empty"),
        ("target=/b,volume-label==1", "volume-label: invalid label '=1': empty name"),
        ("", "bad field ''"),
    ],
)
def test_a_wrong_mount(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        values.mount(text)


def test_ports() -> None:
    exposed, bindings = values.ports(
        ["8080:80", "127.0.0.1:53:53/udp", "[::1]:1:2", "9000-9001:7000-7001", "5"], ["99"]
    )
    assert exposed.keys() == {"80/tcp", "53/udp", "2/tcp", "7000/tcp", "7001/tcp", "5/tcp", "99/tcp"}
    assert bindings["80/tcp"] == [{"HostIp": "", "HostPort": "8080"}]
    assert bindings["53/udp"] == [{"HostIp": "127.0.0.1", "HostPort": "53"}]
    assert bindings["2/tcp"] == [{"HostIp": "::1", "HostPort": "1"}]
    assert bindings["7001/tcp"] == [{"HostIp": "", "HostPort": "9001"}]
    assert bindings["5/tcp"] == [{"HostIp": "", "HostPort": ""}]


@pytest.mark.parametrize("text", ["", "x", "70000", "1-2:3-5", "2-1", "80/http", "::1:80:80", "a:b:c"])
def test_bad_ports(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid port"):
        values.ports([text], [])


def test_restart_policy() -> None:
    assert values.restart_policy("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    for text in ("sometimes", "always:2", "on-failure:x"):
        with pytest.raises(InvalidArgument):
            values.restart_policy(text)


def test_limits() -> None:
    assert values.nano_cpus("1.5") == 1_500_000_000
    assert values.ulimit("nofile=10:20") == {"Name": "nofile", "Soft": 10, "Hard": 20}


def test_keys() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("ctrl-@,a,ctrl-[") == b"\0a\x1b"
    assert parse_keys("") == b""
    for text in ("ctrl-", "ctrl-A", "ab", "a,,b", "ctrl-1"):
        with pytest.raises(InvalidArgument):
            parse_keys(text)


@given(st.lists(st.binary(max_size=6), max_size=10))
def test_keys_are_found_however_they_are_cut_and_nothing_else_is_lost(pieces: list[bytes]) -> None:
    keys = b"\x10\x11"
    typed = b"".join(pieces)
    matcher = DetachMatcher(keys)
    passed = b"".join(matcher.feed(piece) for piece in pieces)
    before, found, _ = typed.partition(keys)
    assert matcher.detached == bool(found)
    # What may be the beginning of the keys is held back.
    assert passed == before or (not found and passed + keys[:1] == before)


def test_half_typed_keys_go_through_when_they_end_otherwise() -> None:
    matcher = DetachMatcher(b"\x10\x11")
    assert matcher.feed(b"a\x10") == b"a"
    assert matcher.feed(b"b") == b"\x10b"
    assert matcher.feed(b"\x10\x10") == b"\x10"
    assert matcher.feed(b"\x11more") == b""
    assert matcher.detached


def test_no_keys_never_detach() -> None:
    matcher = DetachMatcher(b"")
    assert matcher.feed(b"\x10\x11") == b"\x10\x11"
    assert not matcher.detached


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "/x": executable file not found in $PATH', 127),
        ("stat /x.wasm: no such file or directory", 127),
        ("permission denied: unknown", 126),
        ("exec /x: exec format error", 126),
        ("unknown or invalid runtime name: x", 125),
    ],
)
def test_exit_codes_of_failed_starts(message: str, code: int) -> None:
    assert run_code(message) == code


def test_a_table_is_set_as_docker_sets_it() -> None:
    assert align([["A", "LONG HEADER", "LAST"], ["xxxxxxxxxx", "b", ""]]) == (
        "A            LONG HEADER   LAST\nxxxxxxxxxx   b             \n"
    )


ROWS = [{"ID": "1", "Names": "a", "Label": lambda key: f"v-{key}"}]


@pytest.mark.parametrize(
    ("style", "shown"),
    [
        (None, "CONTAINER ID   NAMES\n1              a\n"),
        ("table", "CONTAINER ID   NAMES\n1              a\n"),
        (
            r"table {{.Names}}\t{{.Label \"k\"}}".replace("\\", "", 0).replace('\\"', '"'),
            "NAMES     LABEL\na         v-k\n",
        ),
        ("{{.Names}}={{.ID}}", "a=1\n"),
        ("json", '{"ID":"1","Names":"a"}\n'),
        ("{{json .Names}}", '"a"\n'),
    ],
)
def test_styles(style: str | None, shown: str) -> None:
    assert render(ROWS, style, ("ID", "Names"), {"ID": "CONTAINER ID"}) == shown


def test_nothing_to_show() -> None:
    assert render([], "{{.ID}}", ("ID",), {}) == ""
    assert render([], None, ("ID",), {}) == "ID\n"


def test_a_wrong_field_is_one_line() -> None:
    with pytest.raises(InvalidArgument) as caught:
        render(ROWS, "{{.Nope}}", ("ID",), {})
    assert str(caught.value) == 'template: at <.Nope>: there is no "Nope"'


def test_a_container_row() -> None:
    item = {
        "Id": "a" * 64,
        "Names": ["/web", "/other/web"],
        "Image": "sha256:" + "b" * 64,
        "Command": '/hello.wasm "quoted" and a long tail',
        "Created": 1000,
        "Status": "Up 2 seconds",
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"PrivatePort": 9, "Type": "udp"},
        ],
        "Labels": {"b": "2", "a": "1"},
    }
    row = container_row(item, 1120)
    assert row["ID"] == "a" * 12
    assert row["Image"] == "b" * 12
    assert row["Names"] == "web"
    assert json.loads(row["Command"]) == '/hello.wasm "quoted…'
    assert row["RunningFor"] == "2 minutes ago"
    assert row["Ports"] == "9/udp, 0.0.0.0:8080->80/tcp"
    assert row["Labels"] == "a=1,b=2"
    assert row["Label"]("a") == "1"


def test_an_empty_container_and_image_still_have_rows() -> None:
    assert container_row({}, 0)["Image"] == "<no image>"
    assert image_rows({}, 0, whole=False, digests=False)[0]["Repository"] == "<none>"


def test_an_image_has_a_row_for_each_name() -> None:
    item = {"Id": "sha256:" + "c" * 64, "RepoTags": ["hello:latest", "reg:5000/x/y:1"], "Size": 22840, "Created": 5}
    rows = image_rows(item, 10, whole=False, digests=False)
    assert [(row["Repository"], row["Tag"]) for row in rows] == [("hello", "latest"), ("reg:5000/x/y", "1")]
    assert rows[0]["Size"] == "22.8kB"


def test_ellipsis() -> None:
    assert ellipsis("abcd", 4) == "abcd"
    assert ellipsis("abcde", 4) == "abc…"


def test_an_event() -> None:
    event = {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "abc", "Attributes": {"name": "n", "image": "i"}},
        "timeNano": 1_000_000_005,
    }
    line = event_line(event)
    assert ".000000005" in line
    assert line.endswith("container start abc (image=i, name=n)")


def test_since() -> None:
    assert since("10m", 1000.0) == "400.000000000"
    assert since("1234.5", 0) == "1234.5"
    assert since("1970-01-01T00:00:10Z", 0) == "10.000000000"
    with pytest.raises(InvalidArgument, match="invalid time"):
        since("yesterday", 0)
