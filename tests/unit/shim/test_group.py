"""Groups: who serves one is told apart from a process that merely has its number."""

import os
import socket
from pathlib import Path

import pytest

from wherry.errors import FailedPrecondition, InvalidArgument
from wherry.shim import command
from wherry.shim.group import Server, birth_of, open_group, sweep


def test_a_server_is_alive_only_with_its_own_birth(tmp_path: Path) -> None:
    group = open_group(str(tmp_path / "run"), "ns", "/run/x/y.sock")
    assert Path(group.folder).name == "ns@_run_x_y.sock"
    assert group.server() is None
    server = Server(os.getpid(), birth_of(os.getpid()), "unix:///tmp/none.sock")
    group.write(server)
    assert group.server() == server
    assert server.alive()
    assert not Server(os.getpid(), "1", "unix:///x").alive()
    group.remove(os.getpid() + 1)
    assert group.server() == server
    group.remove(os.getpid())
    assert group.server() is None


def test_what_a_killed_server_left_is_swept_away(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    dead, alive, young = (open_group(run, name, "") for name in ("dead", "alive", "young"))
    served = tmp_path / "dead.sock"
    served.touch()
    dead.write(Server(1 << 22, "7", f"unix://{served}"))
    alive.write(Server(os.getpid(), birth_of(os.getpid()), "unix:///tmp/none.sock"))
    young.expect("c1")  # told an address, or about to be
    sweep(run)
    assert sorted(os.listdir(run)) == ["alive@", "young@"]
    assert not served.exists()


def test_sockets_that_nobody_listens_on_are_swept_away(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.sock" for name in ("dead", "alive", "young")}
    listening = {name: socket.socket(socket.AF_UNIX) for name in paths}
    for name, path in paths.items():
        listening[name].bind(str(path))
        listening[name].listen()
        if name != "young":
            os.utime(path, (1, 1))
    listening["dead"].close()
    listening["young"].close()
    sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["alive.sock", "young.sock"]
    listening["alive"].close()


def test_half_an_entry_is_none(tmp_path: Path) -> None:
    group = open_group(str(tmp_path / "run"), "ns", "")
    for text in ("", "x\n", "12", "1 2 3\nunix\n"):
        Path(group.folder, "group").write_text(text)
        server = group.server()
        assert server is None or not server.alive()


def test_expected_containers_are_remembered_for_a_while(tmp_path: Path) -> None:
    group = open_group(str(tmp_path / "run"), "ns", "")
    assert not group.expecting()
    group.expect("c1")
    assert group.expecting()
    os.utime(f"{group.folder}/pending/c1", (1, 1))
    assert not group.expecting()
    group.expect("c2")
    group.arrived("c2")
    group.arrived("c2")
    assert not group.expecting()


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 12345, 12345)
    with pytest.raises(FailedPrecondition, match="another user"):
        open_group(str(run), "ns", "")
    with pytest.raises(FailedPrecondition, match="no name for a folder"):
        open_group(str(tmp_path), "../ns", "")


def test_words_are_read_as_go_writes_them() -> None:
    words = command.parse(["-namespace", "default", "--address=/run/c.sock", "-debug", "-id", "c1", "start"])
    assert (words.action, words["namespace"], words["address"], words["id"]) == (
        "start",
        "default",
        "/run/c.sock",
        "c1",
    )
    assert command.parse([]).action == ""
    with pytest.raises(InvalidArgument, match="flag needs an argument: -id"):
        command.parse(["-id"])


def test_a_server_too_busy_to_accept_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(0)
        waiting = []
        while True:
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            waiting.append(caller)
            try:
                caller.connect(str(path))
            except BlockingIOError:
                break
        os.utime(path, (0, 0))
        sweep(str(tmp_path))
        assert path.exists()
        for caller in waiting:
            caller.close()
