"""Crowds at the API: one name wanted by fifty, ten thousand who say nothing, clients that vanish or stop halfway.

After each of them the engine has the descriptors that it had before, answers at once, and knows no container too many.
"""

import asyncio
import os
import resource
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.api import talk
from tests.integration.conftest import Daemon, Docker, until

_CLIENTS = 50
_IDLE = 10_000


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left(daemon: Daemon, docker: Docker, guest_image: str) -> Iterator[None]:
    docker("run", "--rm", "--network", "none", guest_image)
    docker("version")
    before = descriptors(daemon)
    yield
    left = docker("ps", "-aq", "--no-trunc").split()
    if left:
        docker("rm", "-f", *left)
    # A container made ahead for the next one goes by itself.
    until(lambda: descriptors(daemon) <= before + 4, f"descriptors are given back: {before} before")
    assert "Traceback" not in daemon.log


async def test_one_name_and_fifty_who_want_it(daemon: Daemon, docker: Docker) -> None:
    async def live(number: int) -> list[tuple[int, str]]:
        said = []
        for _ in range(4):
            said.append(await talk(daemon, "POST", "/containers/create?name=wanted", {"Image": "guest"}))
            said.append(await talk(daemon, "POST", f"/containers/wanted/rename?name=other{number % 5}"))
            said.append(await talk(daemon, "DELETE", f"/containers/other{number % 5}?force=1"))
        return said

    said = [one for many in await asyncio.gather(*map(live, range(_CLIENTS))) for one in many]
    counted = Counter(status for status, _ in said)
    assert set(counted) <= {201, 204, 400, 404, 409}, counted  # 400: it is called so already
    assert counted[201] > 0
    assert all(message and "\n" not in message for status, message in said if status >= 400)
    shown = docker("ps", "-a", "--format", "{{.Names}}").split()
    assert len(shown) == len(set(shown)) <= 6
    removed = await asyncio.gather(*(talk(daemon, "DELETE", f"/containers/{name}") for name in shown * 3))
    assert Counter(status for status, _ in removed)[204] == len(shown)
    assert not docker("ps", "-aq")


async def test_ten_thousand_who_say_nothing(daemon: Daemon, docker: Docker) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = []
    try:
        for _ in range(_IDLE):
            one = socket.socket(socket.AF_UNIX)
            crowd.append(one)
            one.connect(str(daemon.socket))
        until(lambda: descriptors(daemon) > _IDLE, "all are let in")
        assert docker("run", "--rm", "--network", "none", "guest") == "hello"
        assert (await talk(daemon, "GET", "/_ping"))[0] == 200
    finally:
        for one in crowd:
            one.close()


async def test_heads_that_drip(daemon: Daemon, docker: Docker) -> None:
    """Slow-loris: each gets nowhere, the others are served meanwhile. That each is cut in the end is a unit test's."""
    head = b"GET /containers/json HTTP/1.1\r\nHost: x\r\nX-Drip: " + b"y" * 40
    crowd = [await asyncio.open_unix_connection(str(daemon.socket)) for _ in range(500)]
    for at in range(len(head)):
        for _, writer in crowd:
            writer.write(head[at : at + 1])
        if at % 20 == 0:
            async with asyncio.timeout(5):
                assert (await talk(daemon, "GET", "/_ping"))[0] == 200
    assert docker("run", "--rm", "--network", "none", "guest") == "hello"
    for _, writer in crowd:
        writer.close()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /events",
        "GET /containers/talker/logs?stdout=1&follow=1",
        "GET /containers/talker/stats",
        "POST /containers/talker/wait",
        "POST /containers/talker/attach?stream=1&stdin=1&stdout=1",
        "GET /containers/talker/export",
        "GET /images/guest/get",
    ],
)
async def test_clients_that_vanish_in_the_middle(daemon: Daemon, docker: Docker, request_line: str) -> None:
    docker("run", "-d", "-i", "--name", "talker", "--network", "none", "guest", "tick")
    before = descriptors(daemon)
    for halfway in (False, True):
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for one in crowd:
            one.settimeout(20)
            one.connect(str(daemon.socket))
            upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if "attach" in request_line else ""
            one.sendall(f"{request_line} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode())
            assert one.recv(9) == b"HTTP/1.1 "
        for one in crowd:
            if halfway:
                one.shutdown(socket.SHUT_WR)
            one.close()
        until(lambda: descriptors(daemon) <= before + 2, f"{request_line}: descriptors are given back: {before}")
    assert docker("inspect", "talker", "--format", "{{.State.Status}}") == "running"


async def test_a_build_whose_client_vanishes(daemon: Daemon, docker: Docker) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(daemon.socket))
            one.sendall(b"POST /build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf")
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(daemon.socket))
            one.sendall(b"PUT /containers/nobody/archive?path=/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\nx")
    assert (await talk(daemon, "GET", "/_ping"))[0] == 200
    until(lambda: not list((daemon.root / "tmp").glob("*")), "what was half there is gone")


_ILLEGAL = ["-x", ".x", "_x", "a b", "a%2Fb", "%00", "%0a", "a*", "a'", "é", "a" * 300, "a:b", "a@b", "a\\b", "$(x)"]


@pytest.mark.parametrize("name", _ILLEGAL)
async def test_illegal_names(daemon: Daemon, name: str) -> None:
    asked = name.replace(" ", "%20").replace("é", "%C3%A9").replace("\\", "%5C")
    for path in (f"/containers/create?name={asked}",):
        status, message = await talk(daemon, "POST", path, {"Image": "guest"})
        assert status == 400, message
        assert message
        assert "\n" not in message


async def test_depth(daemon: Daemon) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    for path in ("/containers/create", "/networks/create", "/volumes/create", "/auth"):
        reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
        data = f'{{"Image":{deep}}}'.encode()
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(data), data))
        async with asyncio.timeout(30):
            assert b" 400 " in await reader.readline()
        writer.close()
    status, message = await talk(daemon, "GET", f"/containers/json?filters={'%5B' * 50_000}")
    assert (status, "invalid filters" in message or "too" in message.lower()) == (400, True), message
