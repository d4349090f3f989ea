"""What containers tell the event stream, in docker's words and with docker's attributes."""

from collections.abc import Iterable

from wherry.core.networks.network import Network
from wherry.engine.record import Record
from wherry.engine.services import Publisher


class Announcer:
    """Tells of containers. ``fuel`` is what their metered guests used that have ended since the engine began."""

    def __init__(self, events: Publisher) -> None:
        self._events = events
        self.fuel = 0

    def __call__(self, record: Record, action: str, **more: str) -> None:
        """``more`` are the attributes beside the container's image, name and labels."""
        attributes = {**record.labels, "image": record.image, "name": record.name, **more}
        self._events.publish("container", action, record.id, attributes)

    def networks(self, record: Record, networks: Iterable[Network], action: str) -> None:
        """That the container came into its networks or has left them: ``connect``, ``disconnect``."""
        for network in networks:
            attributes = {"container": record.id, "name": network.name, "type": network.driver}
            self._events.publish("network", action, network.id, attributes)

    def volumes(self, record: Record, action: str) -> None:
        """That the container's volumes are mounted or no longer are: ``mount``, ``unmount``."""
        for point in record.mounts:
            if point.type == "volume":
                attributes = {"container": record.id, "driver": point.driver}
                if action == "mount":
                    writable = str(point.writable).lower()
                    attributes |= {"destination": point.destination, "read/write": writable, "propagation": ""}
                self._events.publish("volume", action, point.name, attributes)
