"""Preview 1's errnos in the words of wasi:filesystem and of wasi:sockets."""

from __future__ import annotations

from wherry.wasm.wasi.errno import NUMBERS

_FILES = {
    "ACCES": "access", "AGAIN": "would-block", "ALREADY": "already", "BADF": "bad-descriptor", "BUSY": "busy",
    "DEADLK": "deadlock", "DQUOT": "quota", "EXIST": "exist", "FBIG": "file-too-large",
    "ILSEQ": "illegal-byte-sequence", "INPROGRESS": "in-progress", "INTR": "interrupted", "INVAL": "invalid",
    "IO": "io", "ISDIR": "is-directory", "LOOP": "loop", "MLINK": "too-many-links", "MSGSIZE": "message-size",
    "NAMETOOLONG": "name-too-long", "NODEV": "no-device", "NOENT": "no-entry", "NOLCK": "no-lock",
    "NOMEM": "insufficient-memory", "NOSPC": "insufficient-space", "NOTDIR": "not-directory",
    "NOTEMPTY": "not-empty", "NOTRECOVERABLE": "not-recoverable", "NOTSUP": "unsupported", "NOSYS": "unsupported",
    "NOTTY": "no-tty", "NXIO": "no-such-device", "OVERFLOW": "overflow", "PERM": "not-permitted",
    "NOTCAPABLE": "not-permitted", "PIPE": "pipe", "ROFS": "read-only", "SPIPE": "invalid-seek",
    "TXTBSY": "text-file-busy", "XDEV": "cross-device",
}  # fmt: skip
_SOCKETS = {
    "ACCES": "access-denied", "PERM": "access-denied", "NOTCAPABLE": "access-denied", "NOTSUP": "not-supported",
    "AFNOSUPPORT": "not-supported", "NOPROTOOPT": "not-supported", "PROTONOSUPPORT": "not-supported",
    "INVAL": "invalid-argument", "DESTADDRREQ": "invalid-argument", "NOMEM": "out-of-memory",
    "NOBUFS": "out-of-memory", "TIMEDOUT": "timeout", "ALREADY": "concurrency-conflict", "AGAIN": "would-block",
    "INPROGRESS": "would-block", "ISCONN": "invalid-state", "NOTCONN": "invalid-state", "MFILE": "new-socket-limit",
    "NFILE": "new-socket-limit", "ADDRNOTAVAIL": "address-not-bindable", "ADDRINUSE": "address-in-use",
    "HOSTUNREACH": "remote-unreachable", "NETUNREACH": "remote-unreachable", "NETDOWN": "remote-unreachable",
    "CONNREFUSED": "connection-refused", "CONNRESET": "connection-reset", "PIPE": "connection-reset",
    "CONNABORTED": "connection-aborted", "MSGSIZE": "datagram-too-large", "NOENT": "name-unresolvable",
}  # fmt: skip
_FILE_CODES = {NUMBERS[name]: code for name, code in _FILES.items()}
_SOCKET_CODES = {NUMBERS[name]: code for name, code in _SOCKETS.items()}


def file_code(errno: int) -> str:
    """``wasi:filesystem/types.error-code`` of preview 1's errno."""
    return _FILE_CODES.get(errno, "io")


def socket_code(errno: int) -> str:
    """``wasi:sockets/network.error-code`` of preview 1's errno."""
    return _SOCKET_CODES.get(errno, "unknown")
