"""HTTP statuses to wherry's errors: the client edge's one table."""

from wherry import errors

_BY_STATUS: dict[int, type[errors.WherryError]] = {
    304: errors.NotModified,
    400: errors.InvalidArgument,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    405: errors.Unimplemented,
    409: errors.Conflict,
    412: errors.FailedPrecondition,
    413: errors.ResourceExhausted,
    429: errors.ResourceExhausted,
    500: errors.Internal,
    501: errors.Unimplemented,
    503: errors.Unavailable,
    507: errors.ResourceExhausted,
}


def error_for(status: int, message: str) -> errors.WherryError:
    """The error that a status of 300 and above stands for; ``message`` is the engine's own, made one line."""
    fallback = errors.Internal if status >= 500 else errors.InvalidArgument
    text = " ".join(message.split()) or f"the engine answered with status {status} and no message"
    return _BY_STATUS.get(status, fallback)(text)
