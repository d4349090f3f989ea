"""What each route takes and answers, by method and pattern: the same lines as in server/routes/, in the same order."""

from collections.abc import Mapping
from typing import Final

from wherry.server.contract.shapes import CREATE, EXEC, NETWORK, UPDATE, VOLUME
from wherry.server.contract.words import (
    ANY,
    BINARY,
    FLAG,
    OBJECT,
    TEXT,
    WHOLE,
    Operation,
    Reply,
    Schema,
    listed,
    named,
    optional,
    shape,
)

_TAR: Final = "application/x-tar"
_OK: Final = {200: Reply()}
_DONE: Final = {204: Reply()}
_TAR_OUT: Final = {200: Reply(BINARY, _TAR)}
_OUTPUT: Final = Reply(BINARY, "application/vnd.docker.multiplexed-stream")
_LINES: Final = {200: Reply(named("Progress"), lines=True)}
_FILTERS: Final[Mapping[str, Schema]] = {"filters": TEXT}
_PRUNED: Final = {200: Reply(named("Pruned"))}
_ATTACH: Final[Mapping[str, Schema]] = {
    **dict.fromkeys(("stdin", "stdout", "stderr", "stream", "logs"), FLAG),
    "detachKeys": TEXT,
}
_SIZE: Final[Mapping[str, Schema]] = {"h": WHOLE, "w": WHOLE}


def _found(name: str) -> Mapping[int, Reply]:
    return {200: Reply(named(name))}


def _several(name: str) -> Mapping[int, Reply]:
    return {200: Reply(listed(named(name)))}


def _life(summary: str, *errors: int, **query: Schema) -> Operation:
    """A change of one container's life; what it is already is 304."""
    unchanged = {304: Reply()} if 304 in errors else {}
    rest = [status for status in errors if status != 304]
    return Operation(summary, {**_DONE, **unchanged}, query, errors=[404, 409, *rest])


_CONTAINERS: Final = {
    ("POST", "/containers/create"): Operation(
        "Make a container",
        {201: Reply(named("Created"))},
        {"name": TEXT, "platform": TEXT},
        body=CREATE,
        errors=(404, 409, 501, 507),
    ),
    ("POST", "/containers/{ref}/start"): _life("Start it", 304, 403, 412, 500, 501, 503, 507),
    ("POST", "/containers/{ref}/wait"): Operation(
        "Wait for its end", _found("Exit"), {"condition": TEXT}, errors=(404,)
    ),
    ("GET", "/containers/json"): Operation(
        "List containers", _several("ContainerSummary"), {"all": FLAG, "limit": WHOLE, "size": FLAG, **_FILTERS}
    ),
    ("GET", "/containers/{ref}/json"): Operation("Look at one", _found("Container"), {"size": FLAG}, errors=(404,)),
    ("POST", "/containers/{ref}/stop"): _life("Stop it", 304, t=WHOLE, signal=TEXT),
    ("POST", "/containers/{ref}/restart"): _life(
        "Stop and start it", 403, 412, 500, 501, 503, 507, t=WHOLE, signal=TEXT
    ),
    ("POST", "/containers/{ref}/kill"): _life("Send it a signal", signal=TEXT),
    ("POST", "/containers/{ref}/pause"): _life("Freeze it"),
    ("POST", "/containers/{ref}/unpause"): _life("Let it go on"),
    ("POST", "/containers/{ref}/rename"): _life("Call it otherwise", name=TEXT),
    ("POST", "/containers/{ref}/update"): Operation(
        "Change its limits", _found("Updated"), body=UPDATE, errors=(404, 409, 501)
    ),
    ("POST", "/containers/{ref}/resize"): Operation("Resize its terminal", _OK, _SIZE, ("h", "w"), errors=(404, 409)),
    ("GET", "/containers/{ref}/top"): Operation("Its processes", _found("Top"), {"ps_args": TEXT}, errors=(404, 409)),
    ("GET", "/containers/{ref}/changes"): Operation("What it changed in its files", _found("Changes"), errors=(404,)),
    ("DELETE", "/containers/{ref}"): _life("Remove it", force=FLAG, v=FLAG, link=FLAG),
    ("POST", "/containers/prune"): Operation("Remove those that do not run", _PRUNED, _FILTERS),
    ("POST", "/containers/{ref}/attach"): Operation(
        "Take part in its stdio", {101: Reply(), 200: _OUTPUT}, _ATTACH, errors=(404, 409), raw=True
    ),
    ("GET", "/containers/{ref}/attach/ws"): Operation(
        "The same by a WebSocket", {101: Reply()}, _ATTACH, errors=(404, 409), raw=True
    ),
    ("GET", "/containers/{ref}/logs"): Operation(
        "What it wrote",
        {200: _OUTPUT},
        {
            **dict.fromkeys(("stdout", "stderr", "follow", "timestamps", "details"), FLAG),
            **dict.fromkeys(("since", "until", "tail"), TEXT),
        },
        errors=(404, 501),
    ),
    ("GET", "/containers/{ref}/stats"): Operation(
        "What it uses",
        {200: Reply(named("Stats"), lines=True)},
        {"stream": FLAG, "one-shot": FLAG},
        errors=(404, 409),
    ),
    ("HEAD", "/containers/{ref}/archive"): Operation(
        "A file's stat, in a header", _OK, {"path": TEXT}, ("path",), errors=(404,)
    ),
    ("GET", "/containers/{ref}/archive"): Operation(
        "Files as a tar", _TAR_OUT, {"path": TEXT}, ("path",), errors=(404, 409)
    ),
    ("PUT", "/containers/{ref}/archive"): Operation(
        "Put files from a tar into it",
        _OK,
        {"path": TEXT, "noOverwriteDirNonDir": FLAG, "copyUIDGID": FLAG},
        ("path",),
        body=BINARY,
        body_type=_TAR,
        errors=(403, 404, 409, 507),
    ),
    ("GET", "/containers/{ref}/export"): Operation("All its files as a tar", _TAR_OUT, errors=(404, 409)),
    ("POST", "/containers/{ref}/exec"): Operation(
        "Another process in it", {201: Reply(named("Id"))}, body=EXEC, errors=(404, 409, 501)
    ),
    ("POST", "/exec/{id}/start"): Operation(
        "Start that process",
        {101: Reply(), 200: _OUTPUT},
        body=optional(Detach=FLAG, Tty=FLAG, ConsoleSize={"type": "array", "items": WHOLE}),
        errors=(404, 409, 412),
        raw=True,
    ),
    ("POST", "/exec/{id}/resize"): Operation("Resize its terminal", _OK, _SIZE, ("h", "w"), errors=(404, 409)),
    ("GET", "/exec/{id}/json"): Operation("Look at it", _found("Exec"), errors=(404,)),
}

_NAMING: Final = {**dict.fromkeys(("repo", "tag", "comment", "message", "author"), TEXT), "changes": listed(TEXT)}
_IMAGES: Final = {
    ("GET", "/images/json"): Operation(
        "List images", _several("ImageSummary"), {"all": FLAG, "manifests": FLAG, "filter": TEXT, **_FILTERS}
    ),
    ("POST", "/images/load"): Operation(
        "Load an archive", _LINES, {"quiet": FLAG, "platform": TEXT}, body=BINARY, body_type=_TAR, errors=(404, 507)
    ),
    ("GET", "/images/get"): Operation(
        "Save images", _TAR_OUT, {"names": listed(TEXT), "platform": TEXT}, ("names",), errors=(404,)
    ),
    ("POST", "/images/prune"): Operation("Remove what nobody needs", _PRUNED, _FILTERS),
    ("GET", "/images/{name*}/json"): Operation(
        "Look at one", _found("Image"), {"manifests": FLAG, "platform": TEXT}, errors=(404,)
    ),
    ("GET", "/images/{name*}/history"): Operation("Its layers", _several("Layer"), {"platform": TEXT}, errors=(404,)),
    ("GET", "/images/{name*}/get"): Operation("Save it", _TAR_OUT, {"platform": TEXT}, errors=(404,)),
    ("GET", "/images/{name*}/raw"): Operation(
        "Its manifest or index, byte by byte (wherry's own)",
        {200: Reply(ANY, "*/*")},
        {"platform": TEXT},
        errors=(404,),
    ),
    ("GET", "/images/{name*}/module"): Operation(
        "Its module (wherry's own)", {200: Reply(BINARY, "application/wasm")}, {"platform": TEXT}, errors=(404,)
    ),
    ("GET", "/images/{name*}/sbom"): Operation(
        "What is in it (wherry's own)", {200: Reply(ANY, "*/*")}, {"platform": TEXT, "format": TEXT}, errors=(404,)
    ),
    ("POST", "/images/{name*}/tag"): Operation(
        "Name it", {201: Reply()}, {"repo": TEXT, "tag": TEXT}, ("repo",), errors=(404,)
    ),
    ("DELETE", "/images/{name*}"): Operation(
        "Remove it",
        _found("Removed"),
        {"force": FLAG, "noprune": FLAG, "platforms": listed(TEXT)},
        errors=(404, 409, 501),
    ),
    ("POST", "/commit"): Operation(
        "Make an image of a container",
        {201: Reply(named("Id"))},
        {"container": TEXT, "pause": FLAG, **_NAMING},
        ("container",),
        body=OBJECT,
        errors=(404, 409, 507),
    ),
    ("POST", "/images/create"): Operation(
        "Pull, or import",
        _LINES,
        {**dict.fromkeys(("fromImage", "fromSrc", "platform"), TEXT), **_NAMING},
        errors=(401, 403, 404, 500, 501, 503, 507),
    ),
    ("GET", "/images/search"): Operation("Not offered", {}, {"term": TEXT}, errors=(501,)),
    ("POST", "/images/{name*}/push"): Operation(
        "Push it", _LINES, dict.fromkeys(("tag", "platform", "as"), TEXT), errors=(401, 403, 404, 500, 503)
    ),
    ("POST", "/auth"): Operation(
        "Try a login",
        {200: Reply(shape(Status=TEXT, IdentityToken=TEXT))},
        body=optional(username=TEXT, password=TEXT, serveraddress=TEXT, identitytoken=TEXT),
        errors=(401, 403, 404, 500, 503),
    ),
    ("GET", "/distribution/{name*}/json"): Operation(
        "What a registry has", {200: Reply(shape(Descriptor=OBJECT))}, errors=(401, 403, 404, 500, 503)
    ),
    ("GET", "/distribution/{name*}/manifest"): Operation(
        "A registry's manifest (wherry's own)", {200: Reply(ANY, "*/*")}, errors=(401, 403, 404, 500, 503)
    ),
}

_BUILD: Final = {
    ("POST", "/build"): Operation(
        "Build an image",
        _LINES,
        {
            **dict.fromkeys(("dockerfile", "remote", "target", "platform", "networkmode", "version"), TEXT),
            **dict.fromkeys(("q", "nocache", "squash", "pull"), FLAG),
            **dict.fromkeys(("buildargs", "labels", "cachefrom", "isolation", "securityopt"), TEXT),
            "t": listed(TEXT),
        },
        body=BINARY,
        body_type=_TAR,
        errors=(401, 403, 404, 409, 500, 501, 503, 507),
    ),
    ("POST", "/build/prune"): Operation("Empty the build cache", _PRUNED, _FILTERS, errors=(501,)),
    ("POST", "/build/cancel"): Operation("Not offered", errors=(501,)),
    ("POST", "/session"): Operation("Not offered", errors=(501,)),
    ("POST", "/grpc"): Operation("Not offered", errors=(501,)),
}

_PLACES: Final = {
    ("GET", "/volumes"): Operation("List volumes", _found("Volumes"), _FILTERS),
    ("POST", "/volumes/create"): Operation(
        "Make a volume", {201: Reply(named("Volume"))}, body=VOLUME, errors=(404, 409, 501, 503, 507)
    ),
    ("POST", "/volumes/prune"): Operation("Remove those nobody uses", _PRUNED, _FILTERS),
    ("GET", "/volumes/{name}"): Operation("Look at one", _found("Volume"), errors=(404,)),
    ("DELETE", "/volumes/{name}"): Operation("Remove it", _DONE, {"force": FLAG}, errors=(404, 409)),
    ("GET", "/networks"): Operation("List networks", _several("Network"), _FILTERS),
    ("POST", "/networks/create"): Operation(
        "Make a network", {201: Reply(named("Id"))}, body=NETWORK, errors=(403, 404, 409, 500, 501)
    ),
    ("POST", "/networks/prune"): Operation("Remove those nobody is in", _PRUNED, _FILTERS),
    ("GET", "/networks/{ref}"): Operation("Look at one", _found("Network"), errors=(404,)),
    ("DELETE", "/networks/{ref}"): Operation("Remove it", _DONE, errors=(403, 404, 409)),
    ("POST", "/networks/{ref}/connect"): Operation(
        "Put a container into it",
        _OK,
        body=optional(Container=TEXT, EndpointConfig=OBJECT),
        errors=(403, 404, 409, 501),
    ),
    ("POST", "/networks/{ref}/disconnect"): Operation(
        "Take a container out of it", _OK, body=optional(Container=TEXT, Force=FLAG), errors=(403, 404, 409, 501)
    ),
}

_ENGINE: Final = {
    ("GET", "/_ping"): Operation("Whether it is there", {200: Reply(TEXT, "text/plain")}),
    ("HEAD", "/_ping"): Operation("The same, in headers alone", _OK),
    ("GET", "/version"): Operation("What it is", _found("Version")),
    ("GET", "/info"): Operation("What it has", _found("Info")),
    ("GET", "/system/df"): Operation("What takes room", _found("DiskUsage"), {"type": listed(TEXT)}),
    ("GET", "/events"): Operation(
        "What happens", {200: Reply(named("Event"), lines=True)}, {"since": TEXT, "until": TEXT, **_FILTERS}
    ),
    ("POST", "/wherry/check"): Operation("Verify what is stored (wherry's own)", _LINES, {"repair": FLAG}),
    ("GET", "/metrics"): Operation(
        "Figures for Prometheus (wherry's own)", {200: Reply(TEXT, "text/plain; version=0.0.4; charset=utf-8")}
    ),
}


def _absent() -> dict[tuple[str, str], Operation]:
    """Swarm and plugins: there, so that clients are told so."""
    empty = {200: Reply(listed(OBJECT))}
    found = {
        ("GET", "/swarm"): Operation("Not offered", errors=(503,)),
        ("GET", "/swarm/unlockkey"): Operation("Not offered", errors=(503,)),
        ("POST", "/swarm/leave"): Operation("Not offered", errors=(503,)),
        ("POST", "/swarm/{action}"): Operation("Not offered", errors=(501,)),
        ("GET", "/plugins"): Operation("There are none", empty),
        ("GET", "/plugins/privileges"): Operation("Not offered", errors=(501,)),
        ("POST", "/plugins/pull"): Operation("Not offered", errors=(501,)),
        ("POST", "/plugins/create"): Operation("Not offered", errors=(501,)),
        ("GET", "/plugins/{name*}/json"): Operation("There is none", errors=(404,)),
        ("DELETE", "/plugins/{name*}"): Operation("There is none", errors=(404,)),
    }
    for action in ("enable", "disable", "upgrade", "push", "set"):
        found["POST", f"/plugins/{{name*}}/{action}"] = Operation("There is none", errors=(404,))
    for noun in ("services", "nodes", "tasks", "secrets", "configs"):
        found["GET", f"/{noun}"] = Operation("Not offered", errors=(503,))
        for method in ("GET", "POST", "DELETE"):
            found[method, f"/{noun}/{{rest*}}"] = Operation("Not offered", errors=(503,))
    return found


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    **_CONTAINERS,
    **_IMAGES,
    **_BUILD,
    **_PLACES,
    **_ENGINE,
    **_absent(),
}
"""Every route has one, and each belongs to a route: the tests hold that."""
