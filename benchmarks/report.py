"""The table on the terminal and the JSON file beside it."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Row, Unit, Verdict

_COLOURS: dict[Verdict, str] = {"ok": "green", "MISSED": "bold red", "-": "dim", "not measured": "yellow"}
_UNITS: dict[Unit, str] = {"us": "µs", "ms": "ms", "MB": "MB", "B": "bytes", "x": "×", "/s": "/s"}


def print_table(rows: Sequence[Row], console: Console) -> None:
    """One line per figure: median, p90, bound, verdict."""
    table = Table(title="wherry: how fast, how small", title_justify="left", pad_edge=False)
    table.add_column("figure", overflow="fold")
    for name in ("median", "p90", "bound"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    part = ""
    for row in rows:
        if part and row.part != part:
            table.add_section()
        part = row.part
        what = f"{row.what}\n[dim]{row.note}[/dim]" if row.note else row.what
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict}[/]"
        table.add_row(what, _number(row.value, row.unit), _number(row.p90, row.unit), _bound(row), verdict)
    console.print(table)


def write_json(rows: Sequence[Row], path: str, now: datetime) -> None:
    """All figures of a run with what they were measured on. Written beside its final name, then renamed."""
    document = {
        "time": now.astimezone(UTC).isoformat(timespec="seconds"),
        "machine": {
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "wasmtime": metadata.version("wasmtime"),
        },
        "rows": [row.to_json() for row in rows],
    }
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    os.replace(temporary, path)


def _number(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    digits = 0 if unit in ("B", "/s") or value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {_UNITS[unit]}"


def _bound(row: Row) -> str:
    if row.bound is None:
        return ""
    return f"{'≥' if row.bound.at_least else '≤'} {row.bound.value:,g} {_UNITS[row.unit]}"
