"""Running CNI plugins: found in a few folders, given a configuration on stdin, heard on stdout.

Source: https://www.cni.dev/docs/spec/ version 1.0.0, section 2, "Execution Protocol".
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import FailedPrecondition, Unavailable, WherryError
from wherry.linux import program

FOLDERS: Final = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
PACKAGE: Final = "containernetworking-plugins"
_LONGEST_MESSAGE: Final = 400
_PACKAGES: Final = {"nsenter": "util-linux", "iptables-restore": "iptables", "pasta": "passt"}


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """Where plugins lie, and the programs that they run in turn (``path``, as in PATH); ``timeout`` in seconds."""

    folders: Sequence[str] = FOLDERS
    path: str = "/usr/sbin:/usr/bin:/sbin:/bin"
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """What a plugin is to work on: one interface in one network namespace, for one owner."""

    owner: str
    namespace: str
    interface: str


class Plugins:
    """The plugins of one machine."""

    def __init__(self, config: PluginConfig) -> None:
        self._config = config

    async def add(self, document: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """ADD; returns the plugin's result, {} when it printed none. Errors as `run`."""
        output = await self.run("ADD", document, place)
        try:
            result = json.loads(output or b"{}")
        except ValueError:
            result = None
        if not isinstance(result, dict):
            raise Unavailable(f"network plugin {document['type']} answered with no result: {output[:80]!r}")
        return result

    async def delete(self, document: Mapping[str, Any], place: Place) -> None:
        """DEL; what is gone already is no error. Errors as `run`."""
        await self.run("DEL", document, place)

    async def run(self, command: str, document: Mapping[str, Any], place: Place) -> bytes:
        """One execution; ``document["type"]`` is the plugin's name.

        FailedPrecondition: it, or a program that it needs, is not installed; Unavailable: it failed or hung.
        """
        name = str(document["type"])
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": place.owner,
            "CNI_NETNS": place.namespace,
            "CNI_IFNAME": place.interface,
            "CNI_PATH": ":".join(self._config.folders),
            "PATH": self._config.path,
        }
        done = await program.run(
            (self._find(name),), json.dumps(document).encode(), environ, self._config.timeout, named=name
        )
        if done.code != 0:
            raise _failure(name, done.output, done.complaints)
        return done.output

    async def forget_bridge(self, link: str) -> None:
        """Take back the rules that the firewall plugin made for a bridge: it keeps them when its last interface goes.

        Rules that are not there are no error.
        """
        said = ("-m", "comment", "--comment", "CNI firewall plugin rules (ingressPolicy: same-bridge)")
        for rule in (
            ("CNI-ISOLATION-STAGE-1", "-i", link, "!", "-o", link, *said, "-j", "CNI-ISOLATION-STAGE-2"),
            ("CNI-ISOLATION-STAGE-2", "-o", link, *said, "-j", "DROP"),
        ):
            with contextlib.suppress(WherryError):
                await run_program("iptables", ("-w", "-D", *rule), b"", self._config)

    def _find(self, name: str) -> str:
        for folder in self._config.folders:
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK):
                return path
        raise FailedPrecondition(
            f"network plugin {name!r} is not installed: install {PACKAGE}, or use --network host or none"
        )


async def run_program(name: str, arguments: Sequence[str], stdin: bytes, config: PluginConfig) -> bytes:
    """Run one of the programs in ``config.path`` and return what it printed.

    FailedPrecondition: it is not installed; Unavailable: it failed, with its last words, or hung.
    """
    found = shutil.which(name, path=config.path)
    if found is None:
        raise FailedPrecondition(f"{name} is not installed, which networks need: install {_PACKAGES.get(name, name)}")
    done = await program.run((found, *arguments), stdin, {"PATH": config.path}, config.timeout, named=name)
    if done.code != 0:
        words = " ".join(done.complaints.decode(errors="replace").split())[:_LONGEST_MESSAGE]
        raise Unavailable(f"{name} failed: {words or 'it said nothing'}")
    return done.output


def _failure(name: str, output: bytes, complaints: bytes) -> FailedPrecondition | Unavailable:
    """A plugin says what is wrong in a JSON object on stdout (spec section 5, "Error")."""
    try:
        document = json.loads(output)
        words = [str(document[key]) for key in ("msg", "details") if document.get(key)]
    except (ValueError, TypeError, KeyError, AttributeError):
        words = [line for line in complaints.decode(errors="replace").splitlines() if line.strip()][-1:]
    message = " ".join(": ".join(words).split())[:_LONGEST_MESSAGE] or "it said nothing"
    if "iptables" in message and "not found" in message:
        return FailedPrecondition("iptables is not installed, which networks need: install iptables")
    return Unavailable(f"network plugin {name} failed: {message}")
