"""CGI: variables of a request, and what of a program's output is an answer."""

import pytest

from wherry.wire import cgi, http1


def head(*lines: bytes, first: bytes = b"GET /deep/one%20two?a=b&c%3D&&%zz HTTP/1.1") -> http1.RequestHead:
    return http1.parse_head(b"\r\n".join((first, b"Host: here:8080", *lines, b"", b"")))


def variables(request: http1.RequestHead, route: str = "/deep/...", script: str = "/deep") -> dict[str, str]:
    place = cgi.Place(route, script, 80, "10.0.0.9", 4711, "wherry/1")
    return dict(word.decode("latin-1").partition("=")[::2] for word in cgi.variables(request, place))


def test_a_request_is_told_by_variables() -> None:
    found = variables(head(b"Content-Type: text/x", b"Content-Length: 3", b"Accept: a", b"Accept: b", b"Cookie: c=d"))
    assert found["SCRIPT_NAME"] == "/deep"
    assert (found["PATH_INFO"], found["X_RAW_PATH_INFO"], found["PATH_TRANSLATED"]) == (
        "/one two",
        "/one%20two",
        "/one two",
    )
    assert found["QUERY_STRING"] == "a=b&c%3D&&%zz"
    assert found["X_MATCHED_ROUTE"] == "/deep/..."
    assert found["X_FULL_URL"] == "http://here:8080/deep/one%20two?a=b&c%3D&&%zz"
    assert (found["SERVER_NAME"], found["SERVER_PORT"], found["SERVER_PROTOCOL"]) == ("here", "8080", "HTTP/1.1")
    assert (found["CONTENT_TYPE"], found["CONTENT_LENGTH"]) == ("text/x", "3")
    assert (found["REMOTE_ADDR"], found["REMOTE_HOST"], found["REMOTE_PORT"]) == ("10.0.0.9", "10.0.0.9", "4711")
    assert (found["HTTP_ACCEPT"], found["HTTP_COOKIE"]) == ("a, b", "c=d")
    assert (found["AUTH_TYPE"], found["REMOTE_USER"], found["GATEWAY_INTERFACE"]) == ("", "", "CGI/1.1")


def test_what_a_client_could_pretend_is_kept_back() -> None:
    lines = (b"Proxy: http://evil", b"Authorization: Basic x", b"X_Fake: y", b"Transfer-Encoding: chunked")
    found = variables(head(*lines))
    assert not {"HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_X_FAKE", "HTTP_TRANSFER_ENCODING"} & found.keys()
    assert "CONTENT_LENGTH" not in found


def test_what_has_a_nul_is_not_told_and_makes_no_variable() -> None:
    found = variables(head(b"X-Thing: y", first=b"GET /deep/a%00LD_PRELOAD=evil HTTP/1.1"))
    assert not {"PATH_INFO", "PATH_TRANSLATED", "LD_PRELOAD"} & found.keys()
    assert (found["X_RAW_PATH_INFO"], found["HTTP_X_THING"]) == ("/a%00LD_PRELOAD=evil", "y")
    place = cgi.Place("/...\0A=b", "", 80, "10.0.0.9", 4711, "wherry/1")
    assert not [word for word in cgi.variables(head(), place) if b"\0" in word or word[:2] == b"A="]


def test_the_query_becomes_arguments() -> None:
    assert cgi.arguments("/x?a=b&c%3D&&%zz&%00") == (b"a=b", b"c=", b"%zz")
    assert cgi.arguments("/x") == ()


@pytest.mark.parametrize(
    ("data", "end"),
    [(b"A: b\n\nrest", (4, 6)), (b"A: b\r\n\r\nrest", (5, 8)), (b"\nrest", (0, 1)), (b"A: b\n", (-1, 0))],
)
def test_the_header_ends_at_an_empty_line(data: bytes, end: tuple[int, int]) -> None:
    assert cgi.find_end(data) == end


@pytest.mark.parametrize(
    ("data", "status", "header"),
    [
        (b"Content-Type: text/x", 200, (("content-type", "text/x"),)),
        (b"Status: 404\r\nX: y", 404, (("x", "y"),)),
        (b"Location: /there", 302, (("location", "/there"),)),
        (b"Status: 204 None\nConnection: close\nDate: now\nTransfer-Encoding: chunked", 204, ()),
    ],
)
def test_a_header_is_read(data: bytes, status: int, header: tuple[tuple[str, str], ...]) -> None:
    found = cgi.parse_head(data)
    assert (found.status, found.header, found.length) == (status, header, -1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"words",
        b"X: y",
        b"Content-Type: a\x00b",
        b"Content-Type: a\rb",
        b"Content-Type: a\n folded",
        b"Content Type: a",
        b"Status: yes",
        b"Status: 101",
        b"Status: 999",
        b"Status: 200\nStatus: 404",
        b"Content-Type: a\nContent-Length: 5\nContent-Length: 6",
        b"Content-Type: a\nContent-Length: -5",
        b"\n".join(b"X-%d: y" % number for number in range(10_000)),
    ],
)
def test_output_that_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(cgi.BadOutput) as caught:
        cgi.parse_head(data)
    assert "\n" not in str(caught.value)


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(cgi.BadOutput):
        cgi.find_end(b"X: y\n" * 20_000)
