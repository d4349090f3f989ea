"""Whether an image that is about to be pulled is signed by somebody who is trusted.

A signature is looked for at cosign's tag and among the manifest's referrers. What it must speak of, is the digest that
is then pulled: all below that is held by digests.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from wherry.core.remotes.remote import Repository
from wherry.core.trust.keys import PublicKey, parse_key
from wherry.core.trust.policy import Rule, read_policy
from wherry.engine.progress import Report
from wherry.engine.services import EngineConfig
from wherry.errors import DataLoss, InvalidArgument, NotFound, PermissionDenied, WherryError
from wherry.oci import mediatypes, simplesigning
from wherry.oci.digest import Digest
from wherry.oci.manifest import Manifest
from wherry.oci.manifest import parse as parse_manifest
from wherry.oci.reference import Reference
from wherry.oci.simplesigning import Signature

log = logging.getLogger(__name__)
_MOST_MANIFESTS: Final = 50
_MOST_SIGNATURES: Final = 100


class Trust:
    """The policy, as it is at each pull, and what a client asks beyond it."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config

    async def rule(self, reference: Reference, keys: Sequence[str] | None) -> Rule:
        """What is asked of an image. ``keys``: a client wants a signature by one of them, or, if there are none, by one
        of the policy's; None asks for nothing. What the policy requires, is required all the same.

        FailedPrecondition: the policy cannot be read. InvalidArgument: nobody said by which key.
        """
        config = self._config
        path = config.trust_policy
        policy = await asyncio.to_thread(read_policy, path, must_exist=config.trust_policy_given) if path else None
        found = policy.rule(reference.name) if policy is not None else Rule()
        if keys is None or (found.mode == "require" and not keys):
            return found
        if found.mode == "require":
            return Rule("require", _common(found.keys, keys))
        wanted = tuple(keys) or found.keys
        if not wanted:
            raise InvalidArgument(
                f"no key to verify {reference.familiar()} with: give one by --key, or name it in the trust policy"
            )
        return Rule("require", wanted)

    async def verify(
        self, rule: Rule, repository: Repository, reference: Reference, digest: Digest, report: Report
    ) -> None:
        """PermissionDenied: a signature is required and there is none. What is only warned of, is reported."""
        if rule.mode == "ignore":
            return
        try:
            key = await self._signer(_parsed(rule.keys), repository, digest)
        except WherryError as error:
            refusal = f"{reference.familiar()} ({digest}) is not trusted: {error}"
            if rule.mode == "require":
                raise PermissionDenied(refusal) from None
            log.warning("%s", refusal)
            report.status(f"WARNING: {refusal}")
        else:
            report.status(f"Verified: {digest} is signed by key {key.fingerprint[:16]}")

    async def _signer(self, keys: Sequence[PublicKey], repository: Repository, digest: Digest) -> PublicKey:
        """The key that a signature of the image is by. NotFound: there is none that is good, and why."""
        problems = []
        count = 0
        async for signature in _found(repository, digest):
            count += 1
            if count > _MOST_SIGNATURES:
                break
            try:
                data = await _payload(repository, signature)
                key = next((key for key in keys if key.verifies(signature.signature, data)), None)
                if key is None:
                    problems.append("it is signed, but by no key that is trusted")
                elif simplesigning.signed_digest(data) != digest:
                    problems.append("its signature is of another image")
                else:
                    return key
            except WherryError as error:
                problems.append(f"its signature cannot be read: {error}")
        raise NotFound(problems[0] if problems else "it has no signature")


def _common(policy: Sequence[str], client: Sequence[str]) -> tuple[str, ...]:
    """The keys that both name. PermissionDenied: there is none."""
    allowed = {key.fingerprint for key in _parsed(policy)}
    found = tuple(text for text, key in zip(client, _parsed(client), strict=True) if key.fingerprint in allowed)
    if not found:
        raise PermissionDenied("the trust policy requires a signature by another key than the one that was given")
    return found


def _parsed(texts: Sequence[str]) -> list[PublicKey]:
    return [parse_key(text, f"key {number}") for number, text in enumerate(texts, 1)]


async def _found(repository: Repository, digest: Digest) -> AsyncIterator[Signature]:
    """The image's signatures: those at the tag, then those of referrers."""
    try:
        tagged = await repository.document(simplesigning.tag_of(digest))
    except NotFound:
        pass
    else:
        for signature in _signatures(tagged.data, tagged.descriptor.media_type):
            yield signature
    referrers = await repository.referrers(digest)
    manifests = [each for each in referrers if each.media_type in mediatypes.MANIFESTS]
    for descriptor in manifests[:_MOST_MANIFESTS]:
        document = await repository.document(str(descriptor.digest))
        for signature in _signatures(document.data, descriptor.media_type):
            yield signature


def _signatures(data: bytes, media_type: str) -> Sequence[Signature]:
    """None of what is not even a manifest."""
    try:
        parsed = parse_manifest(data, media_type)
    except InvalidArgument:
        return ()
    return simplesigning.signatures(parsed) if isinstance(parsed, Manifest) else ()


async def _payload(repository: Repository, signature: Signature) -> bytes:
    async with aclosing(repository.fetch(signature.payload)) as pieces:
        data = b"".join([piece async for piece in pieces])
    if len(data) != signature.payload.size or Digest.of(data) != signature.payload.digest:
        raise DataLoss("the registry sends another payload than it says")
    return data
