"""Bills of materials: what SPDX 2.3 and CycloneDX 1.5 ask for, and that names from a module cannot break them."""

import hashlib
import json
import re
from dataclasses import replace

import pytest

from wherry.engine.sbom import Subject, document, second
from wherry.errors import InvalidArgument

MODULE = b"\0asm\1\0\0\0"
HASHES = {"SHA-1": "1" * 40, "SHA-256": hashlib.sha256(MODULE).hexdigest(), "SHA-512": "5" * 128}
INFO = {
    "kind": "module",
    "size": 8,
    "imports": [
        {"module": "wasi_snapshot_preview1", "name": "fd_write", "kind": "func"},
        {"module": "wasi_snapshot_preview1", "name": "proc_exit", "kind": "func"},
        {"module": "env", "name": "memory", "kind": "memory"},
    ],
    "exports": [{"name": "memory", "kind": "memory"}, {"name": "_start", "kind": "func"}],
    "producers": {"language": [["C11", ""]], "processed-by": [["clang", "18.1.2"]], "sdk": [["", ""]]},
}


def subject(info=INFO, name="docker.io/library/hello:latest") -> Subject:
    return Subject(name, "sha256:" + "d" * 64, "/hello.wasm", HASHES, info, "2026-01-02T03:04:05Z")


def test_cyclonedx():
    made, kind = document(subject(), "cyclonedx")
    assert kind.startswith("application/vnd.cyclonedx+json")
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["serialNumber"])
    image = made["metadata"]["component"]
    purl = "pkg:oci/hello@sha256%3A" + "d" * 64 + "?repository_url=docker.io/library/hello"
    assert (image["type"], image["purl"]) == ("container", purl)
    module, *others = made["components"]
    assert {each["alg"]: each["content"] for each in module["hashes"]} == HASHES
    facts = [(each["name"], each["value"]) for each in module["properties"]]
    assert ("wherry:language", "C11") in facts
    assert ("wherry:export", "_start") in facts
    assert [(each["name"], each.get("version"), each.get("scope")) for each in others] == [
        ("clang", "18.1.2", "excluded"),
        ("unknown", None, "excluded"),
        ("wasi_snapshot_preview1", None, None),
        ("env", None, None),
    ]
    assert [each["value"] for each in others[2]["properties"]] == ["fd_write", "proc_exit"]
    refs = [each["bom-ref"] for each in (image, *made["components"])]
    assert len(set(refs)) == len(refs)
    for dependency in made["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(refs)


def test_spdx():
    made, kind = document(subject(), "spdx")
    assert kind == "application/spdx+json"
    assert (made["spdxVersion"], made["dataLicense"], made["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert made["creationInfo"]["created"] == "2026-01-02T03:04:05Z"
    assert "#" not in made["documentNamespace"]
    assert "files" not in made
    (module,) = [each for each in made["packages"] if each["SPDXID"] == "SPDXRef-Module"]
    assert module["packageFileName"] == "./hello.wasm"
    assert {each["algorithm"] for each in module["checksums"]} == {"SHA1", "SHA256", "SHA512"}
    known = {made["SPDXID"], *(each["SPDXID"] for each in made["packages"])}
    assert len(known) == 1 + len(made["packages"])
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in known)
    relations = {(each["spdxElementId"], each["relationshipType"]) for each in made["relationships"]}
    assert ("SPDXRef-DOCUMENT", "DESCRIBES") in relations
    assert ("SPDXRef-Module", "DYNAMIC_LINK") in relations
    for each in made["relationships"]:
        assert {each["spdxElementId"], each["relatedSpdxElement"]} <= known
    assert all(each["downloadLocation"] == "NOASSERTION" for each in made["packages"])


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_it_is_the_same_each_time_and_another_for_another_module(form):
    one, same = document(subject(), form)[0], document(subject(), form)[0]
    assert one == same
    other = replace(subject(), path="/other")
    key = {"spdx": "documentNamespace", "cyclonedx": "serialNumber"}[form]
    assert document(other, form)[0][key] != one[key]


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_names_of_a_hostile_module_stay_names(form):
    nasty = ['"},{"', "\n\0", "\ud800".encode("utf-8", "replace").decode(), "", "x" * 100_000]
    info = {
        **INFO,
        "imports": [{"module": name, "name": name, "kind": "func"} for name in nasty],
        "exports": [{"name": name, "kind": "func"} for name in nasty],
        "producers": {"processed-by": [[name, name] for name in nasty]},
    }
    made = document(subject(info, "sha256:" + "d" * 64), form)[0]
    assert json.loads(json.dumps(made)) == made
    assert "purl" not in json.dumps(made)
    many = {**INFO, "imports": [{"module": str(n), "name": "f", "kind": "func"} for n in range(50_000)]}
    assert len(json.dumps(document(subject(many), form)[0])) < 10_000_000


def test_there_are_two_forms():
    with pytest.raises(InvalidArgument, match="spdx or cyclonedx"):
        document(subject(), "xml")


def test_times():
    assert second("2026-01-02T03:04:05.123456789Z") == "2026-01-02T03:04:05Z"
    assert second("") == second("yesterday") == "1970-01-01T00:00:00Z"
