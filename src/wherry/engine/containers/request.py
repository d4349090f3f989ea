"""The body of POST /containers/create: checked, its gaps filled with defaults and with what the image says. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.engine.containers import health
from wherry.engine.containers.hostconfig import host_config
from wherry.engine.document import (
    Form,
    checked,
    is_command,
    is_flag,
    is_number,
    is_object,
    is_text,
    is_text_map,
    is_texts,
)
from wherry.engine.networks.ports import check_ports
from wherry.engine.networks.settings import attachments, endpoints_config
from wherry.errors import InvalidArgument
from wherry.oci.image import RunConfig

_OLD: Final[dict[str, tuple[Form, Any]]] = {"MacAddress": (is_text, "")}
"""What is told of the first network by now."""
CONFIG: Final[dict[str, tuple[Form, Any]]] = {
    "Hostname": (is_text, ""),
    "Domainname": (is_text, ""),
    "User": (is_text, ""),
    "AttachStdin": (is_flag, False),
    "AttachStdout": (is_flag, False),
    "AttachStderr": (is_flag, False),
    "ExposedPorts": (is_object, {}),
    "Tty": (is_flag, False),
    "OpenStdin": (is_flag, False),
    "StdinOnce": (is_flag, False),
    "Env": (is_texts, []),
    "Cmd": (is_command, None),
    "Healthcheck": (is_object, None),
    "ArgsEscaped": (is_flag, False),
    "Image": (is_text, ""),
    "Volumes": (is_object, {}),
    "WorkingDir": (is_text, ""),
    "Entrypoint": (is_command, None),
    "NetworkDisabled": (is_flag, False),
    "OnBuild": (is_texts, None),
    "Labels": (is_text_map, {}),
    "StopSignal": (is_text, ""),
    "StopTimeout": (is_number, None),
    "Shell": (is_texts, None),
}
_LONGEST_HOSTNAME: Final = 63


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """``config`` and ``host`` in Docker's own form, complete but for the image's part (see `merged`); ``networks`` the
    EndpointSettings by network."""

    image: str
    config: Mapping[str, Any]
    host: Mapping[str, Any]
    networks: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def parse(body: Any) -> CreateRequest:
    """InvalidArgument tells what is wrong, in one line."""
    config = checked(body, CONFIG, "container configuration")
    if not config["Image"]:
        raise InvalidArgument("no image was named: Image is empty")
    if len(config["Hostname"]) > _LONGEST_HOSTNAME or "/" in config["Hostname"]:
        raise InvalidArgument(f"invalid hostname {config['Hostname'][:80]!r}: at most 63 characters and no slash")
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config['WorkingDir'][:200]}' is invalid, it needs to be an absolute path"
        )
    if any(not entry or entry.startswith("=") for entry in config["Env"]):
        raise InvalidArgument("invalid environment variable: a name is wanted before '='")
    health.check(config["Healthcheck"])
    host = host_config(body.get("HostConfig"))
    if host["UTSMode"] == "host" and config["Hostname"]:
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    check_ports(host, config["ExposedPorts"])
    mac = checked(body, _OLD, "container configuration")["MacAddress"]
    networks = attachments(host, endpoints_config(body.get("NetworkingConfig")), mac)
    return CreateRequest(config["Image"], config, host, networks)


def merged(config: Mapping[str, Any], image: RunConfig) -> dict[str, Any]:
    """``config`` with the image's settings where it has none of its own, by docker's rules.

    InvalidArgument: there is no command in either.
    """
    result = dict(config)
    entrypoint, command = config["Entrypoint"], config["Cmd"]
    if not entrypoint:
        command = command or _listed(image.cmd)
        entrypoint = _listed(image.entrypoint) if entrypoint is None else None
    if entrypoint == [""]:
        entrypoint = None
    if not entrypoint and not command:
        raise InvalidArgument("no command specified")
    result |= {
        "Entrypoint": entrypoint,
        "Cmd": command,
        "User": config["User"] or image.user,
        "WorkingDir": config["WorkingDir"] or image.working_dir,
        "StopSignal": config["StopSignal"] or image.stop_signal,
        "Labels": {**image.labels, **config["Labels"]},
        "ExposedPorts": {port: {} for port in (*image.exposed_ports, *config["ExposedPorts"])},
        "Volumes": {path: {} for path in (*image.volumes, *config["Volumes"])},
        "Env": merged_environment(config["Env"], image.env),
        "Shell": config["Shell"] or _listed(image.shell),
    }
    result["Healthcheck"] = health.merged(
        config["Healthcheck"], None if image.healthcheck is None else image.healthcheck.to_json()
    )
    return result


def merged_environment(own: Sequence[str], image: Sequence[str]) -> list[str]:
    """The user's variables, then the image's that the user did not name; a name without ``=`` is taken out."""
    names = {entry.partition("=")[0] for entry in own}
    kept = [entry for entry in image if entry.partition("=")[0] not in names]
    last = {entry.partition("=")[0]: entry for entry in own}
    return [entry for entry in last.values() if "=" in entry] + kept


def _listed(words: Sequence[str] | None) -> list[str] | None:
    return list(words) if words else None
