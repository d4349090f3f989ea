"""What wherryd was told by arguments, environment and a file, as a frozen value. Nothing but the file is touched."""

import argparse
import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wherry.core.remotes.hosts import RegistryConfig, parse_insecure, parse_url
from wherry.core.remotes.proxies import proxies
from wherry.daemon import file
from wherry.daemon.options import DEFAULTS, LOG_LEVELS, parser
from wherry.daemon.tls import TlsConfig, tls_config
from wherry.errors import InvalidArgument

_MAX_UNIX_PATH = 107
WHY_LOOPBACK = (
    "whoever reaches the API owns this machine, so only loopback addresses are"
    " served to clients that show no certificate; others need --tlsverify"
)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """``unix://PATH``, absolute."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """``tcp://HOST:PORT``; loopback only, unless clients show certificates. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PassedAddress:
    """``fd://``: the sockets that whoever started this process passes, as systemd does. A ``verified`` one may be at
    any address: clients show certificates."""

    verified: bool = False

    def __str__(self) -> str:
        return "fd://"


Address = UnixAddress | TcpAddress | PassedAddress


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """``root`` is durable and absolute; ``state`` is gone after a reboot, its path short, since sockets lie in it.

    ``group`` owns unix sockets, "" is dockerd's where there is one; ``log_driver`` and ``log_options`` are of
    containers that name none; ``labels`` the engine's own; ``config_file`` may be missing.
    """

    root: str
    state: str
    addresses: tuple[Address, ...]
    log_level: str
    uid: int
    registries: RegistryConfig = field(default_factory=RegistryConfig)
    largest_layer: int = 64 << 30
    most_entries: int = 500_000
    trust_policy: str = ""
    trust_policy_given: bool = False
    tls: TlsConfig | None = None
    group: str = ""
    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    validate: bool = False
    config_file: str = ""

    @property
    def rootless(self) -> bool:
        return self.uid != 0


def parse(arguments: Sequence[str], environ: Mapping[str, str], uid: int) -> DaemonConfig:
    """Read the command line and the configuration file. InvalidArgument; ``--help`` and ``--version`` print and raise
    SystemExit. Blocks, shortly.

    The environment wins over the file; a flag over both, but what a flag and the file both say must be the same.
    """
    given = vars(parser().parse_args(arguments))
    path = os.path.abspath(given.get("config_file") or f"{_config_home(environ, uid)}/wherry/daemon.json")
    data = file.read(path, must_exist="config_file" in given)
    said = {} if data is None else file.settings(data, path)
    merged = {**DEFAULTS, **file.merged(given, said), **_of_environment(environ), **given}
    return _config(argparse.Namespace(**merged), environ, uid, path)


def _of_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if environ.get("WHERRY_ROOT"):
        found["root"] = environ["WHERRY_ROOT"]
    for flag, name in (("host", "WHERRY_HOST"), ("registry", "WHERRY_REGISTRIES")):
        if several := [one for one in environ.get(name, "").split(",") if one]:
            found[flag] = several
    return found


def _config(told: argparse.Namespace, environ: Mapping[str, str], uid: int, path: str) -> DaemonConfig:
    root = os.path.abspath(told.root or default_root(environ, uid))
    tls = tls_config(told, environ)
    verified = tls is not None and bool(tls.authority)
    addresses = tuple(parse_address(host, verified=verified) for host in told.host) or (
        UnixAddress(default_socket(environ, uid)),
    )
    if told.log_level not in LOG_LEVELS:
        raise InvalidArgument(f"invalid log-level {told.log_level[:40]!r}: write one of {', '.join(LOG_LEVELS)}")
    return DaemonConfig(
        root=root,
        state=os.path.join(runtime_folder(environ, uid), _short_name(root)),
        addresses=addresses,
        log_level="debug" if told.debug else told.log_level,
        uid=uid,
        registries=_registries(told, environ, uid),
        largest_layer=_size(told.max_layer_size),
        most_entries=_count(told.max_layer_entries),
        trust_policy=os.path.abspath(told.trust_policy or f"{_config_home(environ, uid)}/wherry/trust.json"),
        trust_policy_given=bool(told.trust_policy),
        tls=tls,
        group=told.group,
        log_driver=told.log_driver,
        log_options=_pairs("log-opt", told.log_opt),
        labels=tuple(f"{name}={value}" for name, value in _pairs("label", told.label).items()),
        validate=told.validate,
        config_file=path,
    )


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` each. InvalidArgument: a key is missing, or there with two values."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidArgument(f"invalid {flag} {text[:100]!r}: write KEY=VALUE")
        if found.setdefault(name, value) != value:
            raise InvalidArgument(f"invalid {flag} {text[:100]!r}: {name[:60]!r} is there with two values")
    return found


def _registries(told: argparse.Namespace, environ: Mapping[str, str], uid: int) -> RegistryConfig:
    places = {}
    for text in told.registry:
        name, separator, url = text.partition("=")
        if not separator or not name:
            raise InvalidArgument(
                f"invalid registry {text[:100]!r}: write NAME=URL, like docker.io=https://mirror.local"
            )
        places[name] = parse_url(url, "registry")
    folders = told.certs_dir or [f"{_config_home(environ, uid)}/{owner}/certs.d" for owner in ("wherry", "docker")]
    return RegistryConfig(
        insecure=tuple(parse_insecure(text) for text in told.insecure_registry),
        mirrors=tuple(parse_url(text, "registry mirror") for text in told.registry_mirror),
        places=places,
        certificates=tuple(os.path.abspath(folder) for folder in folders),
        proxies=proxies({"http": told.http_proxy, "https": told.https_proxy, "no": told.no_proxy}, environ),
    )


def _size(text: str) -> int:
    """``512m``, ``64g``: bytes, in powers of 1024. InvalidArgument."""
    number, unit = (text[:-1], text[-1:].lower()) if text[-1:].isalpha() else (text, "")
    power = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}.get(unit)
    if power is None or not (number.isascii() and number.isdigit()) or len(number) > 12 or not int(number):
        raise InvalidArgument(f"invalid size {text[:40]!r}: write bytes, or a number with k, m, g or t, like 64g")
    return int(number) << (10 * power)


def _count(text: str) -> int:
    """A number above zero. InvalidArgument."""
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or not int(text):
        raise InvalidArgument(f"invalid number {text[:40]!r}: write one above zero, like 500000")
    return int(text)


def _config_home(environ: Mapping[str, str], uid: int) -> str:
    """``/etc``, or the XDG configuration folder of a user, as docker has it."""
    if uid == 0:
        return "/etc"
    home = environ.get("XDG_CONFIG_HOME", "")
    return home if home.startswith("/") else os.path.join(environ.get("HOME") or "/", ".config")


def _short_name(root: str) -> str:
    """Two engines never share a state folder, and each finds its own again."""
    return hashlib.sha256(os.path.realpath(root).encode(errors="surrogateescape")).hexdigest()[:12]


def default_root(environ: Mapping[str, str], uid: int) -> str:
    """``/var/lib/wherry``, or the XDG data folder of a user."""
    if uid == 0:
        return "/var/lib/wherry"
    data = environ.get("XDG_DATA_HOME", "")
    if not data.startswith("/"):
        data = os.path.join(environ.get("HOME") or "/", ".local", "share")
    return os.path.join(data, "wherry")


def runtime_folder(environ: Mapping[str, str], uid: int) -> str:
    """``/run/wherry``, or the XDG runtime folder of a user, or one below /tmp that is checked before use."""
    if uid == 0:
        return "/run/wherry"
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(runtime, "wherry") if runtime.startswith("/") else f"/tmp/wherry-{uid}"


def default_socket(environ: Mapping[str, str], uid: int) -> str:
    """Where clients look first."""
    return os.path.join(runtime_folder(environ, uid), "wherry.sock")


def parse_address(text: str, *, verified: bool = False) -> Address:
    """Read one ``--host``. InvalidArgument; also for a TCP address that is not loopback where clients' certificates
    are not ``verified``: the API is root's shell."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "unix":
        if not rest.startswith("/"):
            raise InvalidArgument(f"invalid host {text!r}: a unix socket's path is absolute: unix:///run/wherry.sock")
        if len(os.fsencode(rest)) > _MAX_UNIX_PATH:
            raise InvalidArgument(f"invalid host {text!r}: a unix socket's path has at most {_MAX_UNIX_PATH} bytes")
        return UnixAddress(os.path.normpath(rest))
    if separator and scheme == "tcp":
        return _parse_tcp(text, rest, verified)
    if separator and scheme == "fd":
        if rest not in ("", "*"):
            raise InvalidArgument(
                f"invalid host {text!r}: fd:// is all sockets that are passed; one alone cannot be named"
            )
        return PassedAddress(verified)
    raise InvalidArgument(f"invalid host {text!r}: write unix://PATH, tcp://127.0.0.1:PORT or fd://")


def _parse_tcp(text: str, rest: str, verified: bool) -> TcpAddress:
    host, _, port = rest.rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 0xFFFF):
        raise InvalidArgument(f"invalid host {text!r}: a port from 0 to 65535 is needed: tcp://127.0.0.1:2375")
    try:
        address = ipaddress.ip_address({"localhost": "127.0.0.1", "": "0.0.0.0"}.get(host, host))
    except ValueError:
        address = None
    if not verified and not (address and address.is_loopback):
        raise InvalidArgument(f"refusing to listen on {text}: {WHY_LOOPBACK}")
    if address is None or "%" in host:
        raise InvalidArgument(f"invalid host {text!r}: an IP address of this machine is needed: tcp://0.0.0.0:2376")
    return TcpAddress(str(address), int(port))
