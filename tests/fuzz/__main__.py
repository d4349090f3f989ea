"""Fuzz the WASI functions for as long as asked: ``python -m tests.fuzz [--seconds N] [--seed FIRST]``."""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from tests.conformance.guests import Guests
from tests.fuzz.running import fault, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="when to stop (default: never)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; a failure names its own")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as scratch:
        (folder := Path(scratch) / "run").mkdir()
        guests = Guests(Path(scratch), Path(scratch) / "zig")
        for seed in itertools.count(options.seed):
            wrong = fault(run(guests, folder, seed), folder)
            if wrong:
                print(f"seed {seed}: {wrong}")
                return 1
            if seed % 1000 == 999:
                print(f"{seed + 1} seeds", flush=True)
            if time.monotonic() > end:
                print(f"no fault in seeds {options.seed} to {seed}")
                return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
