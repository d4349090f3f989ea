"""One program as a WASM image and as a Linux one, for tests of what holds for both: see `kind_images`.

The image has /seed/file, /seed/deep/more and the VOLUME /declared.
"""

import subprocess
from pathlib import Path
from typing import Any

from tests.zig import compile_wasm

PROGRAM = Path(__file__).parent.parent / "data/cli_guest.c"
PLATFORMS = {"wasm": "wasi/wasm32", "linux": "linux/amd64"}
_DOCKERFILE = """\
FROM scratch
COPY program /program
COPY seed /seed
VOLUME /declared
ENTRYPOINT ["/program"]
"""


def build_both(docker: Any, folder: Path, prefix: str) -> dict[str, str]:
    """Images by kind."""
    made = {}
    for kind, platform in PLATFORMS.items():
        context = folder / kind
        (context / "seed/deep").mkdir(parents=True)
        (context / "seed/file").write_text("seeded")
        (context / "seed/deep/more").write_text("deeper")
        (context / "seed").chmod(0o1777)
        if kind == "linux":
            subprocess.run(["gcc", "-static", "-O1", "-o", context / "program", PROGRAM], check=True)
        else:
            compile_wasm(PROGRAM, context / "program")
        (context / "Dockerfile").write_text(_DOCKERFILE)
        docker("build", "-q", "--platform", platform, "-t", f"{prefix}-{kind}", context)
        made[kind] = f"{prefix}-{kind}"
    return made
