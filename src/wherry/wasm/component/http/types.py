"""The functions of wasi:http/types by name.

https://github.com/WebAssembly/wasi-http/blob/v0.2.0/proxy.md
"""

from __future__ import annotations

from wherry.wasm.component.http.bodies import FutureTrailers, IncomingBody, MessageError, OutgoingBody
from wherry.wasm.component.http.fields import Fields, from_list
from wherry.wasm.component.http.messages import OutgoingRequest, OutgoingResponse, Outparam, RequestOptions
from wherry.wasm.component.polling import Pollable

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.wasm.component.state import State, StreamError, Table


def _error_code(_state: State, error: StreamError) -> Any:
    return error.code if isinstance(error, MessageError) else None


def _fields() -> Table:
    return {
        "[constructor]fields": lambda _state: Fields(),
        "[static]fields.from-list": lambda _state, entries: from_list(entries),
        "[method]fields.get": lambda _state, own, name: own.get(name),
        "[method]fields.has": lambda _state, own, name: bool(own.get(name)),
        "[method]fields.set": lambda _state, own, name, values: own.set(name, values),
        "[method]fields.delete": lambda _state, own, name: own.delete(name),
        "[method]fields.append": lambda _state, own, name, value: own.append(name, value),
        "[method]fields.entries": lambda _state, own: own.entries,
        "[method]fields.clone": lambda _state, own: own.clone(),
    }


def _attribute(name: str) -> Callable[[State, Any], Any]:
    return lambda _state, own: getattr(own, name)


def _setting(name: str) -> Callable[[State, Any, Any], None]:
    return lambda _state, own, value: setattr(own, name, value)


def _set_outparam(_state: State, outparam: Outparam, answer: tuple[bool, Any]) -> None:
    outparam.set(*answer)


def _finish_outgoing(_state: State, body: OutgoingBody, trailers: Fields | None) -> None:
    body.finish(trailers)


def _finish_incoming(_state: State, body: IncomingBody) -> FutureTrailers:
    return body.finish()


_REQUEST, _OUTGOING, _RESPONSE = "[method]incoming-request", "[method]outgoing-request", "[method]outgoing-response"
_ANSWER, _FUTURE, _OPTIONS = "[method]incoming-response", "[method]future-incoming-response", "[method]request-options"
TYPES: Table = {
    **_fields(),
    "http-error-code": _error_code,
    f"{_REQUEST}.method": _attribute("method"),
    f"{_REQUEST}.path-with-query": _attribute("path"),
    f"{_REQUEST}.scheme": _attribute("scheme"),
    f"{_REQUEST}.authority": _attribute("authority"),
    f"{_REQUEST}.headers": _attribute("fields"),
    f"{_REQUEST}.consume": lambda _state, own: own.consume(),
    "[constructor]outgoing-request": lambda _state, fields: OutgoingRequest(fields),
    f"{_OUTGOING}.body": lambda _state, own: own.take_body(),
    f"{_OUTGOING}.method": _attribute("method"),
    f"{_OUTGOING}.set-method": lambda _state, own, value: own.set_method(value),
    f"{_OUTGOING}.path-with-query": _attribute("path"),
    f"{_OUTGOING}.set-path-with-query": lambda _state, own, value: own.set_path(value),
    f"{_OUTGOING}.scheme": _attribute("scheme"),
    f"{_OUTGOING}.set-scheme": lambda _state, own, value: own.set_scheme(value),
    f"{_OUTGOING}.authority": _attribute("authority"),
    f"{_OUTGOING}.set-authority": lambda _state, own, value: own.set_authority(value),
    f"{_OUTGOING}.headers": _attribute("fields"),
    "[constructor]request-options": lambda _state: RequestOptions(),
    f"{_OPTIONS}.connect-timeout": _attribute("connect"),
    f"{_OPTIONS}.set-connect-timeout": _setting("connect"),
    f"{_OPTIONS}.first-byte-timeout": _attribute("first_byte"),
    f"{_OPTIONS}.set-first-byte-timeout": _setting("first_byte"),
    f"{_OPTIONS}.between-bytes-timeout": _attribute("between_bytes"),
    f"{_OPTIONS}.set-between-bytes-timeout": _setting("between_bytes"),
    "[static]response-outparam.set": _set_outparam,
    f"{_ANSWER}.status": _attribute("status"),
    f"{_ANSWER}.headers": _attribute("fields"),
    f"{_ANSWER}.consume": lambda _state, own: own.consume(),
    "[method]incoming-body.stream": lambda _state, own: own.stream(),
    "[static]incoming-body.finish": _finish_incoming,
    "[method]future-trailers.subscribe": lambda _state, own: Pollable(awaited=own),
    "[method]future-trailers.get": lambda _state, own: own.get(),
    "[constructor]outgoing-response": lambda _state, fields: OutgoingResponse(fields),
    f"{_RESPONSE}.status-code": _attribute("status"),
    f"{_RESPONSE}.set-status-code": lambda _state, own, status: own.set_status(status),
    f"{_RESPONSE}.headers": _attribute("fields"),
    f"{_RESPONSE}.body": lambda _state, own: own.take_body(),
    "[method]outgoing-body.write": lambda _state, own: own.stream(),
    "[static]outgoing-body.finish": _finish_outgoing,
    f"{_FUTURE}.subscribe": lambda _state, own: Pollable(awaited=own),
    f"{_FUTURE}.get": lambda _state, own: own.get(),
}
