"""Cgroups: reading where they are, and limits written where their controllers are."""

import contextlib
import os
import uuid
from pathlib import Path

import pytest

from wherry.linux import cgroups

HYBRID = """\
30 29 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw
31 29 0:27 / /sys/fs/cgroup/memory rw shared:6 - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct
33 29 0:29 / /sys/fs/cgroup/systemd rw shared:8 - cgroup cgroup rw,xattr,name=systemd
nonsense
"""


def test_hybrid_machines_are_read_as_they_are() -> None:
    found = cgroups.find(HYBRID.splitlines())
    assert found.unified == "/sys/fs/cgroup/unified"
    assert dict(found.v1) == {"memory": "/sys/fs/cgroup/memory", "cpu": "/sys/fs/cgroup/cpu,cpuacct"}


def tree(tmp_path: Path, unified: bool) -> cgroups.Hierarchies:
    """Folders with the files a kernel would make, for one kind of machine."""
    for name in ("unified", "memory", "cpu", "pids"):
        (tmp_path / name).mkdir()
    controllers = frozenset(("memory", "cpu", "pids")) if unified else frozenset[str]()
    (tmp_path / "unified/cgroup.subtree_control").touch()
    v1 = {} if unified else {name: str(tmp_path / name) for name in ("memory", "cpu", "pids")}
    return cgroups.Hierarchies(str(tmp_path / "unified"), controllers, v1)


def test_version_two_takes_every_limit(tmp_path: Path) -> None:
    found = tree(tmp_path, unified=True)
    folder = tmp_path / "unified/c1"
    folder.mkdir()
    for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight"):
        (folder / name).touch()
    limits = cgroups.Limits(memory=1 << 20, quota=50_000, shares=1024, pids=7)
    made = cgroups.create(found, "c1", limits)
    assert made.folders == {"": str(folder)}
    assert not made.missing
    told = {path.name: path.read_text() for path in folder.iterdir()}
    assert told == {
        "memory.max": "1048576",
        "memory.swap.max": "0",
        "pids.max": "7",
        "cpu.max": "50000 100000",
        "cpu.weight": "39",
    }


def test_version_one_is_joined_only_for_a_limit(tmp_path: Path) -> None:
    found = tree(tmp_path, unified=False)
    assert cgroups.create(found, "/w/c1", cgroups.Limits()).folders == {"": f"{tmp_path}/unified/w/c1"}
    made = cgroups.create(found, "/w/c2", cgroups.Limits(memory=4096))
    assert sorted(made.folders) == ["", "memory"]
    assert made.join_files() == [f"{tmp_path}/memory/w/c2/cgroup.procs"]


def test_a_missing_controller_is_told(tmp_path: Path) -> None:
    found = cgroups.Hierarchies("", frozenset(), {})
    assert cgroups.create(found, "c1", cgroups.Limits(pids=3)).missing == {"pids"}


def test_paths_cannot_climb(tmp_path: Path) -> None:
    found = tree(tmp_path, unified=True)
    made = cgroups.create(found, "../../../../escape", cgroups.Limits())
    assert made.unified == f"{tmp_path}/unified/escape"


def test_this_machine_takes_a_memory_limit_and_lets_go() -> None:
    found = cgroups.discover()
    made = cgroups.create(found, f"wherry-test/{uuid.uuid4().hex}", cgroups.Limits(memory=64 << 20))
    try:
        assert not made.missing
        limits = [f"{folder}/{name}" for folder in made.folders.values()
                  for name in ("memory.max", "memory.limit_in_bytes")]  # fmt: skip
        assert [Path(path).read_text().strip() for path in limits if os.path.exists(path)] == [str(64 << 20)]
        assert made.oom_kills() == 0
        assert made.pids() == []
    finally:
        assert made.remove()
        for top in (found.unified, *found.v1.values()):
            with contextlib.suppress(OSError):
                os.rmdir(f"{top}/wherry-test")


def test_a_limit_that_is_taken_away_is_written_as_none(tmp_path: Path) -> None:
    found = tree(tmp_path, unified=True)
    folder = tmp_path / "unified/c1"
    folder.mkdir()
    for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max"):
        (folder / name).touch()
    cgroups.create(found, "c1", cgroups.Limits(memory=-1, quota=-1, pids=-1))
    told = {path.name: path.read_text() for path in folder.iterdir()}
    assert told == {"memory.max": "max", "memory.swap.max": "0", "pids.max": "max", "cpu.max": "max 100000"}


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [("100", 50, "memory.limit_in_bytes"), ("100", 200, "memory.memsw.limit_in_bytes"),
     ("100", -1, "memory.memsw.limit_in_bytes"), ("9223372036854771712", 100, "memory.limit_in_bytes")],
)  # fmt: skip
def test_memory_is_never_more_than_memory_and_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: int, first: str
) -> None:
    """Nor while the one is written and the other is not: the kernel refuses that in version 1."""
    folder = tmp_path / "memory/c1"
    folder.mkdir(parents=True)
    for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (folder / name).write_text(before)
    written: list[str] = []
    monkeypatch.setattr(cgroups, "_write", lambda path, value: written.append(f"{os.path.basename(path)}={value}"))
    cgroups.Cgroup({"memory": str(folder)}).set_limits(cgroups.Limits(memory=after))
    assert written[0].partition("=")[0] == first
    assert sorted(written) == [f"memory.limit_in_bytes={after}", f"memory.memsw.limit_in_bytes={after}"]


def test_a_change_leaves_the_rest_as_it_is() -> None:
    had = cgroups.Limits(memory=5, quota=6, period=7, pids=8)
    assert had.changed_by(cgroups.Limits(pids=-1)) == cgroups.Limits(memory=5, quota=6, period=100_000, pids=-1)


def test_figures_of_either_version(tmp_path: Path) -> None:
    unified, cpu, memory = (tmp_path / name for name in ("u", "cpu", "memory"))
    for folder in (unified, cpu, memory):
        folder.mkdir()
    (unified / "cpu.stat").write_text("usage_usec 7\nnr_periods 5\nnr_throttled 2\nthrottled_usec 3\n")
    (unified / "memory.peak").write_text("90\n")
    (unified / "memory.events").write_text("low 0\nmax 4\noom_kill 1\n")
    (cpu / "cpu.stat").write_text("nr_periods 50\nnr_throttled 20\nthrottled_time 30\n")
    (memory / "memory.max_usage_in_bytes").write_text("80\n")
    (memory / "memory.failcnt").write_text("6\n")
    two = cgroups.Cgroup({"": str(unified)})
    assert (two.throttling(), two.memory_peak(), two.memory_failures()) == ((5, 2, 3000), 90, 4)
    one = cgroups.Cgroup({"": str(unified), "cpu": str(cpu), "memory": str(memory)})
    assert (one.throttling(), one.memory_peak(), one.memory_failures()) == ((50, 20, 30), 80, 6)
    none = cgroups.Cgroup({})
    assert (none.throttling(), none.memory_peak(), none.memory_failures()) == ((0, 0, 0), 0, 0)
