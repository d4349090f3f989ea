"""WAGI containers by the real shim: what handlers get and give, what bad handlers and bad clients get, and that
nothing of them is left."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.http_manners import (
    an_answer_is_cut_short,
    answers_are,
    bad_requests_are_refused,
    early_ends_leave_nothing,
    faults_are_told,
    requests_may_follow_at_once,
    what_was_begun_is_finished,
)
from tests.integration.shim_box import Box
from tests.integration.wagi_box import (
    DEADLINE,
    descriptors,
    free_port,
    parse,
    serve,
    workers,
)
from tests.zig import compile_wasm
from wherry.errors import WherryError

DATA = Path(__file__).parent.parent / "data"
HELLO = b"Hello from WAGI!\n"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wagi") / "guest.wasm"
    return compile_wasm(DATA / "wagi_guest.c", target, "-DROUTES")


async def test_a_handler_gets_the_request_and_each_a_new_instance(box: Box) -> None:
    handler = await serve(box, "own", process={"args": ["/guest.wasm", "own"], "env": ["COLOUR=blue"]})
    answer = await handler.get("/env?greet=matt&x", "X-Thing: y")
    lines = answer.body.decode().splitlines()
    assert answer.status == 200
    assert lines[:4] == ["arg 0=/guest.wasm", "arg 1=own", "arg 2=greet=matt", "arg 3=x"]
    assert {"COLOUR=blue", "PATH_INFO=/env", "HTTP_X_THING=y", "X_MATCHED_ROUTE=/...", "REQUEST_METHOD=GET"} <= set(
        lines
    )
    assert [(await handler.get("/calls")).body for _ in range(3)] == [b"1\n"] * 3
    assert re.search(
        r'^127\.0\.0\.1 - - \[.*\] "GET /env\?greet=matt&x HTTP/1\.1" 200 \d+ [\d.]+ms \w+-1$',
        await handler.logged("/env"),
        re.MULTILINE,
    )


ODD = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) PARTS
  (data (i32.const 0) "\\08\\00\\00\\00\\1d\\00\\00\\00content-type: text/plain\\0a\\0aodd")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"""


@pytest.mark.parametrize("parts", ["(table 300000 funcref)", "(memory 1) (memory 1)"])
async def test_a_module_that_fits_into_no_pool_answers_as_well(box: Box, parts: str) -> None:
    (box.folder / "lower/odd.wat").write_text(ODD.replace("PARTS", parts))
    handler = await serve(box, process={"args": ["/odd.wat"]})
    assert [(await handler.get("/")).body for _ in range(2)] == [b"odd"] * 2


async def test_nothing_of_an_instance_is_seen_by_the_next(box: Box) -> None:
    """Their memory is the same, wiped in between: data that was changed, and what had grown."""
    text = """(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $calls (mut i32) (i32.const 48))
      (table 2 funcref) (elem declare func $f) (func $f)
      (data (i32.const 0) "\\08\\00\\00\\00\\1d\\00\\00\\00content-type: text/plain\\0a\\0a000")
      (func $bump (param i32) (i32.store8 (local.get 0) (i32.add (i32.load8_u (local.get 0)) (i32.const 1))))
      (func (export "_start")
        (i32.store8 (i32.const 34) (i32.add (i32.const 48) (memory.size)))
        (if (i32.eqz (ref.is_null (table.get 0 (i32.const 1)))) (then (call $bump (i32.const 35))))
        (if (i32.load (i32.const 60000)) (then (call $bump (i32.const 36))))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (table.set 0 (i32.const 1) (ref.func $f))
        (i32.store (i32.const 60000) (i32.const 7))
        (i32.store8 (i32.const 8) (i32.const 88))
        (drop (memory.grow (i32.const 5)))
        (i32.store (i32.const 300000) (i32.const 7))))"""
    (box.folder / "lower/odd.wat").write_text(text)
    handler = await serve(box, process={"args": ["/odd.wat"]})
    assert [(await handler.get("/")).body for _ in range(5)] == [b"100"] * 5


@pytest.mark.parametrize("closed", ["", "0 3", "1 4", "0 1 2 3 4"])
async def test_descriptors_are_the_next_guests_as_they_were(box: Box, closed: str) -> None:
    """Whatever one did to its own: rights that it dropped, and descriptors that it closed, its folder's among them."""
    text = """(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_fdstat_set_rights" (func $drop (param i32 i64 i64) (result i32)))
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\\08\\00\\00\\00\\1d\\00\\00\\00content-type: text/plain\\0a\\0a000")
      (func $tell (param i32 i32) (i32.store8 (local.get 0) (i32.add (i32.const 48) (local.get 1))))
      (func (export "_start")
        (drop (call $stat (i32.const 1) (i32.const 128)))
        (call $tell (i32.const 34) (i32.and (i32.const 1) (i32.shr_u (i32.load (i32.const 136)) (i32.const 2))))
        (call $tell (i32.const 35) (call $prestat (i32.const 3) (i32.const 128)))
        (call $tell (i32.const 36) (call $prestat (i32.const 4) (i32.const 128)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
        (drop (call $drop (i32.const 1) (i64.const 64) (i64.const 0)))
        CLOSED))"""
    closing = "".join(f"(drop (call $close (i32.const {fd})))" for fd in closed.split())
    (box.folder / "lower/odd.wat").write_text(text.replace("CLOSED", closing))
    (box.folder / "lower/deep").mkdir()
    handler = await serve(box, process={"args": ["/odd.wat"], "cwd": "/deep"})
    assert (await handler.get("/")).body == b"100"
    open_then = [descriptors(pid) for pid in workers(handler.task.pid)]
    assert [(await handler.get("/")).body for _ in range(5)] == [b"100"] * 5
    assert [descriptors(pid) for pid in workers(handler.task.pid)] == open_then


async def test_bodies_go_both_ways(box: Box) -> None:
    handler = await serve(box)
    data = os.urandom(300_000)
    assert (await handler.get("/echo", method="POST", body=data)).body == data
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (data[:1000], data[1000:]))
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert parse(await handler.raw(head + chunks + b"0\r\n\r\n")).body == data
    big = await handler.get("/big")
    assert (len(big.body), set(big.body)) == (64 << 20, set(b"b"))
    assert (await handler.get("/echo", method="HEAD")).body == b""


async def test_output_is_streamed_while_the_handler_waits_for_more(box: Box) -> None:
    handler = await serve(box)
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port)
        writer.write(b"POST /ticks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"first\n\r\n")).startswith(b"HTTP/1.1 200")
        for letter in (b"a", b"b"):
            writer.write(b"1\r\n" + letter + b"\r\n")
            assert (await reader.readuntil(b"\n\r\n")).endswith(b"tick " + letter + b"\n\r\n")
        writer.write(b"0\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        writer.close()


async def test_connections_are_kept_and_requests_may_follow_at_once(box: Box) -> None:
    await requests_may_follow_at_once(await serve(box), HELLO, b"3\n")


async def test_a_client_that_expects_to_be_asked_is_asked_only_if_its_body_is_wanted(box: Box) -> None:
    handler = await serve(box)
    head = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", handler.port)
        writer.write(head.format("/count").encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert parse(await reader.read()).body == b"3\n"
        writer.close()
    assert (await handler.raw(head.format("/").encode())).startswith(b"HTTP/1.1 200")


BAD_HANDLERS = [
    ("/trap", 502, "wasm trap: wasm `unreachable` instruction executed"),
    ("/silent", 502, "wrote no CGI header"),
    ("/no-header", 502, "wrote no CGI header that ends"),
    ("/nul", 502, "control character"),
    ("/newline", 502, "control character"),
    ("/fold", 502, "is no field"),
    ("/many", 502, "no CGI answer"),
    ("/endless-header", 502, "no empty line ends the header"),
    ("/bad-status", 502, "its Status is 'yes'"),
    ("/short", 502, "has 5 bytes of 100"),
    ("/long", 200, "longer than its Content-Length of 5"),
    ("/spin", 504, "it took over"),
    ("/sleep", 504, "it took over"),
]


async def test_bad_handlers_are_told_of_with_their_requests_and_the_next_one_is_served(box: Box) -> None:
    await faults_are_told(await serve(box, labels={"dev.wherry.http.deadline": "400ms"}), BAD_HANDLERS, HELLO)


GOOD_HANDLERS = [
    ("/status", 418, b"short and stout\n"),
    ("/location", 302, b""),
    ("/no-content", 204, b""),
    ("/exit", 200, b"left with 3\n"),
    ("/stderr", 200, b"ok\n"),
    ("/leak", 200, b"leaked\n"),
    ("/bye", 200, b"Goodbye!\n"),
    ("/deep/status", 418, b"short and stout\n"),
]


async def test_answers_that_are_good(box: Box) -> None:
    await answers_are(await serve(box), GOOD_HANDLERS)


@pytest.mark.parametrize(("path", "log"), [("/late-trap", "unreachable"), ("/late-spin", "cut short")])
async def test_an_answer_that_has_begun_is_cut_short_and_never_looks_whole(box: Box, path: str, log: str) -> None:
    await an_answer_is_cut_short(await serve(box, labels={"dev.wherry.http.deadline": "400ms"}), path, log)


async def test_bad_requests_are_refused_and_logged_and_nothing_of_them_reaches_a_handler(box: Box) -> None:
    await bad_requests_are_refused(await serve(box, labels={"dev.wherry.http.body": "64k"}), "/env")


async def test_clients_that_end_early_leave_nothing(box: Box) -> None:
    await early_ends_leave_nothing(await serve(box), "/big", "/leak")


async def test_no_more_are_served_at_once_than_is_said_and_stalled_clients_hold_up_nobody_else(box: Box) -> None:
    handler = await serve(box, labels={"dev.wherry.http.concurrency": "2", "dev.wherry.http.deadline": "1500ms"})
    pid = (await handler.task.state()).pid
    stalled = b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"
    async with asyncio.timeout(DEADLINE):
        first = await asyncio.open_connection("127.0.0.1", handler.port)
        first[1].write(stalled)
        assert (await handler.get("/")).status == 200
        second = await asyncio.open_connection("127.0.0.1", handler.port)
        second[1].write(stalled)
        assert (await first[0].read()).startswith(b"HTTP/1.1 504")
        assert (await second[0].read()).startswith(b"HTTP/1.1 504")
        assert len(workers(pid)) <= 2
        assert (await handler.get("/")).status == 200
        first[1].close()
        second[1].close()


async def test_on_sigterm_what_was_begun_is_finished(box: Box) -> None:
    await what_was_begun_is_finished(await serve(box), b"6\n")


async def test_a_modules_toml_has_routes_modules_folders_and_files(box: Box) -> None:
    lower = box.folder / "lower"
    shutil.copy(lower / "guest.wasm", lower / "second.wasm")
    (lower / "www/sub").mkdir(parents=True)
    (lower / "www/index.html").write_text("<h1>index</h1>")
    (lower / "www/a b.txt").write_text("file")
    (lower / "secret").write_text("secret")
    (lower / "www/out").symlink_to("/secret")
    os.mkfifo(lower / "www/fifo")
    (lower / "modules.toml").write_text(
        """
        [[module]]
        route = "/one/..."
        module = "/guest.wasm"
        environment = { WHO = "one" }
        [[module]]
        route = "/bye"
        module = "file:///second.wasm"
        entrypoint = "goodbye"
        volumes = { "/data" = "/www" }
        [[module]]
        route = "/static/..."
        files = "/www"
        """
    )
    handler = await serve(box, process={"args": ["/modules.toml"]})
    one = (await handler.get("/one/env")).body.decode().splitlines()
    assert {"WHO=one", "SCRIPT_NAME=/one", "X_MATCHED_ROUTE=/one/..."} <= set(one)
    assert (await handler.get("/one/bye")).body == b"Goodbye!\n"
    assert (await handler.get("/bye")).body == b"Goodbye!\n"
    assert (await handler.get("/nowhere")).status == 404
    index = await handler.get("/static/")
    assert (index.body, index.header["content-type"]) == (b"<h1>index</h1>", "text/html; charset=utf-8")
    assert (await handler.get("/static/a%20b.txt")).body == b"file"
    assert (await handler.get("/static/a%20b.txt", method="HEAD")).header["content-length"] == "4"
    for path in ("../secret", "%2e%2e/secret", "out", "fifo", "sub", "none", "%00"):
        assert (await handler.get(f"/static/{path}")).status == 404, path
    assert (await handler.get("/static/a%20b.txt", method="POST")).status == 405


BAD_TOML = [
    ("not toml", "is no TOML"),
    ("a = " + "[" * 5000, "is no TOML"),
    ("", r"has no \[\[module\]\]"),
    ("[[module]]\nroute = '/x'\nmodule = '/none.wasm'", "none.wasm"),
    ("[[module]]\nroute = 'x'\nmodule = '/guest.wasm'", "the route 'x'"),
    ("[[module]]\nroute = '/x'\nmodule = 'oci:foo/bar'", "is no path"),
    ("[[module]]\nroute = '/x'\nmodule = '/guest.wasm'\nentrypoint = 'absent'", "no absent export"),
    ("[[module]]\nroute = '/x'\nmodule = '/guest.wasm'\nvolumes = { '/v' = '/none' }", "no folder /none"),
    ("[[module]]\nroute = '/x'\nmodule = '/guest.wasm'\nhosts = 1", "'hosts'"),
    ("[[module]]\nroute = '/x/...'\nfiles = '/'", "names no module"),
    ("#" * 70_000, "over 65536 bytes"),
]


async def test_a_modules_toml_that_makes_no_sense_is_refused_before_start(box: Box) -> None:
    for text, says in BAD_TOML:
        (box.folder / "lower/modules.toml").write_text(text)
        with pytest.raises(WherryError, match=says):
            await serve(box, process={"args": ["/modules.toml"]})


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"dev.wherry.http": "cgi"}, "wagi or proxy is what there is"),
        ({"dev.wherry.http.hosts": "a b/c"}, "dev.wherry.http.hosts"),
        ({"dev.wherry.http.port": "0"}, "dev.wherry.http.port"),
        ({"dev.wherry.cap-drop": "listen"}, "needs listen"),
    ],
)
async def test_labels_that_make_no_sense_are_refused(box: Box, labels: dict[str, str], says: str) -> None:
    with pytest.raises(WherryError, match=says):
        await serve(box, labels=labels)


async def test_a_port_that_is_taken_is_named(box: Box) -> None:
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "0.0.0.0", free_port())
    port = taken.sockets[0].getsockname()[1]
    with pytest.raises(WherryError, match=f"port {port}/tcp"):
        await serve(box, labels={"dev.wherry.http.port": str(port)})
    taken.close()
    await taken.wait_closed()
