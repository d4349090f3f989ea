"""`make bench` runs: a few rounds of the parts that need nothing but wherry, and nothing of it is left behind."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)


def test_every_figure_is_measured_and_cleared_away(tmp_path: Path) -> None:
    output, root = tmp_path / "run.json", Path("/tmp")
    before = set(root.glob("wb-*"))
    parts = "start,http,wagi,proxy,cli,crowd,wasi,kernels,memory,reload,image"
    done = bench("--quick", "--only", parts, "--output", str(output))
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert {row["part"] for row in rows} == {
        "start",
        "http",
        "wagi",
        "proxy",
        "cli",
        "crowd",
        "wasi",
        "kernels",
        "memory",
        "reload",
        "image",
    }
    assert [row["what"] for row in rows if row["verdict"] == "not measured"] == []
    assert set(root.glob("wb-*")) <= before
    for row in rows:
        assert row["what"].split()[0] in done.stdout


def test_an_unknown_part_is_named() -> None:
    done = bench("--only", "start,speed")
    assert done.returncode == 2
    assert "unknown part 'speed'" in done.stderr
