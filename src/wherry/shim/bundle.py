"""Reading what a bundle and an exec ask for; what it means is sandbox.py's."""

from __future__ import annotations

import errno
import os

from wherry.errors import FailedPrecondition, InvalidArgument, NotFound
from wherry.oci.document import decode
from wherry.oci.spec import SPEC_LIMIT, Process, Spec
from wherry.wire.wellknown import Any as Packed

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any


def read_spec(bundle: str) -> Spec:
    """The bundle's ``config.json``. NotFound; InvalidArgument; FailedPrecondition: it can't be read."""
    try:
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            return Spec.parse(file.read(SPEC_LIMIT + 1))
    except OSError as error:
        kind = NotFound if error.errno == errno.ENOENT else FailedPrecondition
        raise kind(f"bundle {bundle}: cannot read config.json: {error.strerror}") from None


def read_process(packed: Packed | None) -> Process:
    """The spec's ``process`` object as Exec has it. InvalidArgument."""
    if packed is None:
        raise InvalidArgument("exec without a process")
    return Process.from_json(from_json(packed.value, "process"))


def from_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object. InvalidArgument names ``what`` it should have been."""
    return decode(data, what, limit=SPEC_LIMIT)
