"""Signed images from Debian's docker-registry: what the docker CLI and the wherry CLI get under a trust policy."""

import base64
import json
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.fakes.docker_registry import DockerRegistry
from tests.integration.conftest import Daemon, Docker
from tests.integration.wherry_cli import Wherry
from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def public(key: ec.EllipticCurvePrivateKey, path: Path) -> Path:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return path


def request(method: str, url: str, data: bytes = b"", kind: str = "application/octet-stream") -> str:
    """The Location of the answer, which must be a success."""
    asked = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(asked) as answer:
        return answer.headers.get("Location", "")


def sign(registry: DockerRegistry, repository: str, digest: str, key: ec.EllipticCurvePrivateKey) -> None:
    """What ``cosign sign --key`` leaves in a registry, by its specification."""
    base = f"http://{registry.address}/v2/{repository}"
    critical = {
        "identity": {"docker-reference": f"{registry.address}/{repository}"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    payload, config = json.dumps({"critical": critical, "optional": {"by": "a test"}}).encode(), b"{}"
    for blob in (payload, config):
        place = request("POST", f"{base}/blobs/uploads/")
        request("PUT", f"{place}{'&' if '?' in place else '?'}digest={Digest.of(blob)}", blob)
    signature = base64.b64encode(key.sign(payload, ec.ECDSA(SHA256()))).decode()
    layer = Descriptor.of("application/vnd.dev.cosign.simplesigning.v1+json", payload).to_json()
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": Descriptor.of(mediatypes.OCI_CONFIG, config).to_json(),
        "layers": [layer | {"annotations": {"dev.cosignproject.cosign/signature": signature}}],
    }
    tag = digest.replace(":", "-") + ".sig"
    request("PUT", f"{base}/manifests/{tag}", json.dumps(manifest).encode(), mediatypes.OCI_MANIFEST)


def test_by_policy_and_by_key(
    fresh_daemon: Daemon, fresh_docker: Docker, registry: DockerRegistry, guest_wasm: Path, tmp_path: Path
) -> None:
    wherry, docker = Wherry(fresh_daemon.host, tmp_path), fresh_docker
    own, other = public(KEY, tmp_path / "own.pub"), public(OTHER, tmp_path / "other.pub")
    name = f"{registry.address}/signed"
    pushed = wherry("push", "-q", guest_wasm, name).strip()
    digest = pushed.rpartition("@")[2]
    assert "has no signature" in wherry.fails(1, "pull", "--verify", "--key", own, name)
    sign(registry, "signed", digest, KEY)
    assert "by no key that is trusted" in wherry.fails(1, "pull", "--verify", "--key", other, name)
    said = wherry.run("pull", "--verify", "--key", own, name)
    assert said.returncode == 0
    assert f"Verified: {digest} is signed by key" in said.stderr.decode()
    assert "no key to verify" in wherry.fails(1, "pull", "--verify", name)
    assert "needs --verify" in wherry.fails(1, "pull", "--key", own, name)
    assert "cannot read key" in wherry.fails(1, "pull", "--verify", "--key", tmp_path / "none.pub", name)
    assert "no public key" in wherry.fails(1, "pull", "--verify", "--key", guest_wasm, name)

    policy = tmp_path / "trust.json"
    rules = {registry.address: {"mode": "require", "keys": [str(own)]}}
    policy.write_text(json.dumps({"registries": rules}))
    fresh_daemon.stop()
    fresh_daemon.arguments = ("--trust-policy", str(policy))
    fresh_daemon.start()
    assert f"Verified: {digest}" in docker("pull", name)
    assert docker("run", "--rm", name) == "hello"
    assert f"Verified: {digest}" in wherry.run("pull", "--verify", name).stderr.decode()
    unsigned = f"{registry.address}/unsigned"
    docker("tag", name, unsigned)
    docker("push", "-q", unsigned)
    docker("rmi", unsigned)
    assert "is not trusted: it has no signature" in docker.fails("pull", unsigned)
    assert "is not trusted" in docker.fails("run", "--rm", unsigned)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/Dockerfile").write_text(f"FROM {unsigned}\nLABEL a=b\n")
    assert "is not trusted" in docker.fails("build", "-t", "made", tmp_path / "c")

    rules[f"{registry.address}/unsigned"] = {"mode": "warn", "keys": [str(own)]}
    policy.write_text(json.dumps({"registries": rules}))
    assert "WARNING: " in docker("pull", unsigned)
    policy.write_text("{")
    assert "it is not JSON" in docker.fails("pull", name)
    policy.write_text("{}")
    assert "Verified" not in docker("pull", name)


def test_an_engine_does_not_start_on_a_broken_policy(fresh_daemon: Daemon, tmp_path: Path) -> None:
    fresh_daemon.stop()
    fresh_daemon.arguments = ("--trust-policy", str(tmp_path / "missing"))
    with pytest.raises(AssertionError, match="there is no trust policy"):
        fresh_daemon.start()
    fresh_daemon.arguments = ()
    fresh_daemon.start()
    assert "Traceback" not in fresh_daemon.log
