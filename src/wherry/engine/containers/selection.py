"""Which containers `docker ps` and `docker container prune` mean: their filters, as a table. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.engine import filters
from wherry.engine.containers.health import status_of
from wherry.engine.patterns import search
from wherry.engine.record import Record
from wherry.engine.states import STATUSES
from wherry.errors import InvalidArgument

Wanted = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a filter may ask beside the container: when the containers named by before and since were created."""

    before: int | None = None
    since: int | None = None


def _name(record: Record, wanted: Sequence[str]) -> bool:
    return any(search(pattern, record.name) or search(pattern, f"/{record.name}") for pattern in wanted)


def _volume(record: Record, wanted: Sequence[str]) -> bool:
    return any(
        item and item in (point.name, point.source, point.destination) for item in wanted for point in record.mounts
    )


def _network(record: Record, wanted: Sequence[str]) -> bool:
    return any(name in record.networks for name in wanted)


def _ports(wanted: Sequence[str]) -> set[str]:
    """``80``, ``80/udp``, ``80-90/tcp`` as HostConfig writes ports. InvalidArgument, as docker words it."""
    found: set[str] = set()
    for text in wanted:
        span, _, protocol = text.partition("/")
        first, dash, last = span.partition("-")
        for number in (first, last) if dash else (first,):
            if not (number.isascii() and number.isdecimal() and len(number) <= 5 and int(number) < 65_536):
                raise InvalidArgument(f'strconv.ParseUint: parsing "{number[:60]}": invalid syntax')
        low, high = int(first), int(last or first)
        if high < low:
            raise InvalidArgument(f"invalid range specified for port: {span[:60]}")
        found.update(f"{port}/{protocol or 'tcp'}" for port in range(low, high + 1))
    return found


TESTS: Final[dict[str, Callable[[Record, Sequence[str]], bool]]] = {
    "id": lambda record, wanted: any(record.id.startswith(item) for item in wanted),
    "name": _name,
    "label": lambda record, wanted: filters.labels_match(wanted, record.labels),
    "label!": lambda record, wanted: not any(filters.labels_match((item,), record.labels) for item in wanted),
    "status": lambda record, wanted: record.state.status in wanted,
    "exited": lambda record, wanted: bool(record.state.finished_at) and str(record.state.exit_code) in wanted,
    "ancestor": lambda record, wanted: record.image_id in wanted,
    "volume": _volume,
    "network": _network,
    "health": lambda record, wanted: status_of(record) in wanted,
    "is-task": lambda record, wanted: not filters.boolean("is-task", wanted),
    "isolation": lambda record, wanted: True,  # as docker on Linux
}
KNOWN: Final = frozenset({*TESTS, "before", "since", "publish", "expose"} - {"label!"})
_HEALTH: Final = ("none", "starting", "healthy", "unhealthy")
PRUNE_KNOWN: Final = frozenset({"until", "label", "label!"})


def check(wanted: Wanted | None) -> dict[str, tuple[str, ...]]:
    """The filters of a listing. InvalidArgument: an unknown one, or a value that it cannot have."""
    found = filters.checked(wanted, KNOWN)
    for status in found.get("status", ()):
        if status not in STATUSES:
            raise InvalidArgument(f"invalid filter 'status={status[:60]}' (known: {', '.join(STATUSES)})")
    for health in found.get("health", ()):
        if health not in _HEALTH:
            raise InvalidArgument(f"invalid filter 'health={health[:60]}' (known: {', '.join(_HEALTH)})")
    filters.boolean("is-task", found.get("is-task", ("false",)))
    for code in found.get("exited", ()):
        if not code.lstrip("-").isdigit():
            raise InvalidArgument(f"invalid filter 'exited={code[:60]}': a number is wanted")
    for key in ("publish", "expose"):
        try:
            _ports(found.get(key, ()))
        except InvalidArgument as error:
            raise InvalidArgument(f"error while looking up for {key} {found[key][0][:60]}: {error}") from None
    if any(len(pattern) > 255 for pattern in found.get("name", ())):
        raise InvalidArgument("invalid filter 'name': longer than any name")
    return found


def check_prune(wanted: Wanted | None) -> dict[str, tuple[str, ...]]:
    """The filters of a prune. InvalidArgument: an unknown one."""
    return filters.checked(wanted, PRUNE_KNOWN)


def chosen(record: Record, wanted: Wanted, around: Surroundings) -> bool:
    """Whether every filter lets the container through."""
    if around.before is not None and record.created >= around.before:
        return False
    if around.since is not None and record.created <= around.since:
        return False
    return all(TESTS[key](record, values) for key, values in wanted.items() if key in TESTS)


def ports_chosen(ports: Sequence[Mapping[str, Any]], wanted: Wanted) -> bool:
    """Whether ``publish`` or ``expose`` let a container with these Ports of `docker ps` through. As with docker, the
    first asks for the host's port, one of the two is enough, and what does not run has no ports."""
    published, exposed = _ports(wanted.get("publish", ())), _ports(wanted.get("expose", ()))
    if not published and not exposed:
        return True
    return any(
        f"{port.get('PublicPort', 0)}/{port['Type']}" in published or f"{port['PrivatePort']}/{port['Type']}" in exposed
        for port in ports
    )


def prunable(record: Record, wanted: Wanted, now: int) -> bool:
    """Whether a prune with these filters takes the container away."""
    if record.state.status not in ("created", "exited", "dead"):
        return False
    if any(record.created >= filters.moment(text, now) for text in wanted.get("until", ())):
        return False
    return all(TESTS[key](record, values) for key, values in wanted.items() if key in TESTS)
