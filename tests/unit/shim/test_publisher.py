"""Events on their way to the engine."""

import socket
from pathlib import Path

import pytest

from wherry.shim.publisher import Publisher
from wherry.shim.reactor import Reactor
from wherry.wire import events
from wherry.wire.protobuf import Message
from wherry.wire.ttrpc import ServerConnection

HAPPENED: tuple[Message, ...] = (
    events.TaskStart(container_id="a", pid=1),
    events.TaskOOM(container_id="a"),
    events.TaskExit(container_id="a", id="a", pid=1),
)


@pytest.mark.parametrize(
    ("topics", "told"),
    [
        (frozenset(), ["/tasks/start", "/tasks/oom", "/tasks/exit"]),
        (frozenset({"/tasks/oom"}), ["/tasks/oom"]),
        (frozenset({"/tasks/exit", "/tasks/oom"}), ["/tasks/oom", "/tasks/exit"]),
    ],
)
def test_only_what_is_wanted_is_told(topics: frozenset[str], told: list[str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "events"))
        listening.listen(1)
        publisher = Publisher(Reactor(), str(tmp_path / "events"), "ns", topics)
        for event in HAPPENED:
            publisher.publish(event)
        accepted, _ = listening.accept()
        with accepted:
            requests = ServerConnection().receive_data(accepted.recv(1 << 16))
        publisher._ready()  # it sees the end, and lets go of its socket
    envelopes = [events.ForwardRequest.decode(request.payload).envelope for request in requests]
    assert [envelope.topic for envelope in envelopes if envelope is not None] == told
