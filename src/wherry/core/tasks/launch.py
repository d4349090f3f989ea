"""Running a shim's binary: its ``start`` and ``delete`` commands, as containerd runs them.

Source: containerd docs/runtime-v2.md ("Commands"), pkg/shim/util.go for the environment (1.6 and 2.x).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wherry.core.tasks.stage import Stage
from wherry.errors import Internal, InvalidArgument, Unimplemented
from wherry.linux import program
from wherry.wire.task import DeleteResponse

_OUTPUT_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """``events`` is the path of the socket shims forward events to; ``publisher`` a binary that could do it instead;
    ``environ`` the whole environment shims get; ``timeout`` in seconds; ``stage`` where they run, if this user's own
    rights are too few."""

    namespace: str
    events: str
    publisher: str
    environ: Mapping[str, str]
    timeout: float = 30.0
    stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a shim answers: the path of its unix socket (an abstract one begins with a NUL), and which version of the
    Task service it speaks."""

    path: str
    version: int = 2


async def start(
    binary: str,
    bundle: str,
    container_id: str,
    config: LaunchConfig,
    *,
    options: bytes = b"",
    inherited: Sequence[int] = (),
) -> Address:
    """Run ``binary start`` in the bundle and return what it printed. ``options`` (an encoded Any) go to its stdin; the
    descriptors ``inherited`` are the shim's until it ends.

    Internal: it failed, with its own last words; FailedPrecondition: it cannot be run; Unavailable: it timed out.
    """
    output = await _run(binary, bundle, ["-id", container_id, "start"], config, options, inherited)
    return parse_address(output, config.stage)


async def delete(binary: str, bundle: str, container_id: str, config: LaunchConfig) -> DeleteResponse:
    """Run ``binary delete``: kill and clear away what the dead shim of a bundle left. Errors as `start`."""
    arguments = ["-id", container_id, "-bundle", bundle, "delete"]
    output = await _run(binary, bundle, arguments, config, b"")
    try:
        return DeleteResponse.decode(output)
    except InvalidArgument as error:
        raise Internal(f"{os.path.basename(binary)} delete printed no DeleteResponse: {error}") from None


def parse_address(output: bytes, stage: Stage | None = None) -> Address:
    """What ``start`` printed, on its ``stage`` if it had one: an address, or since version 3 a JSON object that holds
    one.

    Internal: neither; Unimplemented: an address of a kind not spoken here.
    """
    try:
        text = output.decode().strip()
        if not text.startswith("{"):
            return _unix(text, 2, stage)
        values = json.loads(text)
        if values.get("protocol", "ttrpc") != "ttrpc":
            raise Unimplemented(f"shim speaks {str(values['protocol'])[:40]}: only ttrpc is offered here")
        return _unix(values["address"], int(values.get("version", 2)), stage)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Internal(f"shim's start printed no address but {output[:80]!r}") from None


def _unix(text: str, version: int, stage: Stage | None) -> Address:
    scheme, separator, path = text.partition("://")
    path = stage.outside(path) if stage else path
    if not separator or scheme != "unix" or not path or len(path) > 107:
        raise Unimplemented(f"shim's address {text[:120]!r} is no unix socket") if separator else ValueError(text)
    return Address(path if path.startswith("/") else "\0" + path.lstrip("@\0"), version)


async def _run(
    binary: str,
    bundle: str,
    arguments: Sequence[str],
    config: LaunchConfig,
    stdin: bytes,
    inherited: Sequence[int] = (),
) -> bytes:
    common = ["-namespace", config.namespace, "-address", config.events, "-publish-binary", config.publisher]
    environ = {
        **config.environ,
        "GOMAXPROCS": "2",
        "MAX_SHIM_VERSION": "3",
        "NAMESPACE": config.namespace,
        "GRPC_ADDRESS": config.events,
        "TTRPC_ADDRESS": config.events,
    }
    named = f"{binary} {arguments[-1]}"
    command = [binary, *common, *arguments]
    if config.stage is not None:
        command = config.stage.command(command)
    done = await program.run(command, stdin, environ, config.timeout, named=named, folder=bundle, inherited=inherited)
    if done.code != 0:
        raise Internal(
            f"{os.path.basename(binary)} {arguments[-1]} failed: {_last_words(done.complaints or done.output)}"
        )
    return done.output[:_OUTPUT_LIMIT]


def _last_words(output: bytes) -> str:
    lines = [line.strip() for line in output[-_OUTPUT_LIMIT:].decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"
