"""A registry in memory that speaks HTTP, for tests: OCI distribution, logins, a token server, and faults on demand.

``async with FakeRegistry() as registry`` serves it on loopback from the running loop; `served` does from a thread.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

from wherry.oci import mediatypes
from wherry.oci.descriptor import Descriptor

Answer = Callable[[web.Request, bytes, dict], "web.StreamResponse | None"]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Fault:
    """Happens to the next ``times`` requests that ``pattern`` (on "METHOD /path") matches.

    ``cut``: so many bytes of the body, then the connection ends; ``flip``: this byte is another; ``status`` with
    ``headers`` instead of an answer; ``endless``: bytes without end; ``stall``: silence after ``cut``;
    ``after``: ignores so many matching ones first.
    """

    pattern: str
    times: int = 1
    cut: int | None = None
    flip: int | None = None
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    endless: bool = False
    after: int = 0
    drop_upload: int | None = None
    stall: bool = False

    def hits(self, request: web.Request) -> bool:
        if self.times <= 0 or not re.search(self.pattern, f"{request.method} {request.path_qs}"):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


class FakeRegistry:
    """``users`` (name: password) switch logins on; ``tokens`` makes them by token instead of basic."""

    def __init__(self, users: dict | None = None, *, tokens: bool = False, referrers: bool = True, ranges=True):
        self.users = users or {}
        self.tokens = tokens
        self.with_referrers = referrers
        self.ranges = ranges
        self.patches = True
        self.anonymous_pull = False
        self.repositories: dict[str, dict] = {}
        self.faults: list[Fault] = []
        self.log: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.granted: dict[str, list[str]] = {}
        self.expires = 300
        self.uploads: dict[str, bytearray] = {}
        self.address = ""
        self.ssl = None
        self.page = 2

    async def __aenter__(self) -> "FakeRegistry":
        self._runner = web.ServerRunner(web.Server(self._handle), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.ssl)
        await site.start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"{'https' if self.ssl else 'http'}://{self.address}"

    def repository(self, name: str) -> dict:
        return self.repositories.setdefault(name, {"blobs": {}, "manifests": {}, "tags": {}})

    def add_blob(self, name: str, data: bytes) -> str:
        self.repository(name)["blobs"][digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, name: str, data: bytes, media_type: str, *tags: str) -> str:
        found = self.repository(name)
        found["manifests"][digest_of(data)] = (media_type, data)
        for tag in tags:
            found["tags"][tag] = digest_of(data)
        return digest_of(data)

    def asked(self, pattern: str) -> list[str]:
        """The requests so far that match."""
        return [line for line in self.log if re.search(pattern, line)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.log.append(f"{request.method} {request.path_qs}")
        self.seen.append((f"{request.method} {request.path_qs}", dict(request.headers)))
        fault = next((fault for fault in self.faults if fault.hits(request)), None)
        if fault is not None and fault.status:
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        if fault is not None and fault.drop_upload is not None:
            taken = bytearray()
            while len(taken) < fault.drop_upload:
                taken += await request.content.read(fault.drop_upload - len(taken))
            self.uploads[request.path.rpartition("/")[2]] += taken
            request.transport.close()
            return web.Response()
        if request.path == "/token":
            return await self._token(request)
        refused = self._refusal(request)
        if refused is not None:
            return refused
        status, headers, body = await self._answer(request)
        if fault is not None and fault.flip is not None:
            body = body[: fault.flip] + bytes([body[fault.flip] ^ 1]) + body[fault.flip + 1 :]
        if fault is not None and (fault.cut is not None or fault.endless):
            return await self._broken(request, status, headers, body, fault)
        return web.Response(status=status, headers=headers, body=body)

    async def _broken(self, request, status, headers, body, fault) -> web.StreamResponse:
        response = web.StreamResponse(status=200 if fault.endless else status, headers=headers)
        if not fault.endless:
            response.content_length = len(body)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            if fault.endless:
                while True:
                    await response.write(bytes(1 << 20))
            await response.write(body[: fault.cut])
            await asyncio.sleep(0)
            while fault.stall and request.transport is not None and not request.transport.is_closing():
                await asyncio.sleep(0.05)
            if request.transport is not None:
                request.transport.close()
        return response

    # Who may do what

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self.users:
            return None
        shown = request.headers.get("Authorization", "")
        name = re.sub(r"^/v2/(.*?)/?(?:(?:blobs|manifests|tags|referrers)/.*)?$", r"\1", request.path)
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        if self.tokens:
            token = shown.removeprefix("Bearer ")
            if token in self.granted and (not name or f"{name}:{action}" in self.granted[token]):
                return None
            realm = f'Bearer realm="{self.url}/token",service="fake, registry"'
            scope = f',scope="repository:{name}:{action}"' if name else ""
            return _refused(realm + scope)
        if self._user(shown):
            return None
        return _refused('Basic realm="fake"')

    def _user(self, shown: str) -> str:
        if not shown.startswith("Basic "):
            return ""
        name, _, password = base64.b64decode(shown.removeprefix("Basic ")).decode().partition(":")
        return name if self.users.get(name) == password else ""

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post() if request.method == "POST" else {}
        user = self._user(request.headers.get("Authorization", ""))
        if form:
            user = next((name for name in self.users if form.get("refresh_token") == f"refresh-{name}"), "")
        if not user and (request.headers.get("Authorization") or form):
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        scopes = form["scope"].split() if form else request.query.getall("scope", [])
        actions = [
            f"{scope.split(':')[1]}:{action}"
            for scope in scopes
            for action in scope.rpartition(":")[2].split(",")
            if user or (action == "pull" and self.anonymous_pull)
        ]
        token = f"token-{len(self.granted)}"
        self.granted[token] = actions
        answer = {"token": token, "expires_in": self.expires}
        if user and "offline_token" in request.query:
            answer["refresh_token"] = f"refresh-{user}"
        return web.json_response(answer)

    # The protocol

    async def _answer(self, request: web.Request) -> tuple[int, dict, bytes]:
        if request.path in ("/v2/", "/v2"):
            return 200, {}, b"{}"
        begun = re.fullmatch(r"/v2/(.+)/blobs/uploads/", request.path)
        if begun:
            return self._begin(request, begun[1])
        match = re.fullmatch(r"/v2/(.+?)/(blobs|manifests|tags|referrers)/(.+)", request.path)
        if match is None:
            return _plain_error(404, "NAME_UNKNOWN", "no such route")
        if match[2] == "blobs" and match[3].startswith("uploads/"):
            return await self._upload(request, match[1], match[3].removeprefix("uploads/"))
        if match[1] not in self.repositories and request.method != "PUT":
            return _plain_error(404, "NAME_UNKNOWN", "repository name not known to registry")
        return await getattr(self, f"_{match[2]}")(request, self.repository(match[1]), match[3])

    async def _blobs(self, request, found, digest):
        data = found["blobs"].get(digest)
        if data is None:
            return _plain_error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if wanted and self.ranges:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return 206, headers, data[start:]
        return 200, headers, data

    async def _manifests(self, request, found, reference):
        if request.method == "PUT":
            data = await request.content.read()
            document = json.loads(data)
            for child in [*document.get("layers", []), *([document["config"]] if "config" in document else [])]:
                if child["digest"] not in found["blobs"]:
                    return _plain_error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {child['digest']}")
            for child in document.get("manifests", []):
                if child["digest"] not in found["manifests"] and not reference.startswith("sha256-"):
                    return _plain_error(400, "MANIFEST_BLOB_UNKNOWN", f"manifest unknown: {child['digest']}")
            found["manifests"][digest_of(data)] = (request.headers["Content-Type"], data)
            if ":" not in reference:
                found["tags"][reference] = digest_of(data)
            headers = {"Docker-Content-Digest": digest_of(data)}
            if "subject" in document and self.with_referrers:
                headers["OCI-Subject"] = document["subject"]["digest"]
            return 201, headers, b""
        digest = found["tags"].get(reference, reference)
        if digest not in found["manifests"]:
            return _plain_error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = found["manifests"][digest]
        return 200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, data

    async def _tags(self, request, found, _):
        tags = sorted(found["tags"])
        start = tags.index(request.query["last"]) + 1 if request.query.get("last") in tags else 0
        page = tags[start : start + self.page]
        headers = {"Content-Type": "application/json"}
        if start + self.page < len(tags):
            headers["Link"] = f'<{request.path}?last={page[-1]}&n={self.page}>; rel="next"'
        return 200, headers, json.dumps({"name": "x", "tags": page}).encode()

    async def _referrers(self, request, found, digest):
        if not self.with_referrers:
            return _plain_error(404, "NOT_FOUND", "page not found")
        entries = []
        for _, data in found["manifests"].values():
            document = json.loads(data)
            if document.get("subject", {}).get("digest") == digest:
                described = Descriptor.of(document["mediaType"], data, artifact_type=document.get("artifactType", ""))
                entries.append(described.to_json())
        listed = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": entries}
        return 200, {"Content-Type": mediatypes.OCI_INDEX}, json.dumps(listed).encode()

    def _begin(self, request, name):
        mounted, source = request.query.get("mount"), request.query.get("from")
        found = self.repositories.get(source or "", {"blobs": {}})["blobs"].get(mounted)
        if found is not None:
            self.repository(name)["blobs"][mounted] = found
            return 201, {"Docker-Content-Digest": mounted}, b""
        upload = f"u{len(self.uploads)}"
        self.uploads[upload] = bytearray()
        self.repository(name)
        return 202, self._progress(name, upload), b""

    def _progress(self, name, upload):
        size = len(self.uploads[upload])
        return {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=x", "Range": f"0-{max(0, size - 1)}"}

    async def _upload(self, request, name, upload):
        taken = self.uploads.get(upload)
        if taken is None:
            return _plain_error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
        if request.method == "GET":
            return 204, self._progress(name, upload), b""
        start = re.match(r"(\d+)-", request.headers.get("Content-Range", ""))
        if start and int(start[1]) != len(taken):
            return 416, self._progress(name, upload), b""
        taken += await request.content.read()
        if request.method == "PATCH":
            return 202, self._progress(name, upload), b""
        if digest_of(bytes(taken)) != request.query.get("digest"):
            return _plain_error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.add_blob(name, bytes(taken))
        return 201, {"Docker-Content-Digest": request.query["digest"]}, b""


def _plain_error(status: int, code: str, message: str) -> tuple[int, dict, bytes]:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return status, {"Content-Type": "application/json"}, body


def _error(status: int, code: str, message: str, headers: dict | None = None) -> web.Response:
    status, kind, body = _plain_error(status, code, message)
    return web.Response(status=status, headers={**kind, **(headers or {})}, body=body)


def _refused(challenge: str) -> web.Response:
    return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})


@contextlib.contextmanager
def served(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve from a thread, for programs outside this process."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with registry:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10), "the fake registry did not start"
        yield registry
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@contextlib.asynccontextmanager
async def serving(*registries: FakeRegistry) -> AsyncIterator[None]:
    """Serve several from the running loop."""
    async with contextlib.AsyncExitStack() as stack:
        for registry in registries:
            await stack.enter_async_context(registry)
        yield
