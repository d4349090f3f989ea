"""Figures as clients see them: usage under Wasm, and a network's interfaces."""

import os
from pathlib import Path

import pytest

from wherry.engine.containers import stats
from wherry.engine.containers.usage import usage


def test_usage_in_words() -> None:
    figures = {
        "linear_memory": 65536,
        "fuel": 0,
        "fuel_limit": 0,
        "calls": ({"function": "fd_write", "count": 2}, {"function": "clock_time_get", "count": 1}),
    }
    assert usage(figures) == {"LinearMemoryPeak": 65536, "Calls": {"clock_time_get": 1, "fd_write": 2}}
    assert usage({**figures, "fuel": 3, "fuel_limit": 9})["Fuel"] == {"Used": 3, "Limit": 9}
    assert usage(None) == usage({}) == {}


DEV = """Inter-|   Receive | Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0
  eth0:    1000      10    1    2    0     0   0  0     2000      20    3    4    0     0       0          0
broken: 1 2
"""


def test_interfaces_but_for_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dev").write_text(DEV)
    monkeypatch.setattr(stats, "_net_dev", lambda pid: str(tmp_path / "dev"))
    assert stats.networks(1) == {
        "eth0": {
            "rx_bytes": 1000, "rx_packets": 10, "rx_errors": 1, "rx_dropped": 2,
            "tx_bytes": 2000, "tx_packets": 20, "tx_errors": 3, "tx_dropped": 4,
        }
    }  # fmt: skip
    assert stats.measure(1, shares_network=True).networks == {}


def test_of_a_process_that_is_gone_there_is_no_network() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert stats.networks(pid) == {}
