"""WASI's errno: its numbers, and the way from Linux's to them. No function of WASI lives here.

https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#errno
"""

import errno as linux

# In the order of the specification: the place is the number.
_NAMES = (
    "SUCCESS 2BIG ACCES ADDRINUSE ADDRNOTAVAIL AFNOSUPPORT AGAIN ALREADY BADF BADMSG BUSY CANCELED CHILD CONNABORTED "
    "CONNREFUSED CONNRESET DEADLK DESTADDRREQ DOM DQUOT EXIST FAULT FBIG HOSTUNREACH IDRM ILSEQ INPROGRESS INTR INVAL "
    "IO ISCONN ISDIR LOOP MFILE MLINK MSGSIZE MULTIHOP NAMETOOLONG NETDOWN NETRESET NETUNREACH NFILE NOBUFS NODEV "
    "NOENT NOEXEC NOLCK NOLINK NOMEM NOMSG NOPROTOOPT NOSPC NOSYS NOTCONN NOTDIR NOTEMPTY NOTRECOVERABLE NOTSOCK "
    "NOTSUP NOTTY NXIO OVERFLOW OWNERDEAD PERM PIPE PROTO PROTONOSUPPORT PROTOTYPE RANGE ROFS SPIPE SRCH STALE "
    "TIMEDOUT TXTBSY XDEV NOTCAPABLE"
).split()

NUMBERS = {name: number for number, name in enumerate(_NAMES)}

SUCCESS = NUMBERS["SUCCESS"]
ACCES = NUMBERS["ACCES"]
AFNOSUPPORT = NUMBERS["AFNOSUPPORT"]
AGAIN = NUMBERS["AGAIN"]
BADF = NUMBERS["BADF"]
EXIST = NUMBERS["EXIST"]
INVAL = NUMBERS["INVAL"]
IO = NUMBERS["IO"]
LOOP = NUMBERS["LOOP"]
NAMETOOLONG = NUMBERS["NAMETOOLONG"]
NOENT = NUMBERS["NOENT"]
NOMEM = NUMBERS["NOMEM"]
NOPROTOOPT = NUMBERS["NOPROTOOPT"]
NOSYS = NUMBERS["NOSYS"]
NOTCAPABLE = NUMBERS["NOTCAPABLE"]
NOTDIR = NUMBERS["NOTDIR"]
NOTSOCK = NUMBERS["NOTSOCK"]
NOTSUP = NUMBERS["NOTSUP"]
OVERFLOW = NUMBERS["OVERFLOW"]
PERM = NUMBERS["PERM"]
ROFS = NUMBERS["ROFS"]

_FROM_LINUX = {getattr(linux, "E" + name): number for name, number in NUMBERS.items() if hasattr(linux, "E" + name)}


def from_linux(number: int | None) -> int:
    """WASI's errno for Linux's; IO for what WASI has no name for."""
    return _FROM_LINUX.get(number or 0, IO)


class WasiError(Exception):
    """A WASI function fails with ``errno`` (WASI's number)."""

    def __init__(self, errno: int) -> None:
        super().__init__(_NAMES[errno])
        self.errno = errno


class Trap(Exception):
    """The guest did what ends it: ``str()`` is the trap's message."""
