"""The words for true and false that docker takes, which are Go's.

Source: https://pkg.go.dev/strconv#ParseBool
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BOOLEANS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
        **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
    }
)
