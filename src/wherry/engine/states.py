"""A container's life as a table: which event leads from which status to which, and what it is called when it can't.

Pure. Docker's seven statuses; times and exit codes belong to the record, not here.
"""

from typing import Final, Literal

from wherry.errors import Conflict, NotModified, WherryError

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
Event = Literal["start", "start-failed", "exit", "back-off", "pause", "unpause", "remove", "remove-failed"]

STATUSES: Final[tuple[Status, ...]] = ("created", "running", "paused", "restarting", "removing", "exited", "dead")

TRANSITIONS: Final[dict[tuple[Status, Event], Status]] = {
    ("created", "start"): "running",
    ("exited", "start"): "running",
    ("dead", "remove"): "removing",
    ("restarting", "start"): "running",
    # A container that never ran keeps saying so, as docker's does.
    ("created", "start-failed"): "created",
    ("exited", "start-failed"): "exited",
    ("restarting", "start-failed"): "exited",
    ("running", "exit"): "exited",
    ("paused", "exit"): "exited",
    # Stopped by the user while it waited for its next start.
    ("restarting", "exit"): "exited",
    # Its shim ended it while the engine was away, before the record said that it ran.
    ("created", "exit"): "exited",
    ("exited", "exit"): "exited",
    ("running", "back-off"): "restarting",
    ("paused", "back-off"): "restarting",
    ("running", "pause"): "paused",
    ("paused", "unpause"): "running",
    ("created", "remove"): "removing",
    ("exited", "remove"): "removing",
    ("removing", "remove-failed"): "dead",
}

# What is said instead, by event and status; {id} is what the caller asked for.
_REFUSALS: Final[dict[tuple[Event, Status], tuple[type[WherryError], str]]] = {
    ("start", "running"): (NotModified, "container {id} is already running"),
    ("start", "paused"): (Conflict, "cannot start a paused container, try unpause instead"),
    ("start", "dead"): (Conflict, "container {id} is dead: it can only be removed"),
    ("pause", "paused"): (Conflict, "container {id} is already paused"),
    ("pause", "restarting"): (Conflict, "container {id} is restarting, wait until the container is running"),
    ("remove", "running"): (
        Conflict,
        'cannot remove container "/{id}": container is running: stop the container before removing or force remove',
    ),
    ("remove", "paused"): (
        Conflict,
        'cannot remove container "/{id}": container is paused and must be unpaused first, or removed by force',
    ),
    ("remove", "restarting"): (
        Conflict,
        'cannot remove container "/{id}": container is restarting: stop the container before removing or force remove',
    ),
    ("remove", "removing"): (Conflict, "removal of container {id} is already in progress"),
}
_REFUSAL_OF: Final[dict[Event, str]] = {
    "start": "container {id} is marked for removal and cannot be started",
    "pause": "container {id} is not running",
    "unpause": "container {id} is not paused",
}

RUNNING: Final[frozenset[Status]] = frozenset({"running", "paused", "restarting"})
"""Statuses that docker counts as running: a wait for ``not-running`` that begins in them waits for the next end."""


def after(status: Status, event: Event, ref: str) -> Status:
    """The status that ``event`` leads to; NotModified or Conflict, naming ``ref``, when the table has none."""
    found = TRANSITIONS.get((status, event))
    if found is not None:
        return found
    kind, text = _REFUSALS.get(
        (event, status),
        (Conflict, _REFUSAL_OF.get(event, "container {id} is " + status + ": " + event + " is not possible")),
    )
    raise kind(text.format(id=ref))
