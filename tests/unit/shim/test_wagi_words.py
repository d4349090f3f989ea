"""WAGI's settings and routes as values."""

import pytest

from wherry.errors import InvalidArgument
from wherry.shim.httpd import settings
from wherry.shim.httpd.log import printable
from wherry.shim.wagi.routes import Route, below, check_pattern, find


def test_settings_come_from_annotations() -> None:
    assert settings.of({}) == settings.Settings(80, 16, 60.0, 64 << 20)
    given = {settings.PORT: "8080", settings.CONCURRENCY: "2", settings.DEADLINE: "500ms", settings.BODY: "10k"}
    assert settings.of(given) == settings.Settings(8080, 2, 0.5, 10 << 10)
    assert settings.of({settings.DEADLINE: "0"}).deadline == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (settings.PORT, "0"),
        (settings.PORT, "65536"),
        (settings.PORT, "eighty"),
        (settings.CONCURRENCY, "-1"),
        (settings.CONCURRENCY, "99999"),
        (settings.DEADLINE, "soon"),
        (settings.DEADLINE, "1" * 30),
        (settings.BODY, "10x"),
        (settings.BODY, "k"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=name):
        settings.of({name: text})


def test_the_last_route_that_matches_answers() -> None:
    routes = [Route("/..."), Route("/one/..."), Route("/one/two"), Route("/one/two/three/...")]
    expected = {"/": 0, "/one": 1, "/onex": 0, "/one/x": 1, "/one/two": 2, "/one/two/": 1, "/one/two/three/x": 3}
    assert {path: find(routes, path) for path in expected} == expected
    assert find([Route("/x")], "/") == -1


def test_what_routes_prints_lies_below_its_own_route() -> None:
    found = below(Route("/example/...", "m", "n"), "/hello hello\n\n/bye/... goodbye\n")
    assert [(route.pattern, route.entry, route.module) for route in found] == [
        ("/example/hello", "hello", "m"),
        ("/example/bye/...", "goodbye", "m"),
    ]
    assert below(Route("/..."), "/x y")[0].pattern == "/x"


@pytest.mark.parametrize("text", ["/only", "/a b c", "\x00 x", "/a\x7f b", "/x y\n" * 2000])
def test_lines_that_are_no_routes_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        below(Route("/..."), text)


@pytest.mark.parametrize("text", ["", "x", "/ x", "/" + "x" * 2000])
def test_patterns_are_checked(text: str) -> None:
    with pytest.raises(InvalidArgument):
        check_pattern(text)


def test_a_log_line_stays_one_line() -> None:
    assert printable('GET /"\\\n\x1b HTTP/1.1') == "GET /\\x22\\x5c\\x0a\\x1b HTTP/1.1"
    assert len(printable("x" * 5000)) < 1100
