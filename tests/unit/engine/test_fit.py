"""Limits that a machine cannot give, on made-up machines."""

from pathlib import Path

import pytest

from wherry.engine.containers import fit
from wherry.engine.containers.hostconfig import RESOURCES
from wherry.errors import InvalidArgument

NOTHING = {name: default for name, (_, default) in RESOURCES.items()}


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Cgroups of version 1 with four processors and one memory node, weights by bfq, no real-time scheduler."""
    for name, text in {"cpuset/cpuset.effective_cpus": "0-2,4\n", "cpuset/cpuset.effective_mems": "0\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "blkio").mkdir()
    (tmp_path / "blkio/blkio.bfq.weight").touch()
    return str(tmp_path)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"CpusetCpus": "3"}, "Requested CPUs are not available - requested 3, available: 0-2,4"),
        ({"CpusetCpus": "0-4"}, "Requested CPUs"),
        ({"CpusetMems": "0,1"}, "Requested memory nodes are not available - requested 0,1, available: 0"),
        ({"CpusetCpus": "1-"}, "Invalid value 1- for cpuset"),
        ({"CpusetCpus": "0-9999999999999999"}, "Invalid value"),
        ({"CpusetCpus": "0-4294967295"}, "Invalid value"),
        ({"NanoCpus": 1}, r"range of CPUs is from 0.01 to [0-9]+\.00, as there are only [0-9]+ CPUs available"),
        ({"NanoCpus": 1 << 62}, "range of CPUs"),
        ({"CpuRealtimeRuntime": 1}, "kernel does not support CPU real-time scheduler"),
    ],
)
def test_it_is_refused(root: str, limits: dict, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        fit.check({**NOTHING, **limits}, root)


def test_what_is_there_may_be_had(root: str, tmp_path: Path) -> None:
    fit.check({**NOTHING, "CpusetCpus": "0-2,4", "CpusetMems": "0", "NanoCpus": 10_000_000}, root)
    fit.check({**NOTHING, "CpusetCpus": "9"}, str(tmp_path / "without"))  # the runtime tells
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.rt_runtime_us").touch()
    fit.check({**NOTHING, "CpuRealtimeRuntime": 5, "CpuRealtimePeriod": 5}, root)
    with pytest.raises(InvalidArgument, match="cannot be higher"):
        fit.check({**NOTHING, "CpuRealtimeRuntime": 6, "CpuRealtimePeriod": 5}, root)


def test_what_is_discarded_is_told(root: str, tmp_path: Path) -> None:
    weighed = {**NOTHING, "BlkioWeight": 300, "BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 1}]}
    assert [line.partition(" or ")[0] for line in fit.discarded(weighed, root)] == [
        "Your kernel does not support Block I/O weight_device"
    ]
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "system.slice").mkdir()
    assert len(fit.discarded(weighed, root)) == 2
    (tmp_path / "system.slice/io.weight").touch()
    assert fit.discarded(weighed, root) == []
    assert "OOM killer is disabled" in fit.discarded({**NOTHING, "OomKillDisable": True}, root)[0]
    assert fit.discarded({**NOTHING, "OomKillDisable": True, "Memory": 1 << 30}, root) == []
