"""Errors of the floors below to HTTP: the one table. No I/O."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from wherry import errors

STATUS: Mapping[type[errors.WherryError], int] = MappingProxyType(
    {
        errors.InvalidArgument: 400,
        errors.Unauthenticated: 401,
        errors.PermissionDenied: 403,
        errors.NotFound: 404,
        errors.AlreadyExists: 409,
        errors.Conflict: 409,
        errors.FailedPrecondition: 412,
        errors.NotModified: 304,
        errors.DataLoss: 500,
        errors.Internal: 500,
        errors.Unimplemented: 501,
        errors.Unavailable: 503,
        errors.ResourceExhausted: 507,
    }
)


_LONGEST_MESSAGE: Final = 4096


class TooLarge(errors.InvalidArgument):
    """The request's body is over the limit of its route."""


class TooSlow(errors.InvalidArgument):
    """The request's body stopped coming."""


class Canceled(errors.InvalidArgument):
    """The client will send no more, and what it asked would have lasted."""


class MethodNotAllowed(errors.InvalidArgument):
    """The path exists, but not with this method."""


_HTTP_ONLY: Mapping[type[errors.WherryError], int] = MappingProxyType(
    {TooLarge: 413, TooSlow: 408, MethodNotAllowed: 405}
)


def status_of(error: errors.WherryError) -> int:
    """The HTTP status that says what ``error`` says; a subclass counts as its nearest listed base."""
    for cls in type(error).__mro__:
        status = _HTTP_ONLY.get(cls) or STATUS.get(cls)
        if status is not None:
            return status
    return 500


def one_line(message: str) -> str:
    """``message`` without line breaks, and not too long: an API error is one line, whatever was quoted in it."""
    line = " ".join(message.split("\n")).strip() if "\n" in message else message
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "..."
