"""Platforms: what an image is for. Aliases and matching as containerd's platforms package has them, plus Wasm's.

Sources: image-spec image-index.md (platform); https://github.com/containerd/platforms (normalization).
"""

import os
import re
from dataclasses import dataclass
from typing import Any

from wherry.errors import InvalidArgument
from wherry.oci.document import Reader, present

_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)

_WASM_ARCHITECTURES = frozenset({"wasm", "wasm32", "wasm64"})
_WASM_SYSTEMS = frozenset({"wasi", "wasip1", "wasip2"})
_CLIENTS = frozenset({"linux", "darwin", "windows"})
_SYSTEM_ALIASES = {"macos": "darwin"}
_ARCHITECTURE_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm", ""): "v7"}
_OTHER_ARCHITECTURES = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x"}
)
_OTHER_SYSTEMS = frozenset(
    {
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "illumos",
        "ios",
        "linux",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
    }
)


@dataclass(frozen=True, slots=True)
class Platform:
    """``os/architecture[/variant]``, as written by whoever made it; compare by `normalized` or `matches`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str, host: "Platform | None" = None) -> "Platform":
        """Read ``wasi/wasm32``, ``linux/arm/v7``, or one part alone; ``host`` fills what a lone part leaves open.

        ``wasm`` alone is ``wasi/wasm``. InvalidArgument for anything else.
        """
        parts = text.split("/")
        if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidArgument(f"invalid platform {text[:100]!r}: write os/architecture[/variant], like wasi/wasm")
        if len(parts) > 1:
            system, *rest = (part.lower() for part in parts)
            # The docker CLI makes the client's own system of a lone "wasm" before anybody else sees it.
            return cls("wasi" if rest[0] in _WASM_ARCHITECTURES and system in _CLIENTS else system, *rest)
        return cls._of_one_part(parts[0].lower(), host or cls.host())

    @classmethod
    def _of_one_part(cls, part: str, host: "Platform") -> "Platform":
        if part in _WASM_ARCHITECTURES:
            return cls("wasi", part)
        if part in _WASM_SYSTEMS:
            return cls(part, "wasm")
        if part in _OTHER_SYSTEMS or part in _SYSTEM_ALIASES:
            return cls(part, host.architecture, host.variant)
        if part in _OTHER_ARCHITECTURES or part in _ARCHITECTURE_ALIASES:
            return cls(host.os, part)
        raise InvalidArgument(
            f"unknown operating system or architecture {part!r}: write os/architecture, like wasi/wasm"
        )

    @classmethod
    def host(cls) -> "Platform":
        """The platform of native programs on this machine."""
        machine = os.uname()
        return cls(machine.sysname.lower(), machine.machine.lower()).normalized()

    @classmethod
    def from_json(cls, value: Any) -> "Platform":
        """Read a descriptor's ``platform``. InvalidArgument. ``os.features`` and the like are dropped."""
        reader = Reader(value, "platform")
        found = cls(
            os=reader.string("os"),
            architecture=reader.string("architecture"),
            variant=reader.string("variant"),
            os_version=reader.string("os.version"),
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        rest = {"os.version": self.os_version, "variant": self.variant}
        return {"architecture": self.architecture, "os": self.os} | present(**rest)

    @property
    def is_wasm(self) -> bool:
        """Whether images of it are WebAssembly modules that expect WASI."""
        return self.architecture.lower() in _WASM_ARCHITECTURES and self.os.lower() in _WASM_SYSTEMS

    def normalized(self) -> "Platform":
        """The one spelling of it: every Wasm alias is ``wasi/wasm``, ``x86_64`` is ``amd64`` and so on."""
        if self.is_wasm:
            return Platform("wasi", "wasm")
        system = _SYSTEM_ALIASES.get(self.os.lower(), self.os.lower())
        architecture, variant = self.architecture.lower(), self.variant.lower()
        if architecture in _ARCHITECTURE_ALIASES:
            architecture, implied = _ARCHITECTURE_ALIASES[architecture]
            variant = variant or implied
        if variant.isascii() and variant.isdigit():
            variant = "v" + variant
        return Platform(system, architecture, _DEFAULT_VARIANTS.get((architecture, variant), variant), self.os_version)

    def matches(self, other: "Platform") -> bool:
        """Whether an image for ``other`` will do where this platform is asked for (an arm v6 image does on arm v7)."""
        mine, theirs = self.normalized(), other.normalized()
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        if mine.architecture == "arm":
            return theirs.variant <= mine.variant
        return mine.variant == theirs.variant

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
