"""The folder of short-lived state: gone after a clean stop, swept when its engine is surely dead, else left alone."""

import json
import os
import socket
import stat
import time
from ipaddress import IPv4Interface

import pytest

from wherry.daemon import state
from wherry.errors import PermissionDenied
from wherry.linux import links, netns

UID = os.geteuid()
LATER = time.time() + 3600


def bound(path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def left(run, tmp_path):
    """What an engine leaves that was killed, with no container."""
    root = tmp_path / "root"
    root.mkdir()
    path = run / "0123456789ab"
    state.make(str(path), str(root), UID)
    (path / "tasks").mkdir()
    (path / "io" / "c").mkdir(parents=True)
    os.mkfifo(path / "io" / "c" / "stdout")
    bound(path / "events.ttrpc").close()
    return path


def container(left, **record):
    (left / "tasks" / "c").mkdir()
    (left / "tasks" / "c" / "task.json").write_text(json.dumps(record))


def test_it_goes_when_nothing_is_in_it(run, tmp_path):
    path = run / "0123456789ab"
    state.make(str(path), str(tmp_path), UID)
    state.make(str(path), str(tmp_path), UID)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path / "tasks" / "c").mkdir(parents=True)
    (path / "io").mkdir()
    (path / "tasks" / "c" / "config.json").write_text("{}")
    bound(path / "events.ttrpc").close()
    state.remove(str(path))
    kept = sorted(found.name for found in path.rglob("*"))
    assert kept == ["c", "config.json", "events.ttrpc", "root", "tasks"]
    (path / "tasks" / "c" / "config.json").unlink()
    state.remove(str(path))
    assert not path.exists()
    assert tmp_path.exists()
    state.remove(str(path))


def test_what_the_dead_left_is_swept(run, left):
    (run / "shim").mkdir()
    state.sweep(str(run), LATER)
    assert sorted(run.iterdir()) == [run / "shim"]
    state.sweep(str(run / "nowhere"), LATER)


def test_bundles_of_tasks_that_are_no_more_keep_nothing(run, left):
    (left / "retired" / "one-7").mkdir(parents=True)
    (left / "retired" / "one-7" / "task.json").write_text("{}")
    (left / "retired" / "one-7" / "config.json").write_text("{}")
    (left / "spares" / "7").mkdir(parents=True)
    (left / "spares" / "7" / "stdout.kept").write_text("said last")
    state.sweep(str(run), LATER)
    assert not left.exists()


def test_one_that_starts_or_answers_is_left(run, left):
    state.sweep(str(run), time.time())
    assert left.exists()
    (left / "events.ttrpc").unlink()
    with bound(left / "events.ttrpc") as alive:
        alive.listen()
        state.sweep(str(run), LATER)
        assert (left / "io" / "c" / "stdout").exists()


def test_containers_wait_for_their_engine(run, left):
    container(left, address="")
    state.sweep(str(run), LATER)
    assert (left / "tasks" / "c" / "task.json").exists()


def test_without_a_root_nobody_comes_back(run, left, tmp_path):
    with bound(tmp_path / "shim.sock") as shim:
        shim.listen()
        container(left, address=f"unix://{tmp_path}/shim.sock")
        (tmp_path / "root").rmdir()
        state.sweep(str(run), LATER)
        assert (left / "tasks" / "c" / "task.json").exists()
    state.sweep(str(run), LATER)
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has namespaces that are pinned, and bridges")
def test_networks_of_an_engine_that_is_gone(run, left, tmp_path):
    container(left, address="")
    (left / "netns").mkdir()
    pin = left / "netns" / ("c" * 64)
    netns.make(str(pin))
    link = f"wt{os.getpid()}"
    (left / "leases" / link).mkdir(parents=True)
    (left / "leases" / "no device's name").mkdir()
    links.add_bridge(link, IPv4Interface("10.255.254.1/30"), b"\x02\x42" + bytes(4))
    try:
        state.sweep(str(run), LATER)
        assert pin.exists(), "its root is there: it may come back"
        assert links.exists(link)
        (tmp_path / "root").rmdir()
        state.sweep(str(run), LATER)
        assert not left.exists()
        assert not links.exists(link)
    finally:
        netns.remove(str(pin))
        links.remove_bridge(link)


@pytest.mark.parametrize("text", ["{", "[]", '{"address": "/nowhere"}'])
def test_a_record_that_says_nothing_is_no_reason_to_sweep(run, left, tmp_path, text):
    container(left)
    (left / "tasks" / "c" / "task.json").write_text(text)
    (tmp_path / "root").rmdir()
    state.sweep(str(run), LATER)
    assert left.exists() == (text == "{")


def test_another_users_folder_is_refused(run, tmp_path):
    run.mkdir()
    (run / "0123456789ab").mkdir()
    with pytest.raises(PermissionDenied):
        state.make(str(run / "0123456789ab"), str(tmp_path), UID + 1)
