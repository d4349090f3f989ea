"""What a bill of materials is written of: an image's module, hashed and inspected."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from wherry.core.faults import translating
from wherry.core.threads import blocking
from wherry.engine import sbom
from wherry.engine.images import Images, Module
from wherry.engine.services import EngineServices
from wherry.errors import InvalidArgument, ResourceExhausted
from wherry.wasm.module import inspect

_NAMES: Final[Mapping[str, str]] = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}
_READ_HERE: Final = 128 << 20
_CHUNK: Final = 1 << 20


class Sboms:
    """`wherry sbom`."""

    def __init__(self, services: EngineServices, images: Images) -> None:
        self._services = services
        self._images = images

    async def document(self, ref: str, form: str, platform: str = "") -> tuple[dict[str, Any], str]:
        """The document and its media type. InvalidArgument: no such format, or the image runs no module; NotFound."""
        sbom.checked(form)
        image = await self._images.runnable(ref, platform or None)
        async with self._images.module(ref, platform) as module:
            subject = sbom.Subject(
                name=image.name,
                digest=image.manifest,
                path=module.name,
                hashes=await blocking(_hashes, module.source),
                info=await self._inspected(module),
                created=sbom.second(image.config.created),
            )
        return sbom.document(subject, form)

    async def _inspected(self, module: Module) -> Mapping[str, Any]:
        try:
            return (await self._services.compiler.ensure(module.source)).info
        except InvalidArgument:  # it cannot run here, and is described all the same
            return await blocking(_read, module)


def _read(module: Module) -> Mapping[str, Any]:
    with translating(f"read {module.name}"), open(module.binary, "rb") as file:
        data = file.read(_READ_HERE + 1)
    if len(data) > _READ_HERE:
        raise ResourceExhausted(f"{module.name} cannot run here, and is too large to be described: over 128 MiB")
    return inspect(data, module.name).to_json()


def _hashes(path: str) -> dict[str, str]:
    hashers = {name: hashlib.new(algorithm, usedforsecurity=False) for name, algorithm in _NAMES.items()}
    with translating(f"read {path}"), open(path, "rb") as file:
        while data := file.read(_CHUNK):
            for hasher in hashers.values():
                hasher.update(data)
    return {name: hasher.hexdigest() for name, hasher in hashers.items()}
