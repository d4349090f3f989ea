"""The flags of wherryd, with dockerd's names where it has the same. What they come to, is decided in config.py."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

import wherry
from wherry.daemon import tls
from wherry.errors import InvalidArgument

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
DEFAULTS: Final[Mapping[str, Any]] = {
    "root": "",
    "host": [],
    "group": "",
    "config_file": "",
    "validate": False,
    "debug": False,
    "log_level": "info",
    "log_driver": "json-file",
    "log_opt": [],
    "label": [],
    "insecure_registry": [],
    "registry_mirror": [],
    "registry": [],
    "certs_dir": [],
    "http_proxy": None,
    "https_proxy": None,
    "no_proxy": None,
    "max_layer_size": "64g",
    "max_layer_entries": "500000",
    "trust_policy": "",
    **tls.DEFAULTS,
}
"""What each flag comes to that is given nowhere."""
_EPILOG: Final = (
    "WHERRY_ROOT, WHERRY_HOST and WHERRY_REGISTRIES (commas between) say the same as --root, --host, --registry."
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "None":  # type: ignore[override]  # argparse's ends the process
        raise InvalidArgument(f"{message}; see wherryd --help")


def parser() -> argparse.ArgumentParser:
    """What it parses has only what was given. InvalidArgument; ``--help`` and ``--version`` raise SystemExit."""
    made = _Parser(
        prog="wherryd",
        description="The wherry engine.",
        epilog=_EPILOG,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--root", metavar="DIR", help="where images, containers and logs are kept")
    made.add_argument(
        "--host",
        "-H",
        metavar="ADDRESS",
        action="append",
        help="unix://PATH, tcp://ADDRESS:PORT, or fd:// for the sockets that systemd passes; may be repeated",
    )
    made.add_argument("--group", "-G", metavar="GROUP", help="the group of unix sockets: docker, where there is one")
    made.add_argument("--config-file", metavar="FILE", help="a JSON object whose keys are flags")
    made.add_argument("--validate", action="store_true", help="look whether all that is told is right, and end")
    _add_containers(made)
    tls.add_options(made)
    _add_registries(made)
    made.add_argument("--debug", "-D", action="store_true", help="the same as --log-level debug")
    made.add_argument("--log-level", choices=LOG_LEVELS, help="how much is told on stderr")
    made.add_argument("--version", action="version", version=f"wherryd {wherry.__version__}")
    return made


def _add_containers(made: argparse.ArgumentParser) -> None:
    made.add_argument("--log-driver", metavar="NAME", help="the log driver of containers that name none")
    made.add_argument(
        "--log-opt", metavar="KEY=VALUE", action="append", help="an option of that log driver; may be repeated"
    )
    made.add_argument("--label", metavar="KEY=VALUE", action="append", help="a label of the engine; may be repeated")


def _add_registries(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--insecure-registry",
        metavar="HOST",
        action="append",
        help="a registry, or a block like 10.0.0.0/8, that may do without TLS; may be repeated",
    )
    made.add_argument(
        "--registry-mirror", metavar="URL", action="append", help="ask here first for images of Docker Hub"
    )
    made.add_argument(
        "--registry", metavar="NAME=URL", action="append", help="where the registry NAME is to be reached"
    )
    for name in ("http", "https"):
        words = f"the proxy to registries by {name.upper()}; {name.upper()}_PROXY says the same"
        made.add_argument(f"--{name}-proxy", metavar="URL", help=words)
    made.add_argument(
        "--no-proxy", metavar="HOST,...", help="names and addresses that no proxy is asked for; NO_PROXY says the same"
    )
    made.add_argument("--max-layer-size", metavar="SIZE", help="what one layer may unpack to, like 64g")
    made.add_argument("--max-layer-entries", metavar="N", help="files, folders and links that one layer may have")
    made.add_argument(
        "--trust-policy", metavar="FILE", help="which registries' images must be signed, and by whose keys"
    )
    made.add_argument(
        "--certs-dir", metavar="DIR", action="append", help="folder with a folder of CAs for each registry"
    )
