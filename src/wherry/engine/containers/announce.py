"""What containers tell the event stream, in docker's words and with docker's attributes."""

from wherry.engine.record import Record
from wherry.engine.services import Publisher


class Announcer:
    """Tells of containers."""

    def __init__(self, events: Publisher) -> None:
        self._events = events

    def __call__(self, record: Record, action: str, **more: str) -> None:
        """``more`` are the attributes beside the container's image, name and labels."""
        attributes = {**record.labels, "image": record.image, "name": record.name, **more}
        self._events.publish("container", action, record.id, attributes)
