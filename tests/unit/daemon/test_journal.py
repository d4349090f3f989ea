"""Log lines for systemd's journal."""

import logging
import os
from pathlib import Path

import pytest

from wherry.daemon.journal import JournalFormatter, is_journal


@pytest.mark.parametrize(("level", "priority"), [(10, 7), (20, 6), (30, 4), (40, 3), (50, 2), (35, 4)])
def test_each_line_has_its_priority(level: int, priority: int) -> None:
    record = logging.LogRecord("wherryd", level, "f", 1, "went %s\nand on", ("well",), None)
    assert JournalFormatter().format(record) == f"<{priority}>wherryd: went well\n<{priority}>and on"


def test_a_traceback_is_of_its_lines_priority() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        found = (type(error), error, error.__traceback__)
    record = logging.LogRecord("wherryd", 40, "f", 1, "failed", (), found)
    lines = JournalFormatter().format(record).splitlines()
    assert lines[0] == "<3>wherryd: failed"
    assert all(line.startswith("<3>") for line in lines)


def test_only_the_stream_that_was_told_of_is_the_journal(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        found = os.fstat(file.fileno())
        told = f"{found.st_dev}:{found.st_ino}"
        assert is_journal({"JOURNAL_STREAM": told}, file.fileno())
        for other in (f"{found.st_dev}:{found.st_ino + 1}", "", "8:", "nonsense"):
            assert not is_journal({"JOURNAL_STREAM": other}, file.fileno())
        assert not is_journal({}, file.fileno())
        number = file.fileno()
    assert not is_journal({"JOURNAL_STREAM": told}, number)
