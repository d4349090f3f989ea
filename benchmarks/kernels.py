"""How fast guests compute: kernels with SIMD under wherry, beside the same C by gcc -O3."""

import os
import shutil
import statistics
import sys
from collections.abc import Mapping

from benchmarks import proc
from benchmarks.figures import Bound, Row, Samples, turns
from benchmarks.guests import timings, under_wherry
from wherry.errors import FailedPrecondition, Internal

_PART = "kernels"
_MIX = "integer_mix"
_FUELED = "wherry, with fuel"
_MIX_AT_LEAST = Bound(0.8, at_least=True)
_MEAN_AT_LEAST = Bound(0.79, at_least=True)


class KernelsPart:
    """Per round all kernels natively and as a module; both must come to the same sums."""

    name = _PART

    def __init__(self, folder: str, source: str, environ: Mapping[str, str]) -> None:
        """FailedPrecondition: no gcc."""
        folder = os.path.join(folder, _PART)
        os.makedirs(folder)
        module, native = os.path.join(folder, "kernels.wasm"), os.path.join(folder, "kernels")
        gcc = shutil.which("gcc", path=environ.get("PATH"))
        if gcc is None:
            raise FailedPrecondition("the kernels are compared with gcc's, which is not here: apt-get install gcc")
        proc.run([gcc, "-O3", source, "-o", native], environ, "compiling the kernels natively")
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O3", "-msimd128", "-s"]
        proc.run([*zig, source, "-o", module], environ, "compiling the kernels to WASM")
        self._environ = environ
        self._commands = {
            "wherry": [*under_wherry(module, folder, environ), folder],
            _FUELED: [*under_wherry(module, folder, environ, fuel=True), folder],
            "gcc -O3": [native],
        }
        self._taken: dict[str, dict[str, Samples]] = {}

    def warm_up(self) -> None:
        """Once each."""
        self.round(0)
        self._taken.clear()

    def round(self, number: int) -> None:
        """One of each, in changing order. Internal: they don't compute the same."""
        sums = {}
        for who in turns(tuple(self._commands), number):
            told = timings(self._commands[who], self._environ)
            sums[who] = {name: checksum for name, (_, checksum) in told.items()}
            for name, (taken, _) in told.items():
                self._taken.setdefault(name, {}).setdefault(who, Samples()).add(taken)
        if len({tuple(each.items()) for each in sums.values()}) > 1:
            raise Internal(f"the kernels come to different sums: {sums}")

    def rows(self) -> list[Row]:
        """Speeds as parts of gcc's: the mix, each of the others, and their geometric mean."""
        rows, others, prices = [], [], []
        for name, taken in self._taken.items():
            speed = taken["gcc -O3"].median() / taken["wherry"].median()
            bound = _MIX_AT_LEAST if name == _MIX else None
            what = f"{name.replace('_', ' ')}: wherry's speed / gcc -O3's"
            prices.append(taken[_FUELED].median() / taken["wherry"].median())
            rows.append(Row(_PART, what, "x", speed, None, len(taken["wherry"]), bound))
            others += [] if name == _MIX else [speed]
        mean = statistics.geometric_mean(others) if others else None
        what = f"geometric mean of the {len(others)} others"
        rows.append(Row(_PART, what, "x", mean, bound=_MEAN_AT_LEAST))
        price = statistics.geometric_mean(prices) if prices else None
        rows.append(Row(_PART, "fuel metering's price: time with it / without, of all kernels", "x", price))
        return rows
