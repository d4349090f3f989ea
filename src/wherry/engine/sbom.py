"""A bill of materials of an image's module: its hashes, who made it, and what it imports and exports. Pure.

Sources: https://spdx.github.io/spdx-spec/v2.3/ and https://cyclonedx.org/docs/1.5/json/; package URLs of images:
https://github.com/package-url/purl-spec (type oci). The same image has the same document, whenever it is asked for.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import wherry
from wherry.errors import InvalidArgument
from wherry.oci.reference import Reference

Json = dict[str, Any]
_TOOLS: Final = ("processed-by", "sdk")
_MOST: Final = 10_000
"""Names that are listed of a kind: a hostile module has as many as it likes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is described. ``name`` is the image's canonical name or id, ``digest`` its manifest's; ``path`` the module's
    in the image; ``hashes`` are in hex by their names in CycloneDX (``SHA-256``); ``info`` as wasm/module.py tells it;
    ``created`` a time in RFC 3339."""

    name: str
    digest: str
    path: str
    hashes: Mapping[str, str]
    info: Mapping[str, Any]
    created: str

    @property
    def serial(self) -> str:
        """An identifier that only the same image and module have."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.digest} {self.path} {self.hashes['SHA-256']}"))

    @property
    def purl(self) -> str:
        """The image's package URL; "" if it has no name."""
        if self.name.startswith("sha256:"):
            return ""
        try:
            reference = Reference.parse_bare(self.name)
        except InvalidArgument:
            return ""
        place = quote(f"{reference.domain}/{reference.path}", safe="/")
        return f"pkg:oci/{reference.path.rpartition('/')[2]}@{quote(self.digest, safe='')}?repository_url={place}"

    @property
    def tools(self) -> Iterator[tuple[str, str]]:
        """Compilers and the like, each with its version."""
        for field in _TOOLS:
            yield from self.info["producers"].get(field, ())[:_MOST]

    @property
    def languages(self) -> Iterator[str]:
        """``C11``, ``Rust``."""
        for name, version in self.info["producers"].get("language", ())[:_MOST]:
            yield f"{name} {version}".strip()

    @property
    def imports(self) -> Mapping[str, list[str]]:
        """The names that it imports, by the module (or, of a component, the interface) that they are of."""
        found: dict[str, list[str]] = {}
        for item in self.info["imports"][:_MOST]:
            found.setdefault(item["module"] or item["name"], []).append(item["name"])
        return found

    @property
    def exports(self) -> Sequence[str]:
        return sorted(item["name"] for item in self.info["exports"][:_MOST])


def cyclonedx(subject: Subject) -> Json:
    """CycloneDX 1.5."""
    hashes = [{"alg": name, "content": value} for name, value in subject.hashes.items()]
    tools = [_component(f"tool-{number}", *tool) for number, tool in enumerate(subject.tools)]
    imports = [_interface(number, *item) for number, item in enumerate(subject.imports.items())]
    facts = [("kind", subject.info["kind"]), ("size", str(subject.info["size"]))]
    facts += [("language", language) for language in subject.languages]
    facts += [("export", name) for name in subject.exports]
    module = {
        "type": "application",
        "bom-ref": "module",
        "name": subject.path,
        "hashes": hashes,
        "properties": _properties(facts),
    }
    image = {"type": "container", "bom-ref": "image", "name": subject.name, "version": subject.digest}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{subject.serial}",
        "version": 1,
        "metadata": {
            "timestamp": subject.created,
            "tools": {"components": [{"type": "application", "name": "wherry", "version": wherry.__version__}]},
            "component": {**image, **({"purl": subject.purl} if subject.purl else {})},
        },
        "components": [module, *tools, *imports],
        "dependencies": [
            {"ref": "image", "dependsOn": ["module"]},
            {"ref": "module", "dependsOn": [item["bom-ref"] for item in imports]},
        ],
    }


def _component(ref: str, name: str, version: str) -> Json:
    """A tool: it made the module, and is no part of it."""
    found = {"type": "application", "bom-ref": ref, "name": name or "unknown", "scope": "excluded"}
    return {**found, **({"version": version} if version else {})}


def _interface(number: int, name: str, functions: Sequence[str]) -> Json:
    properties = _properties([("import", function) for function in functions])
    return {"type": "library", "bom-ref": f"import-{number}", "name": name or "unknown", "properties": properties}


def _properties(facts: Sequence[tuple[str, str]]) -> list[Json]:
    return [{"name": f"wherry:{name}", "value": value} for name, value in facts]


def spdx(subject: Subject) -> Json:
    """SPDX 2.3. Versions and licenses of what is imported are nobody's to know: NOASSERTION."""
    tools = [_package(f"Tool-{number}", *tool, "") for number, tool in enumerate(subject.tools)]
    imports = [
        _package(f"Import-{number}", name, "", f"imported: {', '.join(functions)}")
        for number, (name, functions) in enumerate(subject.imports.items())
    ]
    image = _package("Image", subject.name, subject.digest, "")
    image |= {"primaryPackagePurpose": "CONTAINER"}
    if subject.purl:
        image["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": subject.purl}
        ]
    relations = [("DOCUMENT", "DESCRIBES", "Image"), ("Image", "CONTAINS", "Module")]
    relations += [(f"Tool-{number}", "BUILD_TOOL_OF", "Module") for number in range(len(tools))]
    relations += [("Module", "DYNAMIC_LINK", f"Import-{number}") for number in range(len(imports))]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "documentNamespace": f"https://spdx.org/spdxdocs/wherry-{subject.serial}",
        "creationInfo": {"created": subject.created, "creators": [f"Tool: wherry-{wherry.__version__}"]},
        "packages": [image, _module(subject), *tools, *imports],
        "relationships": [
            {"spdxElementId": f"SPDXRef-{one}", "relationshipType": kind, "relatedSpdxElement": f"SPDXRef-{other}"}
            for one, kind, other in relations
        ],
    }


def _package(ref: str, name: str, version: str, comment: str) -> Json:
    found = {
        "SPDXID": f"SPDXRef-{ref}",
        "name": name or "unknown",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }
    return {**found, **({"versionInfo": version} if version else {}), **({"comment": comment} if comment else {})}


def _module(subject: Subject) -> Json:
    """A package and no file: of a package whose files were not all analyzed, the specification wants none listed."""
    told = [f"WebAssembly {subject.info['kind']} of {subject.info['size']} bytes"]
    told += [f"language: {language}" for language in subject.languages]
    told += [f"exported: {', '.join(subject.exports)}"] if subject.exports else []
    return {
        **_package("Module", subject.path, f"sha256:{subject.hashes['SHA-256']}", "; ".join(told)),
        "packageFileName": f".{subject.path}",
        "primaryPackagePurpose": "APPLICATION",
        "checksums": [
            {"algorithm": name.replace("-", ""), "checksumValue": value} for name, value in subject.hashes.items()
        ],
    }


_FORMS: Final[Mapping[str, tuple[Callable[[Subject], Json], str]]] = {
    "spdx": (spdx, "application/spdx+json"),
    "cyclonedx": (cyclonedx, "application/vnd.cyclonedx+json; version=1.5"),
}


def document(subject: Subject, form: str) -> tuple[Json, str]:
    """The document and its media type. InvalidArgument: ``form`` is none of spdx, cyclonedx."""
    checked(form)
    write, media_type = _FORMS[form]
    return write(subject), media_type


def checked(form: str) -> None:
    """InvalidArgument: there is no such form."""
    if form not in _FORMS:
        raise InvalidArgument(f"unknown SBOM format {form[:40]!r}: {' or '.join(_FORMS)}")


def second(text: str) -> str:
    """A time in RFC 3339 as both formats want it: to the second, in UTC; the epoch if it is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text, re.ASCII)
    return f"{found[1]}Z" if found else "1970-01-01T00:00:00Z"
