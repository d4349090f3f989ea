"""The library h2 as this server wants it. It knows all of frames, streams and windows; some things are different here.

h2 ends the whole connection, with all its streams, for a header that is malformed, for a body of another length than
was said, and for one stream too many. RFC 9113 (8.1.1, 5.1.2) asks for the end of that stream alone, so those are
looked for by who reads the request (wire/http2.py, stream.py, session.py) and not by h2. And after a GOAWAY in either
direction it says nothing any more, where streams that were begun are to be answered (6.8).
"""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import FrameTooLargeError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from h2._typing import Buffer

STREAMS = 100
"""Requests at once, of one connection."""
STREAM_WINDOW = 128 << 10
WINDOW = 1 << 20
"""Bytes of bodies that nobody has taken yet, of one stream and of a connection."""
_BEGINNING = 65_535
"""The window of a connection as long as nothing else was said."""
_HEADERS = 64 << 10
_LENGTH = 3
"""Bytes of a frame's length, with which it begins."""
_SETTINGS = {
    SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    SettingCodes.MAX_HEADER_LIST_SIZE: _HEADERS,
    SettingCodes.ENABLE_PUSH: 0,
}


# h2 makes a text of each frame for a log that it does not keep: of a body's bytes that is a third of all its time.
DataFrame.__repr__ = object.__repr__  # type: ignore[method-assign]  # in a process of its own


class Frames(H2Connection):
    """A server's end of a connection: bytes in, events out; calls in, bytes out."""

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.local_settings = Settings(client=False, initial_values=_SETTINGS)
        self.decoder.max_header_list_size = _HEADERS
        self.initiate_connection()
        self.increment_flow_control_window(WINDOW - _BEGINNING)

    def receive_data(self, data: Buffer) -> list[Event]:
        """What was said. ProtocolError: it must not be. h2 would wait for a frame of any size before it refuses it."""
        found = super().receive_data(data)
        waiting = self.incoming_buffer._data  # noqa: SLF001 (there is no other way)
        if int.from_bytes(waiting[:3], "big") > self.max_inbound_frame_size and len(waiting) > _LENGTH:
            self._terminate_connection(ErrorCodes.FRAME_SIZE_ERROR)
            raise FrameTooLargeError("a frame is too large")
        return found

    @property
    def open_inbound_streams(self) -> int:
        """None, whatever there are: h2 is not to count them. It drops those that are over when it is asked."""
        return super().open_inbound_streams * 0

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        """The one place where its count of a body's bytes can be kept from beginning."""
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = _do_nothing  # type: ignore[assignment,method-assign]  # noqa: SLF001 (as above)
        return stream

    def last_words(self) -> bytes:
        """A GOAWAY that leaves those streams alone that there are."""
        return GoAwayFrame(0, self.highest_inbound_stream_id).serialize()

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        """The client opens no stream any more, and waits for those that it has opened."""
        found = super()._receive_goaway_frame(frame)
        self.state_machine.state = ConnectionState.SERVER_OPEN
        return found


def _do_nothing(_: object) -> None:
    """Where h2 would read a Content-Length."""
