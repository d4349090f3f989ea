"""Root file systems that debootstrap makes, as archives for `docker import`: the tests' large Linux images.

`compilers` is Debian with gcc, clang for WebAssembly and their C libraries, `postgres` with PostgreSQL. They are made
once and kept in the user's cache, by the versions of what is in them, beside the packages that were fetched for them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMPILERS = ("gcc", "libc6-dev", "clang", "lld", "wasi-libc", "libclang-rt-14-dev-wasm32")
POSTGRES = ("postgresql-15", "wget")
_RECIPE = "1"
_TIMEOUT = 600
_LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", *(f"usr/share/{name}" for name in ("doc", "info", "locale", "man")))
_NO_SERVICES = "#!/bin/sh\nexit 101\n"
_ENTRYPOINT = """\
#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "${POSTGRES_PASSWORD:?is not set}" > /tmp/password
    initdb --no-sync --locale=C -U postgres -A scram-sha-256 --auth-local=trust --pwfile=/tmp/password > /dev/null
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
exec "$@"
"""
_POSTGRES_DOCKERFILE = """\
FROM debian-postgres
COPY entrypoint /entrypoint
RUN install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
USER postgres
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data PGHOST=/tmp PGUSER=postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["/entrypoint"]
CMD ["postgres", "-k", "/tmp", "-c", "listen_addresses=*", "-c", "jit=off"]
"""


def import_compilers(docker: Any, name: str) -> None:
    """Debian with the compilers, as image ``name``."""
    docker("import", "--platform", "linux/amd64", "-c", 'CMD ["sh"]', _archive("compilers", COMPILERS), name)


def build_postgres(docker: Any, name: str, folder: Path) -> None:
    """PostgreSQL 15 as Debian has it, with the variables and the volume of Docker's official image, as ``name``."""
    docker("import", "--platform", "linux/amd64", _archive("postgres", POSTGRES), "debian-postgres")
    (folder / "entrypoint").write_text(_ENTRYPOINT)
    (folder / "entrypoint").chmod(0o755)
    (folder / "Dockerfile").write_text(_POSTGRES_DOCKERFILE)
    docker("build", "-q", "-t", name, folder)


def _archive(name: str, packages: Sequence[str]) -> Path:
    """The archive of a root file system with ``packages``, which is there whole or not at all."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "wherry-debian")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = cache / f"{name}-{_key(packages)}.tar"
        if not made.exists():
            root = _installed(cache, name, packages)
            for old in cache.glob(f"{name}-*.tar"):
                old.unlink()
            _run("tar", "--numeric-owner", "--one-file-system", "-C", root, "-cf", cache / "new.tar", ".")
            shutil.rmtree(root)
            (cache / "new.tar").rename(made)
        return made


def _key(packages: Sequence[str]) -> str:
    """By the versions that apt would install now, and by this recipe."""
    told = _run("apt-cache", "show", "--no-all-versions", "base-files", "dpkg", *packages)
    lines = [line for line in told.splitlines() if line.startswith(("Package:", "Version:"))]
    assert len(lines) >= 2 * len(packages), f"apt does not know {packages}: apt-get update"
    return hashlib.sha256("\n".join([_RECIPE, *sorted(lines)]).encode()).hexdigest()[:12]


def _installed(cache: Path, name: str, packages: Sequence[str]) -> Path:
    base = _base(cache)
    root = cache / f"new-{name}"
    shutil.rmtree(root, ignore_errors=True)
    _run("cp", "-a", base, root)
    (root / "usr/sbin/policy-rc.d").write_text(_NO_SERVICES)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    (root / "etc/postgresql-common").mkdir(exist_ok=True)
    (root / "etc/postgresql-common/createcluster.conf").write_text("create_main_cluster = false\n")
    quick = ("-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io")
    _run("chroot", root, "apt-get", "install", *quick, *packages)
    for folder in _LEFT_OUT:
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    return root


def _base(cache: Path) -> Path:
    """A minimal Debian, from the mirror that this machine's apt asks."""
    base = cache / f"base-{_key(())}"
    if not base.exists():
        for old in cache.glob("base-*"):
            shutil.rmtree(old)
        for name in ("debootstrap", "chroot"):
            assert shutil.which(name), f"{name} is not installed: install debootstrap"
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        suite = release["VERSION_CODENAME"]
        asked = ("--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {suite}")
        mirrors = _run("apt-get", "indextargets", *asked).split()
        packages = cache / "packages"
        packages.mkdir(exist_ok=True)
        made = cache / "new-base"
        shutil.rmtree(made, ignore_errors=True)
        _run("debootstrap", "--variant=minbase", f"--cache-dir={packages}", suite, made, *mirrors[:1])
        made.rename(base)
    return base


def _run(*command: object) -> str:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        [*map(str, command)], env=environ, capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    said = f"{done.stdout[-1000:]}{done.stderr[-1000:]}"
    assert done.returncode == 0, f"{command[0]} failed, which needs root and a Debian mirror: {said}"
    return done.stdout
