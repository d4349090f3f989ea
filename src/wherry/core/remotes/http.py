"""HTTP towards one registry endpoint: the scheme found out, redirects followed, failures tried again, 401 answered.

What is asked for and what it means lies in registry.py and upload.py.
"""

import asyncio
import os
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

import wherry
from wherry.core.remotes import backoff, tls
from wherry.core.remotes.authorizer import Authorizer, TokenRequest
from wherry.core.remotes.challenge import Challenge
from wherry.core.remotes.challenge import parse as parse_challenges
from wherry.core.remotes.faults import BODY_LIMIT, refusal
from wherry.core.remotes.hosts import Endpoint, RegistryConfig, is_insecure
from wherry.core.remotes.remote import Credentials
from wherry.errors import FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable, WherryError

CONNECT_TIMEOUT = 20.0
"""Seconds for a connection, TLS included."""
STALL_TIMEOUT = 60.0
"""Seconds without a byte, after which a connection counts as broken."""
_REDIRECTS = 10
_READ_BUFFER = 1 << 20
_TOKEN_LIMIT = 1 << 20
_REMEMBERED = 300.0
"""Seconds for which an endpoint is taken to answer as it did: it is then not asked first how it does."""
_MOST_REACHED = 256
_MOST_CONTEXTS = 64
"""TLS contexts that are kept: each has the machine's certificates read, some hundred KiB."""
Body = bytes | Callable[[], AsyncGenerator[bytes, None]]
# What aiohttp raises for a connection that fails, breaks or stalls.
BROKEN = (aiohttp.ClientError, TimeoutError, ConnectionError, asyncio.IncompleteReadError)


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and chance as the client sees them; ``now`` in seconds since the epoch."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    stall: float = STALL_TIMEOUT


REAL = Timing()


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` begins with ``/v2/``, or is a whole URL that this registry gave. ``scopes`` are what a token must be
    for. ``expected`` statuses are handed on, all others raised."""

    method: str
    path: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    length: int | None = None
    expected: frozenset[int] = frozenset({200})
    attempts: int = backoff.ATTEMPTS


@dataclass(frozen=True, slots=True)
class Reached:
    """How an endpoint answered: by which of its URLs, whether it wants to know who asks, and when that was."""

    url: str
    challenges: tuple[Challenge, ...]
    at: float


class Client:
    """The connections of all registries; ``async with`` closes them."""

    def __init__(self, config: RegistryConfig, timing: Timing) -> None:
        self.config = config
        self.timing = timing
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._reached: dict[Endpoint, Reached] = {}

    async def close(self) -> None:
        """Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def reconfigure(self, config: RegistryConfig) -> None:
        """Count by ``config`` from now on; TLS contexts were made of the folders of CAs, which stay."""
        self.config = replace(config, certificates=self.config.certificates)
        self._reached.clear()

    def reached(self, endpoint: Endpoint) -> Reached | None:
        """How it answered lately."""
        found = self._reached.get(endpoint)
        return found if found is not None and self.timing.monotonic() - found.at < _REMEMBERED else None

    def remember(self, endpoint: Endpoint, reached: Reached | None) -> None:
        """How it answers; None: it does not any more."""
        if reached is not None:
            if len(self._reached) >= _MOST_REACHED:  # whoever pulls names as many as he likes
                self._reached.clear()
            self._reached[endpoint] = reached
        else:
            self._reached.pop(endpoint, None)

    async def send(self, method: str, url: str, headers: Mapping[str, str], **more: object) -> aiohttp.ClientResponse:
        """One request, no redirect followed, nothing tried again. BROKEN."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self.timing.stall)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                auto_decompress=False,  # a blob's bytes are the compressed ones
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"wherry/{wherry.__version__}", "Accept-Encoding": "identity"},
                read_bufsize=_READ_BUFFER,
            )
        parts = urlsplit(url)
        context = await self._context(parts.netloc) if parts.scheme == "https" else False
        return await self._session.request(
            method,
            URL(url, encoded=True),
            headers=dict(headers),
            allow_redirects=False,
            ssl=context or True,
            proxy=self.config.proxies.of(url) or None,
            **more,  # type: ignore[arg-type]  # `data` alone comes this way
        )

    async def _context(self, authority: str) -> ssl.SSLContext:
        verify = not is_insecure(authority, self.config)
        found = self._contexts.get((authority, verify))
        if found is None:
            made = await asyncio.to_thread(tls.context, self.config.certificates, authority, verify=verify)
            if len(self._contexts) >= _MOST_CONTEXTS:  # registries choose where they redirect to
                self._contexts.clear()
            found = self._contexts[authority, verify] = made
        return found


class _Tries:
    """The attempts at one request: so many, with pauses between them. After the last, what failed is raised."""

    def __init__(self, most: int, timing: Timing) -> None:
        self._most = most
        self._timing = timing
        self._failed = 0

    async def again(self, failure: WherryError, retry_after: str = "") -> None:
        """One failed; return when it is time for the next. A certificate that is wrong stays wrong."""
        self._failed += 1
        if self._failed >= self._most or isinstance(failure, FailedPrecondition):
            raise failure from None
        now, jitter = self._timing.now(), self._timing.jitter()
        await self._timing.sleep(backoff.delay(self._failed, retry_after, now, jitter))

    async def refused(self, failure: WherryError, response: aiohttp.ClientResponse) -> None:
        """The same of one that was answered."""
        if response.status not in backoff.RETRIED:
            raise failure
        await self.again(failure, response.headers.get("Retry-After", ""))


class Origin:
    """One endpoint as one user sees it."""

    def __init__(self, client: Client, endpoint: Endpoint, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._client = client
        self._timing = client.timing
        self.authorizer = Authorizer(credentials, self._token, client.timing.monotonic)
        self._base = ""
        self._believed = False  # the base was remembered, and not asked
        self._reaching = asyncio.Lock()

    async def base(self) -> str:
        """The URL that answers, found out once. Unavailable: none does; FailedPrecondition: its certificate."""
        async with self._reaching:
            if not self._base:
                remembered = self._client.reached(self.endpoint)
                self._believed = remembered is not None
                reached = remembered or await self._reach()
                if reached.challenges:
                    self.authorizer.challenged(reached.challenges)
                self._base = reached.url
        return self._base

    async def _reach(self) -> Reached:
        urls = self.endpoint.urls
        for url in urls:
            try:
                response = await self._client.send("GET", f"{url}/v2/", {})
            except BROKEN as error:
                if url == urls[-1]:
                    raise broken(error, f'Get "{url}/v2/"') from None
                continue
            async with response:
                said = _challenges(response) if response.status == 401 else ()
                reached = Reached(url, tuple(said), self._timing.monotonic())
                self._client.remember(self.endpoint, reached)
                return reached
        raise AssertionError("an endpoint has a URL")

    @asynccontextmanager
    async def request(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, after as many attempts as it takes. Its body may still break: BROKEN."""
        response = await self._answered(request)
        try:
            yield response
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def _answered(self, request: Request) -> aiohttp.ClientResponse:
        url = await self._url(request)
        what = f'{request.method.capitalize()} "{url}"'
        tries, refused = _Tries(request.attempts, self._timing), False
        while True:
            try:
                response = await self._once(request, url)
            except BROKEN as error:
                if self._believed:
                    await self._doubt()
                    url = await self._url(request)
                else:
                    await tries.again(broken(error, what))
                continue
            if response.status in request.expected:
                return response
            failure = await self._refused(response, request, what)
            if response.status == 401 and not refused and self._challenged(response):
                refused = True  # once: what is refused with what we have, stays refused
            else:
                await tries.refused(failure, response)

    async def _url(self, request: Request) -> str:
        base = await self.base()
        return request.path if "://" in request.path else base + request.path

    async def _doubt(self) -> None:
        """What was remembered of the endpoint may be wrong by now: ask it, once."""
        async with self._reaching:
            if self._believed:
                self._believed, self._base = False, ""
                self._client.remember(self.endpoint, None)

    def _challenged(self, response: aiohttp.ClientResponse) -> bool:
        return self.authorizer.challenged(_challenges(response))

    async def _refused(self, response: aiohttp.ClientResponse, request: Request, what: str) -> WherryError:
        try:
            body = await limited(response, BODY_LIMIT) if request.method != "HEAD" else b""
        except (*BROKEN, InvalidArgument):
            body = b""
        finally:
            response.close()
        return refusal(response.status, body, what)

    async def _once(self, request: Request, url: str) -> aiohttp.ClientResponse:
        """One attempt; redirects followed, the authorization left behind where they lead to another host."""
        headers = dict(request.headers)
        if same_origin(url, await self.base()) and (shown := await self.authorizer.header(request.scopes)):
            headers["Authorization"] = shown
        for _ in range(_REDIRECTS):
            response = await self._client.send(request.method, url, headers, **_body(request, headers))
            if response.status not in (301, 302, 303, 307, 308):
                return response
            target = response.headers.get("Location", "")
            response.close()
            url = _redirected(url, target, insecure=self.endpoint.insecure, headers=headers)
        raise Unavailable(f'{request.method.capitalize()} "{url}": stopped after {_REDIRECTS} redirects')

    async def _token(self, asked: TokenRequest) -> bytes:
        """What the token server says. Unauthenticated and the like: its own words."""
        base = await self.base()
        secret = asked.authorization or asked.form is not None
        if secret and not asked.url.startswith("https://") and not self._plain_is_fine(base, asked.url):
            raise Unavailable(f"refusing to send credentials without TLS to {asked.url.partition('?')[0][:200]}")
        headers = {"Authorization": asked.authorization} if asked.authorization else {}
        method = "GET" if asked.form is None else "POST"
        what = f'{method.capitalize()} "{asked.url.partition("?")[0][:200]}"'
        tries = _Tries(backoff.ATTEMPTS, self._timing)
        while True:
            try:
                more = {} if asked.form is None else {"data": dict(asked.form)}
                response = await self._client.send(method, _checked_url(asked.url), headers, **more)
                async with response:
                    body = await limited(response, _TOKEN_LIMIT)
            except BROKEN as error:
                await tries.again(broken(error, what))
                continue
            if response.status == 200:
                return body
            failure = refusal(response.status, body, what)
            if response.status in (400, 401, 403):
                raise Unauthenticated(str(failure))
            await tries.refused(failure, response)

    def _plain_is_fine(self, base: str, url: str) -> bool:
        return not base.startswith("https://") or is_insecure(urlsplit(url).netloc, self._client.config)


def _challenges(response: aiohttp.ClientResponse) -> list[Challenge]:
    return list(parse_challenges(response.headers.getall("WWW-Authenticate", ())))


def _body(request: Request, headers: dict[str, str]) -> dict[str, object]:
    """A body is made anew for each attempt."""
    if request.body is None:
        return {}
    if request.length is not None:
        headers["Content-Length"] = str(request.length)
    return {"data": request.body if isinstance(request.body, bytes) else request.body()}


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common."""
    return urlsplit(one)[:2] == urlsplit(other)[:2]


def _redirected(url: str, target: str, *, insecure: bool, headers: dict[str, str]) -> str:
    """Where a redirect leads; ``headers`` lose what is for the first host only. Unavailable: it leads nowhere."""
    try:
        found = _checked_url(urljoin(url, target)) if target else ""
    except (ValueError, Unavailable):
        found = ""
    if not found or (url.startswith("https://") and not found.startswith("https://") and not insecure):
        raise Unavailable(f"the registry redirects to {target[:200]!r}, which is not followed")
    if not same_origin(url, found):
        headers.pop("Authorization", None)
    return found


def _checked_url(url: str) -> str:
    """A URL that a registry gave. Unavailable: it is none."""
    try:
        parts = urlsplit(url) if url.isascii() and url.isprintable() and " " not in url else None
        fine = parts is not None and parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        fine = False
    if not fine:
        raise Unavailable(f"the registry gave an address that is none: {url[:200]!r}")
    return url


async def limited(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body. InvalidArgument: it is longer than ``limit`` bytes, of which no more are read. BROKEN."""
    parts: list[bytes] = []
    size = 0
    if (response.content_length or 0) <= limit:
        async for part in response.content.iter_any():
            size += len(part)
            if size > limit:
                break
            parts.append(part)
        else:
            return b"".join(parts)
    raise InvalidArgument(f"the registry's answer is too large: over {limit} bytes")


def broken(error: BaseException, what: str) -> WherryError:
    """The error for a connection that failed; ``what`` names the request."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return FailedPrecondition(
            f"{what}: the certificate of {error.host}:{error.port} is not trusted: {reason}; put its CA into"
            f" /etc/docker/certs.d/{error.host}:{error.port}/ca.crt"
        )
    if isinstance(error, TimeoutError):
        return Unavailable(f"{what}: timed out")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Unavailable(
            f"{what}: the proxy refuses to connect: {error.status} {' '.join(error.message.split())[:200]}"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(f"{what}: dial tcp: lookup {error.host}: no such host")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = (error.os_error.strerror or str(error.os_error)).lower()
        if isinstance(error.os_error, ssl.SSLError):
            reason = str(error.os_error.reason or reason).lower().replace("_", " ")
        elif error.os_error.errno is not None and error.os_error.errno > 0:
            reason = os.strerror(error.os_error.errno).lower()
        way = "proxyconnect tcp: " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return Unavailable(f"{what}: {way}dial tcp {error.host}:{error.port}: connect: {reason}")
    text = " ".join(str(error).split()) or type(error).__name__
    return Unavailable(f"{what}: {text[:200]}")
