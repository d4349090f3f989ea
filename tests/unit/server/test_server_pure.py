"""Versions, routes, queries and errors: no sockets."""

import asyncio
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry import errors
from wherry.errors import InvalidArgument, NotFound
from wherry.server.body import chunks, parse_json
from wherry.server.errors import STATUS, MethodNotAllowed, TooLarge, TooSlow, one_line, status_of
from wherry.server.query import Query
from wherry.server.request import HIGH_WATER, Incoming
from wherry.server.router import Route, Router
from wherry.server.routes.build import options
from wherry.server.routes.streams import detach_keys
from wherry.server.versions import NEWEST, ApiVersion, check_version, split_version
from wherry.wire.http1 import CHUNKED, chunk


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.41/info", ApiVersion(1, 41), "/info"),
        ("/info", None, "/info"),
        ("/v1.41", None, "/v1.41"),
        ("/version", None, "/version"),
        ("/volumes", None, "/volumes"),
        ("/v1/info", None, "/v1/info"),
        ("/v1.x/info", None, "/v1.x/info"),
        ("/v1.²/info", None, "/v1.²/info"),
        ("/v1." + "9" * 5000 + "/info", None, "/v1." + "9" * 5000 + "/info"),
    ],
)
def test_version_prefix(path, version, rest):
    assert split_version(path) == (version, rest)


def test_versions_outside_are_refused_in_dockers_words():
    assert check_version(None) == NEWEST
    assert check_version(ApiVersion(1, 24)) == (1, 24)
    with pytest.raises(
        InvalidArgument, match=r"client version 1\.52 is too new\. Maximum supported API version is 1\.51"
    ):
        check_version(ApiVersion(1, 52))
    with pytest.raises(
        InvalidArgument, match=r"client version 1\.23 is too old\. Minimum supported API version is 1\.24"
    ):
        check_version(ApiVersion(1, 23))


ROUTER = Router(
    [
        Route("GET", "/images/json", "list"),
        Route("GET", "/images/{name*}/json", "inspect"),
        Route("DELETE", "/images/{name*}", "remove"),
        Route("POST", "/containers/{ref}/start", "start"),
        Route("GET", "/containers/{ref}/json", "look"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "handler", "parameters"),
    [
        ("GET", "/images/json", "list", {}),
        ("GET", "/images/a/json", "inspect", {"name": "a"}),
        ("GET", "/images/localhost:5000/a/b:c/json", "inspect", {"name": "localhost:5000/a/b:c"}),
        ("GET", "/images/a%2Fb/json", "inspect", {"name": "a/b"}),
        ("DELETE", "/images/a/b", "remove", {"name": "a/b"}),
        ("POST", "/containers/x%20y/start", "start", {"ref": "x y"}),
    ],
)
def test_routes_are_found(method, path, handler, parameters):
    route, found = ROUTER.find(method, path)
    assert (route.handler, dict(found)) == (handler, parameters)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/",
        "",
        "/containers//json",
        "/containers/a/b/json",
        "/images/../json",
        "/images/%2e%2e/json",
        "/images/a/%2E%2e/b/json",
    ],
)
def test_unknown_paths_and_dots_are_not_found(path):
    with pytest.raises(NotFound, match="page not found"):
        ROUTER.find("GET", path)


def test_wrong_method_is_said():
    with pytest.raises(MethodNotAllowed, match="method DELETE is not allowed on /containers/a/json"):
        ROUTER.find("DELETE", "/containers/a/json")


@given(st.text(), st.text())
def test_router_raises_nothing_else(method, path):
    try:
        ROUTER.find(method, path)
    except (NotFound, MethodNotAllowed):
        pass


def test_query_values():
    query = Query("a=1&b=true&c=0&d=None&t=x&t=y&n=-5&when=12.5&label=%7B%22k%22%3A%22v%22%7D&e=")
    assert query.text("a") == "1"
    assert [query.flag(name) for name in "abcdez"] == [True, True, False, False, False, False]
    assert query.flag("z", default=True)
    assert query.texts("t") == ["x", "y"]
    assert query.integer("n") == -5
    assert query.integer("z") is None
    assert query.nanoseconds("when") == 12_500_000_000
    assert query.string_map("label") == {"k": "v"}


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("integer", "x=1e5"),
        ("integer", "x=" + "9" * 40),
        ("integer", "x=٣"),
        ("nanoseconds", "x=yesterday"),
        ("nanoseconds", "x=1.2.3"),
        ("document", "x={"),
        ("document", "x=" + "[" * 100_000),
        ("string_map", 'x={"a":1}'),
        ("string_map", "x=[]"),
    ],
)
def test_query_nonsense_is_refused(method, text):
    with pytest.raises(InvalidArgument) as caught:
        getattr(Query(text), method)("x")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_query_refuses_nul_and_floods():
    with pytest.raises(InvalidArgument, match="NUL"):
        Query("a=%00")
    with pytest.raises(InvalidArgument, match="1000"):
        Query("&".join(["a=1"] * 1001))


def test_filters_in_both_forms():
    assert Query('filters={"name":["a"],"id":{"x":true,"y":false}}').filters() == {"name": ["a"], "id": ["x"]}
    assert Query("").filters() == {}
    for bad in ('filters={"a":1}', 'filters={"a":[1]}', "filters=[]", 'filters={"a":"b"}'):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            Query(bad).filters()


@given(st.text(max_size=200))
def test_query_raises_nothing_else(text):
    for method in ("integer", "nanoseconds", "document", "string_map", "text", "flag"):
        try:
            getattr(Query(text), method)("a")
            Query(text).filters()
        except InvalidArgument:
            pass


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"nonsense", "invalid JSON"),
        (b"[1]", "an object is expected, not an array"),
        (b'"x"', "not a string"),
        (b"null", "not null"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"{\n\n", "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b'{"a": "\xff"}', "invalid JSON: it is not UTF-8"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": ' + b"1" * 5000 + b"}", "invalid JSON: a number has too many digits"),
    ],
)
def test_bodies_of_nonsense(body, words):
    with pytest.raises(InvalidArgument, match=words) as caught:
        parse_json(body)
    assert "\n" not in str(caught.value)


def test_lone_surrogates_become_replacement_characters():
    assert parse_json(b'{"a": "x\\ud800y", "b": "\\ud83d\\ude00"}') == {"a": "x\ufffdy", "b": "\U0001f600"}


@given(st.binary())
def test_parse_json_raises_nothing_else(body):
    try:
        parse_json(body)
    except InvalidArgument:
        pass


def test_every_error_has_a_status():
    classes = {cls for _, cls in inspect.getmembers(errors, inspect.isclass)} - {errors.WherryError}
    assert classes == set(STATUS)
    assert status_of(errors.WherryError("x")) == 500
    assert (status_of(TooLarge("x")), status_of(TooSlow("x"))) == (413, 408)
    assert status_of(MethodNotAllowed("x")) == 405
    assert one_line("a\nb\n") == "a b"
    assert len(one_line("x" * 100_000)) == 4099


def _nothing():
    return


def _read(length, parts):
    """What is body of these bytes, and what comes after it."""
    incoming = Incoming(length, parts[0], _nothing, _nothing)
    body = incoming.take()
    for part in parts[1:]:
        incoming.feed(part)
        body += incoming.take()
    while data := incoming.take():
        body += data
    assert incoming.done
    return body, incoming.rest()


@given(st.binary(), st.binary(), st.lists(st.integers(0, 200), max_size=3), st.booleans())
def test_nothing_is_lost_between_a_body_and_what_follows(body, tail, cuts, chunked):
    framed = b"".join(chunk(part) for part in (body[:3], body[3:]) if part) + b"0\r\n\r\n" if chunked else body
    whole = framed + tail
    places = sorted({cut % (len(whole) + 1) for cut in cuts})
    parts = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    assert _read(CHUNKED if chunked else len(body), parts) == (body, tail)


@pytest.mark.parametrize("body", [b"x\r\n", b"-1\r\nx", b"2\r\nabc\r\n", b"1" * 300])
async def test_a_body_that_is_none_is_refused(body):
    with pytest.raises(InvalidArgument, match="the request's body was cut short: "):
        assert [part async for part in chunks(Incoming(CHUNKED, body, _nothing, _nothing))] == [b"ab"]


async def test_a_body_that_stops_is_told_of_after_what_there_is():
    incoming = Incoming(4, b"ab", _nothing, _nothing)
    incoming.cut("the client is gone")
    assert await incoming.read() == b"ab"
    with pytest.raises(InvalidArgument, match="cut short: the client is gone"):
        await incoming.read()


async def test_the_client_is_asked_for_a_body_once_and_held_up_while_nobody_reads_it():
    asked, relieved = [], []
    incoming = Incoming(HIGH_WATER * 3, b"", lambda: asked.append(1), lambda: relieved.append(1))
    reading = asyncio.create_task(incoming.read())
    await asyncio.sleep(0)
    assert (asked, incoming.asked) == ([1], True)
    incoming.feed(b"x" * (HIGH_WATER + 1))
    assert incoming.full
    assert len(await reading) == HIGH_WATER
    assert (incoming.full, asked, relieved) == (False, [1], [1])


def test_detach_keys():
    assert detach_keys("") == b"\x10\x11"
    assert detach_keys("ctrl-a,x,ctrl-[") == b"\x01x\x1b"
    with pytest.raises(InvalidArgument, match="Invalid detach keys"):
        detach_keys("ctrl-1")


def test_build_options():
    found = options(Query('t=a&t=b:1&q=1&buildargs={"X":"1","Y":null}&labels={"l":"v"}&platform=wasi/wasm'), {})
    assert found.tags == ("a", "b:1")
    assert found.build_args == {"X": "1"}
    assert (found.quiet, found.dockerfile, found.labels) == (True, "Dockerfile", {"l": "v"})
