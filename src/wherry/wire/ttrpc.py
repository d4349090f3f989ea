"""ttrpc without I/O: bytes in, requests or responses out, for both ends of a connection. Unary calls only.

Connections here hold only the state of the protocol; who owns a socket feeds them and sends what they return.

Source: https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md and request.proto. Imported by the shim.
"""

from __future__ import annotations

from struct import Struct

from wherry.errors import InvalidArgument, ResourceExhausted, Unimplemented, WherryError
from wherry.wire.protobuf import Message, blob, int64, message, messages, string
from wherry.wire.status import status_of
from wherry.wire.wellknown import Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MESSAGE = 4 << 20
"""Bytes of data a message may have at most."""
_MOST_HEADS = 64
_RESERVED = 16 << 20  # the length's first byte is reserved and zero: a peer that sets it does not speak ttrpc
_REQUEST, _RESPONSE, _DATA = 1, 2, 3
_REMOTE_OPEN = 0x02

_header = Struct(">IIBB")


class KeyValue(Message):
    key: str = string(1)
    value: str = string(2)


class RequestMessage(Message):
    """ttrpc.Request: ``timeout_nano`` in nanoseconds, 0 is none."""

    service: str = string(1)
    method: str = string(2)
    payload: bytes = blob(3)
    timeout_nano: int = int64(4)
    metadata: tuple[KeyValue, ...] = messages(5, KeyValue)


class ResponseMessage(Message):
    """ttrpc.Response."""

    status: Status | None = message(1, Status)
    payload: bytes = blob(2)


class Request:
    """A call that came in; answer it once by ``send_response`` or ``send_error`` with its ``stream_id``."""

    __slots__ = ("metadata", "method", "payload", "service", "stream_id", "timeout_nano")

    def __init__(self, stream_id: int, body: RequestMessage) -> None:
        self.stream_id = stream_id
        self.service = body.service
        self.method = body.method
        self.payload = body.payload
        self.timeout_nano = body.timeout_nano
        self.metadata: dict[str, list[str]] = {}
        for pair in body.metadata:
            self.metadata.setdefault(pair.key, []).append(pair.value)


class Response:
    """The answer to the call with this ``stream_id``: ``status.code`` 0 and a payload, or an error."""

    __slots__ = ("payload", "status", "stream_id")

    def __init__(self, stream_id: int, status: Status, payload: bytes) -> None:
        self.stream_id = stream_id
        self.status = status
        self.payload = payload


def _frame(kind: int, stream_id: int, body: bytes) -> bytes:
    if len(body) > MAX_MESSAGE:
        raise ResourceExhausted(f"message of {len(body)} bytes is over ttrpc's limit of {MAX_MESSAGE}")
    return _header.pack(len(body), stream_id, kind, 0) + body


class _Frames:
    """Cuts a byte stream into frames. Oversized ones come out as their header only, their data dropped as it comes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._to_drop = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, int, int, bytes | None]]:
        """Each complete frame as (type, flags, stream id, data), data None for an oversized one. InvalidArgument: this
        is not ttrpc; close the connection."""
        self._buffer += data
        while self._drop() and len(self._buffer) >= _header.size:
            length, stream_id, kind, flags = _header.unpack_from(self._buffer)
            if length >= _RESERVED:
                raise InvalidArgument("peer does not speak ttrpc: the reserved byte of a header is set")
            if length > MAX_MESSAGE:
                del self._buffer[: _header.size]
                self._to_drop = length
                yield kind, flags, stream_id, None
                continue
            end = _header.size + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_header.size : end])
            del self._buffer[:end]
            yield kind, flags, stream_id, body

    def _drop(self) -> bool:
        count = min(self._to_drop, len(self._buffer))
        del self._buffer[:count]
        self._to_drop -= count
        return self._to_drop == 0


class ServerConnection:
    """The accepting end. Frames that cannot become a request are answered by itself: see `data_to_send`."""

    def __init__(self) -> None:
        self._frames = _Frames()
        self._last_stream = 0
        self._replies: list[bytes] = []

    def receive_data(self, data: bytes) -> list[Request]:
        """Requests completed by these bytes. InvalidArgument: the peer broke the protocol; close the connection.

        Call `data_to_send` after it, and send what that returns.
        """
        requests = []
        for kind, flags, stream_id, body in self._frames.feed(data):
            try:
                request = self._request(kind, flags, stream_id, body)
            except WherryError as error:
                self._replies.append(self.send_error(stream_id, error))
            else:
                if request is not None:
                    requests.append(request)
        return requests

    def data_to_send(self) -> bytes:
        """Answers this end gave by itself (refused frames); empty nearly always."""
        data = b"".join(self._replies)
        self._replies.clear()
        return data

    def send_response(self, stream_id: int, payload: bytes) -> bytes:
        """The bytes that answer a call with success. ResourceExhausted: over 4 MiB."""
        return _frame(_RESPONSE, stream_id, ResponseMessage(status=Status(), payload=payload).encode())

    def send_error(self, stream_id: int, error: BaseException) -> bytes:
        """The bytes that answer a call with an error, by the table in wire/status."""
        status = status_of(error)
        if len(status.message) > 4096:
            status = Status(code=status.code, message=status.message[:4096])
        return _frame(_RESPONSE, stream_id, ResponseMessage(status=status).encode())

    def _request(self, kind: int, flags: int, stream_id: int, body: bytes | None) -> Request | None:
        if body is None:
            raise ResourceExhausted(f"message is over ttrpc's limit of {MAX_MESSAGE} bytes")
        if stream_id % 2 == 0:
            raise InvalidArgument("stream ids of clients must be odd")
        if kind == _DATA:
            raise InvalidArgument("stream is not active")
        if kind != _REQUEST:
            return None  # types to come are ignored, as containerd's server does
        if stream_id <= self._last_stream:
            raise InvalidArgument("stream id was used before")
        self._last_stream = stream_id
        if flags & _REMOTE_OPEN:
            raise Unimplemented("streaming calls are not offered here: use a unary one")
        return Request(stream_id, RequestMessage.decode(body))


class ClientConnection:
    """The connecting end: numbers the calls."""

    def __init__(self) -> None:
        self._frames = _Frames()
        self._next_stream = 1
        self._heads: dict[tuple[object, ...], bytes] = {}

    def send_request(
        self,
        service: str,
        method: str,
        payload: bytes,
        *,
        timeout_nano: int = 0,
        metadata: Iterable[tuple[str, str]] = (),
    ) -> tuple[int, bytes]:
        """The call's stream id and the bytes to send. ``timeout_nano`` 0 is none. ResourceExhausted: over 4 MiB."""
        head = self._head(service, method, timeout_nano, tuple(metadata))
        stream_id = self._next_stream
        # Fields may come in any order, and messages one after the other are one message.
        data = _frame(_REQUEST, stream_id, head + RequestMessage(payload=payload).encode())
        self._next_stream += 2
        return stream_id, data

    def _head(self, service: str, method: str, timeout_nano: int, metadata: tuple[tuple[str, str], ...]) -> bytes:
        """A request without its payload; there are few of them."""
        key = (service, method, timeout_nano, metadata)
        head = self._heads.get(key)
        if head is None:
            pairs = tuple(KeyValue(key=name, value=value) for name, value in metadata)
            request = RequestMessage(service=service, method=method, timeout_nano=timeout_nano, metadata=pairs)
            head = request.encode()
            if len(self._heads) < _MOST_HEADS:
                self._heads[key] = head
        return head

    def receive_data(self, data: bytes) -> list[Response]:
        """Responses completed by these bytes. InvalidArgument: the peer broke the protocol; close the connection."""
        responses = []
        for kind, _, stream_id, body in self._frames.feed(data):
            if body is None:
                error = ResourceExhausted(f"response is over ttrpc's limit of {MAX_MESSAGE} bytes")
                responses.append(Response(stream_id, status_of(error), b""))
            elif kind == _RESPONSE:
                responses.append(_response(stream_id, body))
        return responses


def _response(stream_id: int, body: bytes) -> Response:
    try:
        answer = ResponseMessage.decode(body)
    except InvalidArgument as error:  # only this call is lost: frames are still in step
        return Response(stream_id, status_of(error), b"")
    return Response(stream_id, answer.status or Status(), answer.payload)
