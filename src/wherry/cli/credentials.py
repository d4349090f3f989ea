"""Docker's ``config.json``: who this user is at which registry, from the file itself or by a credential helper.

Sources: https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties and
https://github.com/docker/docker-credential-helpers (the protocol of helpers).
"""

import base64
import binascii
import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from wherry.errors import FailedPrecondition, InvalidArgument, NotFound
from wherry.oci.reference import DEFAULT_DOMAIN, Reference

HUB = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_HELPER_TIMEOUT = 60
"""Seconds: a credential helper may ask its user for a password."""
_FIELDS = ("username", "password", "identitytoken", "registrytoken")
Json = dict[str, Any]


def config_path(environ: Mapping[str, str]) -> str:
    """Where docker keeps its configuration, and so do we."""
    folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME") or "/", ".docker")
    return os.path.join(folder, "config.json")


def key_of(domain: str) -> str:
    """What a registry is called in that file."""
    return HUB if domain in ("", DEFAULT_DOMAIN, "index.docker.io", "registry-1.docker.io") else domain


def _host(key: str) -> str:
    return (key.partition("://")[2] or key).partition("/")[0]


class Logins:
    """Credentials as docker's AuthConfig: ``username`` and ``password``, or an ``identitytoken``; ``serveraddress``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """FailedPrecondition: the file is not JSON."""
        self._environ = environ
        self.path = config_path(environ)
        self._config = _read(self.path)

    def of_image(self, name: str) -> Json:
        """Those for the registry that an image's name begins with; {} for nobody's."""
        try:
            domain = Reference.parse_bare(name).domain
        except InvalidArgument:
            return {}  # what is wrong with it, the engine says
        return self.get(domain)

    def get(self, domain: str) -> Json:
        """Those for a registry; {} if there are none. FailedPrecondition: a helper that is configured cannot be run."""
        key = key_of(domain)
        helper = self._helper(key)
        if helper:
            return self._asked(helper, key)
        auths = self._auths()
        found = auths.get(key)
        if found is None:
            found = next((auths[name] for name in auths if _host(name) == _host(key)), {})
        return _plain(found, key) if isinstance(found, dict) else {}

    def all(self) -> dict[str, Json]:
        """Every login of the file and the helpers it names, by registry: what a build may need."""
        names = {*self._auths(), *self._mapping("credHelpers")}
        found = {name: self.get(name) for name in sorted(names)}
        return {name: login for name, login in found.items() if login}

    def keep(self, domain: str, login: Mapping[str, str]) -> str:
        """Remember a login; the name of the helper that has it now, "" if it is in the file."""
        key = key_of(domain)
        helper = self._helper(key)
        token = login.get("identitytoken", "")
        if helper:
            secret = token or login.get("password", "")
            name = _TOKEN_USER if token else login.get("username", "")
            self._run(helper, "store", json.dumps({"ServerURL": key, "Username": name, "Secret": secret}))
            entry: Json = {}
        else:
            pair = f"{login.get('username', '')}:{'' if token else login.get('password', '')}".encode()
            entry = {"auth": base64.b64encode(pair).decode("ascii"), **({"identitytoken": token} if token else {})}
        self._config["auths"] = {**self._auths(), key: entry}
        self._write()
        return helper

    def forget(self, domain: str) -> bool:
        """Whether there was a login to forget."""
        key = key_of(domain)
        auths = self._auths()
        helper = self._helper(key)
        if helper:
            with contextlib.suppress(NotFound):
                self._run(helper, "erase", key)
        known = [name for name in auths if _host(name) == _host(key)]
        if known:
            self._config["auths"] = {name: value for name, value in auths.items() if name not in known}
            self._write()
        return bool(known or helper)

    def _auths(self) -> Json:
        return self._mapping("auths")

    def _mapping(self, name: str) -> Json:
        found = self._config.get(name)
        return found if isinstance(found, dict) else {}

    def _helper(self, key: str) -> str:
        """The helper for a registry, "" if the file itself has it."""
        helpers = self._mapping("credHelpers")
        name = helpers.get(key) or helpers.get(_host(key)) or self._config.get("credsStore") or ""
        return name if isinstance(name, str) and "/" not in name else ""

    def _asked(self, helper: str, key: str) -> Json:
        try:
            document = json.loads(self._run(helper, "get", key))
            name, secret = str(document["Username"]), str(document["Secret"])
        except NotFound:
            return {}
        except (ValueError, KeyError, TypeError):
            raise FailedPrecondition(f"docker-credential-{helper} did not answer as credential helpers do") from None
        if name == _TOKEN_USER:
            return {"identitytoken": secret, "serveraddress": key}
        return {"username": name, "password": secret, "serveraddress": key}

    def _run(self, helper: str, action: str, text: str) -> str:
        """NotFound: it has none. FailedPrecondition: it cannot be run, or failed."""
        program = f"docker-credential-{helper}"
        try:
            done = subprocess.run(
                [program, action],
                input=text,
                capture_output=True,
                text=True,
                env=dict(self._environ),
                timeout=_HELPER_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise FailedPrecondition(f"{program} is not installed, but {self.path} names it: install it") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FailedPrecondition(f"cannot run {program}: {error}") from None
        if done.returncode == 0:
            return done.stdout
        said = (done.stdout.strip() or done.stderr.strip()).partition("\n")[0][:200]
        if "credentials not found" in said:
            raise NotFound(said)
        raise FailedPrecondition(f"{program} {action} failed: {said or f'exit code {done.returncode}'}")

    def _write(self) -> None:
        """Whole or not at all, for its owner alone; a file that is a link stays one."""
        path = os.path.realpath(self.path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".config.json.", dir=os.path.dirname(path))
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._config, file, indent="\t", ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # also Ctrl-C: half a file must not stay
            os.unlink(temporary)
            raise


def header(login: Mapping[str, Any]) -> dict[str, str]:
    """``X-Registry-Auth`` for a request; nothing for nobody."""
    return {"X-Registry-Auth": _encoded(login)} if login else {}


def headers(logins: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """``X-Registry-Config`` for a build."""
    return {"X-Registry-Config": _encoded(logins)} if logins else {}


def _encoded(document: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode("ascii")


def _read(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise FailedPrecondition(f"cannot read {path}: it is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise FailedPrecondition(f"cannot read {path}: it is not a JSON object")
    return found


def _plain(entry: Json, key: str) -> Json:
    """An entry of ``auths``, its ``auth`` taken apart."""
    found = {
        name: entry[name] for name in ("username", "password", "identitytoken", "registrytoken") if entry.get(name)
    }
    auth = entry.get("auth")
    if isinstance(auth, str) and auth:
        try:
            name, _, password = base64.b64decode(auth).decode().partition(":")
        except (binascii.Error, ValueError):
            return {}
        if name:
            found |= {"username": name, **({"password": password.rstrip("\0")} if password else {})}
    return {**found, "serveraddress": key} if found else {}
