"""The database and the lock on a root: transactions, threads, schema versions, damage, kills."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.core.metadata import checkpoint
from wherry.core.metadata.database import Database
from wherry.core.metadata.lock import RootLock
from wherry.core.metadata.transactions import Taken, promptly
from wherry.errors import (
    Conflict,
    DataLoss,
    FailedPrecondition,
    Internal,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

SCHEMA = ("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) STRICT",)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "wherry.db")


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    database = Database(path)
    database.migrate("t", SCHEMA)
    yield database
    database.close()


def put(database: Database, key: str, value: int) -> None:
    with database.write() as connection:
        connection.execute("REPLACE INTO t VALUES (?, ?)", (key, value))


def everything(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return dict(connection.execute("SELECT k, v FROM t").fetchall())


def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    put(database, "a", 1)

    def fail() -> None:
        with database.write() as connection:
            connection.execute("DELETE FROM t")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert everything(database) == {"a": 1}


def test_nested_transactions_are_part_of_the_outer(database: Database) -> None:
    with database.write():
        put(database, "outer", 1)
        with database.write():
            put(database, "inner", 1)
            assert everything(database) == {"outer": 1, "inner": 1}
    assert everything(database) == {"outer": 1, "inner": 1}


@pytest.mark.parametrize("caught", [False, True])
def test_a_nested_transaction_that_wrote_and_failed_undoes_the_outer(database: Database, caught: bool) -> None:
    def fail() -> None:
        with database.write():
            put(database, "outer", 1)
            with contextlib.suppress(KeyError if caught else ()), database.write():
                put(database, "inner", 1)
                raise KeyError

    with pytest.raises(Internal if caught else KeyError):
        fail()
    assert everything(database) == {}


def test_a_nested_transaction_that_failed_and_wrote_nothing_undoes_nothing(database: Database) -> None:
    with database.write():
        put(database, "outer", 1)
        with contextlib.suppress(KeyError), database.write():
            raise KeyError
    assert everything(database) == {"outer": 1}


def test_endings_run_once_by_how_the_outermost_ended(database: Database) -> None:
    calls: list[str] = []

    def work(fail: bool) -> None:
        with database.write():
            with database.write():
                database.on_end("k", lambda: calls.append("replaced"), lambda: calls.append("replaced"))
            database.on_end("k", lambda: calls.append("done"), lambda: calls.append("undone"))
            assert calls in ([], ["done"])
            if fail:
                raise KeyError

    work(fail=False)
    with pytest.raises(KeyError):
        work(fail=True)
    put(database, "a", 1)
    assert calls == ["done", "undone"]


def test_readers_see_one_state_while_a_writer_writes(database: Database) -> None:
    put(database, "a", 1)
    wrote, looked = threading.Event(), threading.Event()
    seen: list[int] = []

    def reader() -> None:
        with database.read() as connection:
            seen.append(connection.execute("SELECT v FROM t").fetchone()[0])
            looked.set()
            wrote.wait(10)
            seen.append(connection.execute("SELECT v FROM t").fetchone()[0])

    thread = threading.Thread(target=reader)
    thread.start()
    assert looked.wait(10)
    put(database, "a", 2)
    wrote.set()
    thread.join(10)
    assert seen == [1, 1]
    assert everything(database) == {"a": 2}


def test_many_threads_write(database: Database) -> None:
    def work(number: int) -> None:
        for turn in range(25):
            put(database, f"{number}.{turn}", turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(everything(database)) == 150


def test_schemas_grow_by_steps(path: str) -> None:
    steps = (*SCHEMA, "ALTER TABLE t ADD COLUMN w TEXT; CREATE INDEX i ON t (w)")
    old = Database(path)
    old.migrate("t", steps[:1])
    put(old, "a", 1)
    old.close()
    new = Database(path)
    for _ in range(2):
        new.migrate("t", steps)
    with new.read() as connection:
        assert connection.execute("SELECT k, v, w FROM t").fetchall() == [("a", 1, None)]
    new.close()
    again = Database(path)
    with pytest.raises(FailedPrecondition, match="newer wherry"):
        again.migrate("t", steps[:1])
    again.close()


def test_a_step_that_fails_leaves_the_version_before(path: str) -> None:
    database = Database(path)
    with pytest.raises(Exception, match="nonsense"):
        database.migrate("t", (*SCHEMA, "nonsense"))
    database.migrate("t", SCHEMA)
    put(database, "a", 1)
    assert everything(database) == {"a": 1}
    database.close()


def test_what_is_no_database_is_data_loss(path: str) -> None:
    Path(path).write_bytes(b"this was a database once " * 100)
    with pytest.raises(DataLoss, match="not a database") as caught:
        Database(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_corrupt_page_is_data_loss(path: str) -> None:
    database = Database(path)
    database.migrate("t", SCHEMA)
    for number in range(500):
        put(database, f"{number:0100}", number)
    database.close()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.path.getsize(path) - 4096))
    database = Database(path)
    with pytest.raises(DataLoss, match="corrupt"):
        everything(database)
    database.close()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(PermissionDenied, match="cannot be opened"):
        Database(str(tmp_path / "no" / "such" / "folder"))


def test_a_closed_database_says_so(path: str) -> None:
    database = Database(path)
    database.close()
    database.close()
    with pytest.raises(Unavailable, match="closed"), database.read():
        pass
    with pytest.raises(Unavailable, match="closed"), database.write():
        pass


def test_sync_after_writes(database: Database, path: str) -> None:
    put(database, "a", 1)
    database.sync()
    other = sqlite3.connect(path)
    assert other.execute("SELECT v FROM t").fetchone() == (1,)
    other.close()


KILLED = """
import sys
from wherry.core.metadata import checkpoint
from wherry.core.metadata.database import Database
from wherry.core.metadata.transactions import Taken, promptly
database = Database(sys.argv[1])
database.migrate("t", ("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER) STRICT",))
for number in range(10**9):
    with database.write() as connection:
        connection.execute("INSERT INTO t VALUES (?, ?)", (f"a{number}", number))
        connection.execute("INSERT INTO t VALUES (?, ?)", (f"b{number}", number))
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_committed(path: str) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True, env=environ
    ) as child:
        assert child.stdout is not None
        last = [child.stdout.readline() for _ in range(50)][-1]
        child.send_signal(signal.SIGKILL)
        last = (child.stdout.read().split("\n")[:-1] or [last])[-1]
    database = Database(path)
    found = everything(database)
    assert len(found) % 2 == 0
    assert len(found) >= 2 * (int(last) + 1)
    database.close()


def test_only_one_engine_has_a_root(tmp_path: Path) -> None:
    message = rf"another wherryd \(pid {os.getpid()}\) is using {tmp_path}"
    with RootLock(str(tmp_path)), pytest.raises(Conflict, match=message):
        RootLock(str(tmp_path))
    with RootLock(str(tmp_path)):
        pass


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom wherry.core.metadata.lock import RootLock\nlock = RootLock(sys.argv[1])\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"pid {child.pid}"):
            RootLock(str(tmp_path))
        child.kill()
        child.wait()
        RootLock(str(tmp_path)).close()


async def test_a_little_is_written_at_once_and_else_in_a_thread(database: Database) -> None:
    def work() -> int:
        put(database, "a", 1)
        put(database, "b", 2)
        return threading.get_ident()

    assert await promptly(database, work) == threading.get_ident()
    assert everything(database) == {"a": 1, "b": 2}
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            begun.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(10)
    with pytest.raises(Taken):
        database.at_once(work)
    done.set()
    holder.join()
    assert database.at_once(work) == threading.get_ident()


def test_what_raises_at_once_writes_nothing(database: Database) -> None:
    def work() -> None:
        put(database, "a", 1)
        raise ValueError

    with pytest.raises(ValueError):
        database.at_once(work)
    assert everything(database) == {}


async def test_another_process_that_writes_is_waited_for_only_in_a_thread(database: Database, path: str) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    before = time.monotonic()
    with pytest.raises(Taken):
        database.at_once(lambda: put(database, "a", 1))
    assert time.monotonic() - before < 1
    ender = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
    ender.start()
    await promptly(database, lambda: put(database, "a", 1))
    ender.join()
    other.close()
    assert everything(database) == {"a": 1}


def test_the_log_is_brought_in_by_a_thread_and_begun_anew(
    database: Database, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_EVERY", 20)
    taken = 0
    for number in range(600):
        try:
            database.at_once(lambda number=number: put(database, str(number % 7), number))
        except Taken:
            taken += 1
            put(database, str(number % 7), number)
    assert taken < 600
    database.close()
    again = Database(path)
    assert everything(again) == {str(number % 7): number for number in range(593, 600)}
    again.close()


def test_the_log_does_not_grow_without_end(database: Database, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_EVERY", 20)
    for number in range(40):
        for _ in range(25):
            put(database, "a", number)
        database._checkpoints.close()  # as if commits came slowly
    assert os.stat(path + "-wal").st_size < 40 * 25 * 4096 / 4


def test_the_log_does_not_grow_by_few_commits_of_much(
    database: Database, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_LARGEST", 1 << 20)
    for number in range(20):
        with database.write() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS large (text TEXT)")
            connection.execute("DELETE FROM large")
            connection.execute("INSERT INTO large VALUES (?)", (str(number) * (600 << 10),))
        database._checkpoints.close()  # as if commits came slowly
    assert os.stat(path + "-wal").st_size <= checkpoint.KEPT


def test_a_checkpoint_that_finds_the_disk_full_is_only_told_of(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> sqlite3.Connection:
        raise ResourceExhausted("the disk is full")

    monkeypatch.setattr(checkpoint, "_EVERY", 2)
    monkeypatch.setattr(database, "_open", full)
    put(database, "a", 1)
    database._checkpoints.close()
    monkeypatch.undo()
    assert "the disk is full" in caplog.text
    assert everything(database) == {"a": 1}
