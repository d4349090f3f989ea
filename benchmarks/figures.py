"""A figure and its bound as values, and the order in which timed rounds are run. No I/O, no clock."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Unit = Literal["us", "ms", "MB", "B", "x", "/s"]
Contender = TypeVar("Contender")
Verdict = Literal["ok", "MISSED", "-", "not measured"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure may be: at most ``value``, or at least it."""

    value: float
    at_least: bool = False

    def holds(self, figure: float) -> bool:
        """Whether ``figure`` keeps to it."""
        return figure >= self.value if self.at_least else figure <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``value`` None: not measured, ``note`` says why. ``p90`` None: there is no spread."""

    part: str
    what: str
    unit: Unit
    value: float | None
    p90: float | None = None
    rounds: int = 0
    bound: Bound | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Against the bound; "-" for a figure that has none and is there for comparison."""
        if self.value is None:
            return "not measured"
        if self.bound is None:
            return "-"
        return "ok" if self.bound.holds(self.value) else "MISSED"

    def to_json(self) -> dict[str, object]:
        """As written beside the other rows of a run."""
        bound = None
        if self.bound is not None:
            bound = {"value": self.bound.value, "kind": "at least" if self.bound.at_least else "at most"}
        return {
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "value": self.value,
            "p90": self.p90,
            "rounds": self.rounds,
            "bound": bound,
            "verdict": self.verdict,
            "note": self.note,
        }


@dataclass(slots=True)
class Samples:
    """Durations of one thing, in nanoseconds, in the order they were taken."""

    taken: list[int] = field(default_factory=list)

    def add(self, nanoseconds: int) -> None:
        """One more round."""
        self.taken.append(nanoseconds)

    def __len__(self) -> int:
        return len(self.taken)

    def median(self) -> float:
        """The middle, in nanoseconds."""
        return statistics.median(self.taken)

    def p90(self) -> float:
        """What nine of ten rounds stay below, in nanoseconds (nearest rank)."""
        ordered = sorted(self.taken)
        return ordered[max(0, -(-len(ordered) * 9 // 10) - 1)]

    def row(self, part: str, what: str, unit: Unit, bound: Bound | None = None, note: str = "") -> Row:
        """Median and p90 as a line of the table; ``unit`` is us or ms."""
        if not self.taken:
            return Row(part, what, unit, None, bound=bound, note=note or "no round was run")
        scale = {"us": 1e3, "ms": 1e6}[unit]
        return Row(part, what, unit, self.median() / scale, self.p90() / scale, len(self), bound, note)


def interleaved(rounds: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Every part's rounds spread evenly over one run, as (part, number of the round): what else the machine does then
    falls on all of them alike."""
    moments = [((number + 0.5) / count, name, number) for name, count in rounds.items() for number in range(count)]
    for _, name, number in sorted(moments):
        yield name, number


def turns(contenders: Sequence[Contender], number: int) -> Sequence[Contender]:
    """Contenders of one round in an order that changes from round to round, so that none always goes first."""
    shift = number % len(contenders)
    return [*contenders[shift:], *contenders[:shift]]
