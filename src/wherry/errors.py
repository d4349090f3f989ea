"""The one error vocabulary: what went wrong, said by what the caller can do about it.

Every floor raises these; each edge (HTTP, ttrpc, exit code) maps them once, in one table of its own. The names follow
containerd's errdefs. Messages are one line, lower case, and name the thing and the way out. No I/O, no imports.
"""


class WherryError(Exception):
    """Base of all errors that a user may see; ``str()`` of it is the whole message."""


class InvalidArgument(WherryError):
    """The request is wrong in itself; change it before trying again."""


class NotFound(WherryError):
    """The named object does not exist."""


class AlreadyExists(WherryError):
    """The name is taken."""


class Conflict(WherryError):
    """The object's present state forbids it; change that state first."""


class NotModified(WherryError):
    """Nothing to do: the object is already in the wanted state."""


class FailedPrecondition(WherryError):
    """The machine or the configuration lacks something; the message says what to install or set."""


class PermissionDenied(WherryError):
    """The caller, or this process, may not do it."""


class Unauthenticated(PermissionDenied):
    """The other side does not know who asks, or does not believe it; log in."""


class ResourceExhausted(WherryError):
    """Out of disk, memory, descriptors or quota; free some and try again."""


class Unavailable(WherryError):
    """The other side is not there now; trying again may help."""


class Unimplemented(WherryError):
    """Understood, but not offered; the message says what is offered instead."""


class DataLoss(WherryError):
    """Stored data is corrupt; the message names the digest or file."""


class Internal(WherryError):
    """A fault of wherry itself."""
