"""Linux images for tests, made of Debian's own packages: no registry is asked.

`busybox_context` is a build context of busybox-static with a name for each of its programs.
"""

import os
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
