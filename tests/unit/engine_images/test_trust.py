"""Signatures by cosign's letter: found at the tag and among referrers, believed by policy, and never by mistake."""

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.fakes.registry import FakeRegistry, Fault
from tests.unit.engine_images.test_pulls import LAYERS, Engine
from wherry.core.trust.keys import parse_key
from wherry.core.trust.policy import parse_policy, read_policy
from wherry.engine.pulls import PullRequest, Pulls
from wherry.errors import FailedPrecondition, InvalidArgument, WherryError
from wherry.oci import mediatypes, simplesigning
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.manifest import Manifest


@dataclass
class Signer:
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @property
    def public(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, ec.ECDSA(SHA256()))


@pytest.fixture(params=["p256", "ed25519"])
def signer(request: pytest.FixtureRequest) -> Signer:
    made = {"p256": lambda: ec.generate_private_key(ec.SECP256R1()), "ed25519": ed25519.Ed25519PrivateKey.generate}
    return Signer(made[request.param]())


STRANGER = Signer(ed25519.Ed25519PrivateKey.generate())


def signature_of(engine: Engine, data: bytes, signature: bytes) -> Descriptor:
    """The layer of a signature's manifest, its payload at the registry."""
    engine.registry.add_blob("a", data)
    annotations = {simplesigning.SIGNATURE: base64.b64encode(signature).decode()}
    return replace(Descriptor.of(simplesigning.MEDIA_TYPE, data), annotations=annotations)


def attach(engine: Engine, target: Digest, *layers: Descriptor, how: str = "tag") -> None:
    engine.registry.add_blob("a", b"{}")
    config = Descriptor.of(mediatypes.OCI_CONFIG, b"{}")
    subject = Descriptor(mediatypes.OCI_MANIFEST, target, 1) if how == "referrer" else None
    manifest = Manifest(config, layers, subject=subject)
    tags = [simplesigning.tag_of(target)] if how == "tag" else []
    engine.registry.add_manifest("a", manifest.to_bytes(), manifest.media_type, *tags)


def sign(engine: Engine, target: Digest, signer: Signer, *, data: bytes = b"", how: str = "tag") -> None:
    data = data or simplesigning.payload(target, "reg.io/a")
    attach(engine, target, signature_of(engine, data, signer.sign(data)), how=how)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with FakeRegistry() as registry:
        made = Engine(registry, tmp_path)
        yield made
        await made.services.remotes.close()
        made.database.close()


def policy(engine: Engine, tmp_path: Path, **rules: object) -> None:
    path = tmp_path / "trust.json"
    path.write_text(json.dumps({"registries": {"reg.io": rules}}))
    engine.services.config = replace(engine.services.config, trust_policy=str(path), trust_policy_given=True)
    engine.pulls = Pulls(engine.services, engine.images, engine.events)


async def pull(engine: Engine, *keys: str, verify: bool = True) -> list[str]:
    """What is said; a failure is raised."""
    request = PullRequest.parse("reg.io/a", "latest", keys=keys if verify else None)
    messages = [message async for message in engine.pulls.stream(request)]
    assert "error" not in messages[-1], messages[-1]
    return [message.get("status", "") for message in messages]


async def refused(engine: Engine, words: str, *keys: str, verify: bool = True) -> None:
    request = PullRequest.parse("reg.io/a", "latest", keys=keys if verify else None)
    said = "it worked"
    try:
        async for message in engine.pulls.stream(request):
            said = message.get("error", said)
    except WherryError as error:
        said = str(error)
    assert words in said
    assert "\n" not in said
    engine.assert_empty()


@pytest.mark.parametrize("how", ["tag", "referrer"])
async def test_a_signed_image_is_pulled(engine: Engine, signer: Signer, how: str) -> None:
    target = engine.image(*LAYERS)
    sign(engine, target.digest, signer, how=how)
    said = await pull(engine, STRANGER.public, signer.public)
    fingerprint = parse_key(signer.public, "k").fingerprint
    assert f"Verified: {target.digest} is signed by key {fingerprint[:16]}" in said


async def test_what_cosign_writes_is_read(engine: Engine, signer: Signer) -> None:
    """Whatever the identity says and however the JSON is laid out: the digest counts."""
    target = engine.image(*LAYERS)
    document = {
        "optional": {"creator": "somebody", "timestamp": 1458239713},
        "critical": {
            "type": "cosign container image signature",
            "image": {"docker-manifest-digest": str(target.digest)},
            "identity": {"docker-reference": ""},
        },
    }
    sign(engine, target.digest, signer, data=json.dumps(document, indent=2).encode())
    assert any(line.startswith("Verified: ") for line in await pull(engine, signer.public))


async def test_one_good_signature_among_bad_ones_is_enough(engine: Engine, signer: Signer) -> None:
    target = engine.image(*LAYERS)
    data = simplesigning.payload(target.digest, "reg.io/a")
    broken = replace(signature_of(engine, data, b"x"), annotations={simplesigning.SIGNATURE: "no base64!"})
    layers = [broken, signature_of(engine, data, b"nonsense"), signature_of(engine, data, STRANGER.sign(data))]
    attach(engine, target.digest, *layers, signature_of(engine, data, signer.sign(data)))
    assert await pull(engine, signer.public)


async def test_no_signature(engine: Engine, signer: Signer) -> None:
    engine.image(*LAYERS)
    await refused(engine, "is not trusted: it has no signature", signer.public)


async def test_a_strangers_signature(engine: Engine, signer: Signer) -> None:
    target = engine.image(*LAYERS)
    sign(engine, target.digest, STRANGER)
    await refused(engine, "by no key that is trusted", signer.public)


async def test_a_signature_of_another_image(engine: Engine, signer: Signer) -> None:
    """Moved from one image's tag to another's it is worth nothing, however good it is."""
    target = engine.image(*LAYERS)
    sign(engine, target.digest, signer, data=simplesigning.payload(Digest.of(b"another"), "reg.io/a"))
    await refused(engine, "of another image", signer.public)


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"critical": []}',
        b'{"critical": {"type": "atomic container signature"}}',
        b'{"critical": {"type": "cosign container image signature", "image": {"docker-manifest-digest": "x"}}}',
        b'{"critical": {"type": "cosign container image signature", "image": 5}}',
        b"[" * 100_000,
    ],
)
async def test_a_signed_payload_that_says_nothing(engine: Engine, data: bytes) -> None:
    target = engine.image(*LAYERS)
    sign(engine, target.digest, STRANGER, data=data)
    await refused(engine, "cannot be read", STRANGER.public)


async def test_a_payload_that_was_changed(engine: Engine, signer: Signer) -> None:
    target = engine.image(*LAYERS)
    right = simplesigning.payload(target.digest, "reg.io/a")
    wrong = simplesigning.payload(Digest.of(b"another"), "reg.io/a")
    layer = signature_of(engine, right, signer.sign(wrong))
    attach(engine, target.digest, layer)
    await refused(engine, "by no key that is trusted", signer.public)
    engine.registry.repository("a")["blobs"][layer.digest] = b"?" * layer.size
    await refused(engine, "another payload than it says", signer.public)


async def test_a_payload_without_end_is_not_read(engine: Engine, signer: Signer) -> None:
    target = engine.image(*LAYERS)
    data = b"x" * (simplesigning.LARGEST_PAYLOAD + 1)
    sign(engine, target.digest, signer, data=data)
    await refused(engine, "it has no signature", signer.public)
    assert engine.registry.asked(Digest.of(data)) == []


async def test_a_registry_that_hides_signatures_is_not_believed(engine: Engine, signer: Signer) -> None:
    target = engine.image(*LAYERS)
    sign(engine, target.digest, signer)
    engine.registry.faults = [Fault(r"\.sig", times=99, status=500)]
    await refused(engine, "is not trusted", signer.public)


async def test_the_policy_decides(engine: Engine, signer: Signer, tmp_path: Path) -> None:
    target = engine.image(*LAYERS)
    policy(engine, tmp_path, mode="require", keys=[signer.public])
    await refused(engine, "it has no signature", verify=False)
    await refused(engine, "another key", STRANGER.public)
    policy(engine, tmp_path, mode="warn", keys=[signer.public])
    said = await pull(engine, verify=False)
    assert [line for line in said if line.startswith("WARNING: reg.io/a:latest (sha256:")]
    await engine.images.remove("reg.io/a")
    await refused(engine, "it has no signature")  # --verify without a key: by the policy's
    sign(engine, target.digest, signer)
    policy(engine, tmp_path, mode="require", keys=[STRANGER.public, signer.public])
    for keys, verify in (((), False), ((), True), ((signer.public,), True)):
        assert any(line.startswith("Verified: ") for line in await pull(engine, *keys, verify=verify))
    policy(engine, tmp_path, mode="ignore")
    assert not any(line.startswith(("Verified", "WARNING")) for line in await pull(engine, verify=False))


async def test_a_policy_that_cannot_be_read_lets_nothing_in(engine: Engine, signer: Signer, tmp_path: Path) -> None:
    engine.image(*LAYERS)
    policy(engine, tmp_path, mode="ignore")
    for text in ("{", "[]", '{"registries": {"reg.io": {"mode": "perhaps"}}}'):
        (tmp_path / "trust.json").write_text(text)
        await refused(engine, "trust policy", verify=False)
    (tmp_path / "trust.json").unlink()
    await refused(engine, "there is no trust policy", verify=False)
    engine.services.config = replace(engine.services.config, trust_policy_given=False)
    engine.pulls = Pulls(engine.services, engine.images, engine.events)
    assert await pull(engine, verify=False)


async def test_verify_needs_a_key(engine: Engine) -> None:
    engine.image(*LAYERS)
    await refused(engine, "no key to verify reg.io/a:latest with")


def test_the_longest_name_counts(signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_text(signer.public)
    found = parse_policy(
        json.dumps(
            {
                "default": {"mode": "warn", "keys": [signer.public]},
                "registries": {
                    "reg.io": {"mode": "require", "keys": [str(tmp_path / "k.pub")]},
                    "reg.io/tests/": {"mode": "ignore"},
                },
            }
        )
    )
    assert found.rule("reg.io/a/b").mode == "require"
    assert found.rule("reg.io/a/b").keys == (signer.public,)
    assert found.rule("reg.io/tests/x").mode == "ignore"
    assert found.rule("reg.io/tests-more").mode == "require"
    assert found.rule("reg.io.evil/a").mode == "warn"
    assert parse_policy("{}").rule("x").mode == "ignore"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"registries": {"r": {"mode": "require"}}}, "keys must be given"),
        ({"registries": {"r": {"mode": "warn", "keys": ["k.pub"]}}}, "absolute path"),
        ({"registries": {"r": {"mode": "warn", "keys": ["/nowhere/k.pub"]}}}, "cannot read key"),
        ({"registries": {"r": {"mode": "warn", "keys": [5]}}}, "list of texts"),
        ({"registries": {"r": "require"}}, "must be an object"),
        ({"registries": {"r": {"mode": "ignore", "kyes": []}}}, "kyes"),
        ({"registry": {}}, "nobody understands"),
        ({"default": "require"}, "keys must be given"),
        (5, "must be an object"),
    ],
)
def test_policies_that_are_none(document: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse_policy(json.dumps(document))
    (tmp_path / "p").write_text(json.dumps(document))
    with pytest.raises(FailedPrecondition, match=words):
        read_policy(str(tmp_path / "p"), must_exist=True)


def test_keys_of_other_kinds_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        text = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
        with pytest.raises(InvalidArgument, match="neither an ECDSA key"):
            parse_key(text, "k")
    for text in ("", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        with pytest.raises(InvalidArgument, match="no public key"):
            parse_key(text, "k")


def test_the_library_is_loaded_when_a_key_is() -> None:
    code = "import sys, wherry.engine.engine, wherry.daemon.wiring; print('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
