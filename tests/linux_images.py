"""Linux images for tests, made of Debian's own packages: no registry is asked.

`busybox_context` is a build context of busybox-static with a name for each of its programs; `compiler_context` adds a
compiler to it, of the files that the installed packages brought. Whole Debians are in debian_images.py.
"""

import os
import shutil
import subprocess
from pathlib import Path

BUSYBOX = Path("/bin/busybox")

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nmate:x:1000:1001:Mate:/home/mate:/bin/sh\n"
_GROUP = "root:x:0:\ntty:x:5:\ndeck:x:44:mate\nmate:x:1001:\n"
_DOCKERFILE = 'FROM scratch\nCOPY rootfs /\nCMD ["sh"]\n'


def busybox_context(folder: Path) -> Path:
    """Make the context in ``folder`` and return that. Its image has the users root and mate (1000), no libraries."""
    assert BUSYBOX.exists(), "busybox is not installed: install busybox-static"
    root = folder / "rootfs"
    for name in ("bin", "etc", "home/mate", "proc", "root", "sys", "dev", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "bin/busybox").write_bytes(BUSYBOX.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    programs = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in set(programs) - {"busybox"}:
        os.symlink("busybox", root / "bin" / name)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    return folder


# What of Debian's packages a C compiler needs; the C++ and link-time halves of gcc are left out below.
_COMPILER = "gcc gcc-12 cpp cpp-12 binutils binutils-x86-64-linux-gnu libc6-dev linux-libc-dev libgcc-12-dev"
_LEFT_OUT = tuple(
    "/usr/share/ /lto1 /lto-wrapper lto-dump gprofng libasan libtsan liblsan libubsan libhwasan ld.gold dwp".split()
)


def compiler_context(folder: Path) -> Path:
    """A context whose image has busybox's shell and gcc, with the libraries it loads.

    The files are those that the installed packages brought: as `dpkg -x` would give them, without a download.
    """
    busybox_context(folder)
    wanted = set(_files(_COMPILER.split()))
    for name in [path for path in wanted if path.startswith(("/usr/bin/", "/usr/lib/gcc"))]:
        wanted |= _libraries(name)
    _fill(folder / "rootfs", wanted)
    return folder


def _fill(root: Path, wanted: set[str]) -> None:
    for path in sorted(wanted):
        _copy(Path(path), root)
    for name in ("lib", "lib64"):
        # Debian's merged /usr: programs name their loader by /lib64.
        (root / name).symlink_to(f"usr/{name}")


def _files(packages: list[str]) -> list[str]:
    listed = subprocess.run(["dpkg", "-L", *packages], capture_output=True, text=True, check=False)
    assert listed.returncode == 0, f"packages are missing: {listed.stderr}: install {' '.join(packages)}"
    return [line for line in listed.stdout.splitlines() if line and not any(part in line for part in _LEFT_OUT)]


def _libraries(program: str) -> set[str]:
    if not os.access(program, os.X_OK) or os.path.isdir(program):
        return set()
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return {path for word in words for path in (word, os.path.realpath(word))}


def _copy(path: Path, root: Path) -> None:
    """One file or link; ``/lib`` is ``/usr/lib``."""
    text = str(path)
    place = root / (f"usr{text}" if text.startswith(("/lib", "/lib64")) else text.lstrip("/"))
    folder = path.is_dir() and (not path.is_symlink() or path.parent == Path("/"))
    if os.path.lexists(place) or folder:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        place.symlink_to(os.readlink(path))
    elif path.exists():
        os.link(path, place) if os.stat(path).st_dev == os.stat(root).st_dev else shutil.copy2(path, place)
