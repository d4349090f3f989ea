"""The words of what modules are granted, and the functions they stand for."""

import pytest

from wherry.engine.spec.grants import split
from wherry.errors import InvalidArgument
from wherry.wasm import grants
from wherry.wasm.imports import HOST


def test_every_host_function_is_a_words_or_everybodys() -> None:
    always = set(grants.grouped(name for _, name in HOST)[""])
    assert {name for name in always if not name.startswith(("args_", "environ_", "fd_", "proc_"))} <= {
        "poll_oneoff",
        "sched_yield",
    }
    assert grants.grouped(["path_open", "fd_readdir"]) == {"files": ["path_open", "fd_readdir"]}
    outbound = ["sock_connect", "sock_send_to_v2", "sock_getaddrinfo", "sock_addr_resolve"]
    assert grants.grouped([*outbound, "thread-spawn"]) == {"network": outbound, "threads": ["thread-spawn"]}
    assert grants.grouped(["sock_send", "sock_accept_v2"]) == {"listen": ["sock_accept_v2", "sock_send"]}
    assert grants.grouped(["sock_open", "sock_connect"]) == {"network": ["sock_connect", "sock_open"]}


def test_what_is_done_to_any_socket_goes_with_the_last_of_both_words() -> None:
    assert not grants.matches(grants.refused(["network"]), "sock_send")
    assert not grants.matches(grants.refused(["listen"]), "sock_send")
    assert grants.matches(grants.refused(["listen", "network"]), "sock_send")
    assert grants.refused([]) == ()


def test_an_annotation_is_read_with_care() -> None:
    assert grants.parse(" random, files,,random") == ("files", "random")
    assert grants.parse("") == ()
    for wrong in ("wings", "files;random", "FILES", "\0", "x" * 10_000):
        with pytest.raises(InvalidArgument, match="unknown capability") as raised:
            grants.parse(wrong)
        assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("add", "drop", "dropped"),
    [
        (None, None, ()),
        ([], ["CAP_NETWORK,RANDOM"], ("random", "network")),
        (["random"], ["random", "files"], ("files",)),
        ([], ["ALL"], ()),
        (["files"], ["all"], ("clocks", "random", "network", "listen", "threads")),
        (["NET_ADMIN"], ["ALL", "NET_RAW"], ()),
    ],
)
def test_linuxs_words_and_modules_words_are_told_apart(
    add: list[str] | None, drop: list[str] | None, dropped: tuple[str, ...]
) -> None:
    found = split({"CapAdd": add, "CapDrop": drop})
    assert found.dropped == dropped
    assert not {"random", "files", "CAP_NETWORK", "RANDOM"} & {*found.add, *found.drop}
