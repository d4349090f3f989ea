"""``--security-opt``: its words as a value. Pure.

Source: https://docs.docker.com/reference/cli/docker/container/run/#security-opt; the messages are moby's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wherry.booleans import BOOLEANS
from wherry.errors import InvalidArgument

UNCONFINED: Final = "unconfined"
_BUILT_IN: Final = ("", "builtin", "default")


@dataclass(frozen=True, slots=True)
class Security:
    """``seccomp`` is "" for the default profile, ``unconfined``, or a profile's JSON text; ``apparmor`` a profile's
    name, "" if none was named. Labels are SELinux's, of which there is none here."""

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    writable_cgroups: bool = False


def security(options: Sequence[str]) -> Security:
    """HostConfig.SecurityOpt. InvalidArgument: an unknown word."""
    found: dict[str, str] = {}
    for option in options:
        if option in ("no-new-privileges", "disable"):
            found[option] = "true"
            continue
        key, equals, value = option.partition("=") if "=" in option else option.partition(":")
        if not equals:
            raise InvalidArgument(f'invalid --security-opt 1: "{option[:200]}"')
        if key not in _KNOWN:
            raise InvalidArgument(f'invalid --security-opt 2: "{option[:200]}"')
        if key in _FLAGS and value not in BOOLEANS:
            raise InvalidArgument(f'invalid --security-opt 2: "{option[:200]}"')
        found[key] = value
    return Security(
        no_new_privileges=_is_on(found, "no-new-privileges"),
        seccomp="" if found.get("seccomp", "") in _BUILT_IN else found["seccomp"],
        apparmor=found.get("apparmor", ""),
        writable_cgroups=_is_on(found, "writable-cgroups"),
    )


def _is_on(found: Mapping[str, str], flag: str) -> bool:
    return BOOLEANS.get(found.get(flag, ""), False)


_FLAGS: Final = frozenset({"no-new-privileges", "writable-cgroups"})
_KNOWN: Final = _FLAGS | {"seccomp", "apparmor", "label"}
