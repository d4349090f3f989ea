"""The arithmetic of the benchmarks: medians, bounds, the order of rounds. The figures themselves are no test."""

import itertools
import json
import mmap
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import proc, weight
from benchmarks.figures import Bound, Row, Samples, interleaved, turns
from benchmarks.report import write_json


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=300))
def test_nine_of_ten_rounds_stay_below_p90(taken: list[int]) -> None:
    samples = Samples(list(taken))
    assert sum(sample <= samples.p90() for sample in taken) * 10 >= len(taken) * 9
    assert samples.p90() in taken
    assert min(taken) <= samples.median() <= max(taken)


def test_a_row_has_its_unit() -> None:
    row = Samples([1_000_000, 3_000_000, 2_000_000]).row("api", "x", "ms", Bound(2.0))
    assert (row.value, row.p90, row.rounds, row.verdict) == (2.0, 3.0, 3, "ok")


def test_no_round_is_no_figure() -> None:
    row = Samples().row("api", "x", "ms", Bound(2.0), note="no dockerd here")
    assert (row.value, row.verdict, row.note) == (None, "not measured", "no dockerd here")


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound(5.0), 5.0, "ok"),
        (Bound(5.0), 5.1, "MISSED"),
        (Bound(50.0, at_least=True), 50.0, "ok"),
        (Bound(50.0, at_least=True), 49.9, "MISSED"),
        (None, 1.0, "-"),
    ],
)
def test_a_bound_is_kept_or_missed(bound: Bound | None, value: float, verdict: str) -> None:
    assert Row("p", "w", "ms", value, bound=bound).verdict == verdict


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), min_size=1))
def test_each_round_is_run_once_and_in_order(rounds: dict[str, int]) -> None:
    order = list(interleaved(rounds))
    assert len(order) == sum(rounds.values())
    for name, count in rounds.items():
        assert [number for found, number in order if found == name] == list(range(count))


def test_parts_are_spread_over_the_whole_run() -> None:
    order = [name for name, _ in interleaved({"many": 100, "few": 4})]
    positions = [position for position, name in enumerate(order) if name == "few"]
    assert all(20 <= later - earlier <= 30 for earlier, later in itertools.pairwise(positions))


def test_contenders_take_turns() -> None:
    assert [list(turns(("a", "b"), number)) for number in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_a_run_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "results" / "run.json"
    rows = [Row("p", "w", "ms", 1.0, bound=Bound(2.0)), Row("p", "v", "x", None, note="none")]
    write_json(rows, str(path), datetime(2026, 1, 2, tzinfo=UTC))
    document = json.loads(path.read_text())
    assert document["time"] == "2026-01-02T00:00:00+00:00"
    assert [row["verdict"] for row in document["rows"]] == ["ok", "not measured"]
    assert [entry.name for entry in path.parent.iterdir()] == ["run.json"]


_MAPS = "import sys,mmap;f=open(sys.argv[1]);m=mmap.mmap(f.fileno(),0,prot=1);m[:];print(flush=True);sys.stdin.read()"


def test_strangers_do_not_lighten_what_is_weighed(tmp_path: Path) -> None:
    """A file of 8 MB, mapped by this process and by two others: each counts only if it is named."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * (8 << 20))
    command = [sys.executable, "-I", "-c", _MAPS, str(file)]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == file.read_bytes()
            for other in others:
                assert other.stdout is not None
                assert other.stdout.readline() == b"\n"
            pids = [os.getpid(), *(other.pid for other in others)]
            alone, beside_one = weight.together(pids[:1]), weight.together(pids[:1], pids[1:2])
            assert alone > proc.pss(pids[0]) + (5 << 20)
            assert alone - beside_one >= 4 << 20  # and the interpreter's own code
            assert sum(weight.together([pid]) for pid in pids) - weight.together(pids) >= 16 << 20
    finally:
        for other in others:
            other.communicate()
