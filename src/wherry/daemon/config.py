"""What wherryd was told: arguments and environment, parsed once into a frozen value. Nothing is touched here."""

import argparse
import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import wherry
from wherry.core.remotes.hosts import RegistryConfig, parse_insecure, parse_url
from wherry.core.remotes.proxies import proxies
from wherry.daemon.tls import TlsConfig, add_options, tls_config
from wherry.errors import InvalidArgument

LOG_LEVELS = ("debug", "info", "warning", "error")
_MAX_UNIX_PATH = 107
_EPILOG = "WHERRY_ROOT, WHERRY_HOST and WHERRY_REGISTRIES (commas between) say the same as --root, --host, --registry."


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


Address = UnixAddress | TcpAddress


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """``root`` is durable and absolute; ``state`` is gone after a reboot, its path short, since sockets lie in it."""

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

    @property
    def rootless(self) -> bool:
        return self.uid != 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "None":  # type: ignore[override]  # argparse's ends the process
        raise InvalidArgument(f"{message}; see wherryd --help")


def parse(arguments: Sequence[str], environ: Mapping[str, str], uid: int) -> DaemonConfig:
    """Read the command line. InvalidArgument; ``--help`` and ``--version`` print and raise SystemExit."""
    parser = _Parser(prog="wherryd", description="The wherry engine.", epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("--root", metavar="DIR", help="where images, containers and logs are kept")
    parser.add_argument(
        "--host", "-H", metavar="ADDRESS", action="append", help="unix://PATH or tcp://ADDRESS:PORT; may be repeated"
    )
    add_options(parser)
    _add_registry_options(parser)
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="how much is told on stderr")
    parser.add_argument("--version", action="version", version=f"wherryd {wherry.__version__}")
    told = parser.parse_args(arguments)
    root = os.path.abspath(told.root or environ.get("WHERRY_ROOT") or default_root(environ, uid))
    hosts = told.host or [host for host in environ.get("WHERRY_HOST", "").split(",") if host]
    tls = tls_config(told, environ)
    verified = tls is not None and bool(tls.authority)
    addresses = tuple(parse_address(host, verified=verified) for host in hosts) or (
        UnixAddress(default_socket(environ, uid)),
    )
    state = os.path.join(runtime_folder(environ, uid), _short_name(root))
    return DaemonConfig(
        root=root,
        state=state,
        addresses=addresses,
        log_level=told.log_level,
        uid=uid,
        registries=_registries(told, environ, uid),
        largest_layer=_size(told.max_layer_size),
        most_entries=_count(told.max_layer_entries),
        trust_policy=os.path.abspath(told.trust_policy or f"{_config_home(environ, uid)}/wherry/trust.json"),
        trust_policy_given=bool(told.trust_policy),
        tls=tls,
    )


def _add_registry_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--insecure-registry",
        metavar="HOST",
        action="append",
        default=[],
        help="a registry, or a block like 10.0.0.0/8, that may do without TLS; may be repeated",
    )
    parser.add_argument(
        "--registry-mirror", metavar="URL", action="append", default=[], help="ask here first for images of Docker Hub"
    )
    parser.add_argument(
        "--registry", metavar="NAME=URL", action="append", default=[], help="where the registry NAME is to be reached"
    )
    for name in ("http", "https"):
        words = f"the proxy to registries by {name.upper()}; {name.upper()}_PROXY says the same"
        parser.add_argument(f"--{name}-proxy", metavar="URL", help=words)
    parser.add_argument(
        "--no-proxy", metavar="HOST,...", help="names and addresses that no proxy is asked for; NO_PROXY says the same"
    )
    parser.add_argument(
        "--max-layer-size", metavar="SIZE", default="64g", help="what one layer may unpack to, like 64g"
    )
    parser.add_argument(
        "--max-layer-entries", metavar="N", default="500000", help="files, folders and links that one layer may have"
    )
    parser.add_argument(
        "--trust-policy", metavar="FILE", help="which registries' images must be signed, and by whose keys"
    )
    parser.add_argument(
        "--certs-dir", metavar="DIR", action="append", default=[], help="folder with a folder of CAs for each registry"
    )


def _registries(told: argparse.Namespace, environ: Mapping[str, str], uid: int) -> RegistryConfig:
    places = {}
    for text in told.registry or [entry for entry in environ.get("WHERRY_REGISTRIES", "").split(",") if entry]:
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
    raise InvalidArgument(f"invalid host {text!r}: write unix://PATH or tcp://127.0.0.1:PORT")


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
        raise InvalidArgument(
            f"refusing to listen on {text}: whoever reaches the API owns this machine, so only loopback addresses are"
            " served to clients that show no certificate; others need --tlsverify"
        )
    if address is None or "%" in host:
        raise InvalidArgument(f"invalid host {text!r}: an IP address of this machine is needed: tcp://0.0.0.0:2376")
    return TcpAddress(str(address), int(port))
