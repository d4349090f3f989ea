"""A .wasm or .wat file as an image: ``wherry run hello.wasm`` builds ``FROM scratch`` around it, once per contents."""

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile

from wherry.cli.app import App
from wherry.cli.exits import CANNOT_RUN, CommandError
from wherry.cli.progress import unless_quick
from wherry.client.api import Client
from wherry.errors import Conflict, Internal, NotFound

SOURCE_LABEL = "dev.wherry.source"
_MAGIC = b"\0asm"
_REPOSITORY = "wherry-file"
# By their first bytes: what people try to run instead.
_KINDS = ((b"\x7fELF", "a Linux executable (put it into an image)"), (b"#!", "a script"), (b"", "empty"))


def image_of(app: App, path: str) -> str:
    """The image's ID, built if these contents were not before.

    NotFound: no such file. CommandError (126): it is no module.
    """
    contents = _read(path)
    digest = f"sha256:{hashlib.sha256(contents).hexdigest()}"
    base = os.path.basename(path)
    name = f"{_REPOSITORY}/{re.sub(r'[^a-z0-9]+', '-', base.lower()).strip('-') or 'module'}"
    try:
        known = app.client.call("GET", f"/images/{name}/json")
        if ((known.get("Config") or {}).get("Labels") or {}).get(SOURCE_LABEL) == digest:
            return str(known["Id"])
    except NotFound:
        pass
    return _build(app, name, digest, base, contents)


def forget(client: Client, image: str) -> None:
    """Remove an image that `image_of` made, if a later one has its name by now and nobody uses it."""
    with contextlib.suppress(NotFound, Conflict):
        if not client.call("GET", f"/images/{image}/json").get("RepoTags"):
            client.call("DELETE", f"/images/{image}")


def _build(app: App, name: str, digest: str, base: str, contents: bytes) -> str:
    # The file keeps its name, since it is the guest's argv[0]; one with a quote or a line break gets a plain one.
    inside = base if re.fullmatch(r"[\w.+-]+", base, re.ASCII) else "module" + os.path.splitext(base)[1]
    dockerfile = f'FROM scratch\nCOPY {inside} /{inside}\nENTRYPOINT ["/{inside}"]\n'
    query = {"t": name, "platform": "wasi/wasm", "labels": {SOURCE_LABEL: digest}, "rm": True}
    context = _tar({"Dockerfile": dockerfile.encode(), inside: contents})
    headers = {"Content-Type": "application/x-tar"}
    made = ""
    with unless_quick(f"compiling {base} for this machine, once"):
        for message in app.client.stream("POST", "/build", query, context, headers):
            if error := message.get("error"):
                raise Internal(f"cannot make an image of {base}: {error}")
            made = (message.get("aux") or {}).get("ID") or made
    if not made:
        raise Internal(f"cannot make an image of {base}: the engine gave no image ID")
    return made


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, contents in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(contents), 0o755
            archive.addfile(entry, io.BytesIO(contents))
    return out.getvalue()


def _read(path: str) -> bytes:
    if not os.path.exists(path):
        raise NotFound(f"no such module: {path} does not exist")
    if os.path.isdir(path):
        raise CommandError(f"{path} is a directory, not a WebAssembly module", CANNOT_RUN)
    with open(path, "rb") as file:
        contents = file.read()
    if path.endswith(".wat") and contents.lstrip().startswith((b"(", b";;")):
        return contents
    if not contents.startswith(_MAGIC):
        raise CommandError(f"{path} is not a WebAssembly module: {_what(contents)}", CANNOT_RUN)
    return contents


def _what(contents: bytes) -> str:
    for beginning, kind in _KINDS:
        if contents.startswith(beginning) and (beginning or not contents):
            return f"it is {kind}"
    return f"it begins with {json.dumps(contents[:8].decode('utf-8', 'replace'))}"
