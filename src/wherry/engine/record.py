"""What the engine knows of a container for good: the document kept under ``extensions["docker"]`` of core's record.

Values only; what becomes of them is the matter of lifecycle.py, how clients see them of views.py.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final

from wherry.core.containers.store import Container
from wherry.engine.restart import RestartPolicy
from wherry.engine.runtimes import Kind
from wherry.engine.states import STATUSES, Status
from wherry.errors import DataLoss

EXTENSION: Final = "docker"


@dataclass(frozen=True, slots=True)
class State:
    """Docker's ``State``. Times in nanoseconds since the epoch, 0 is never. ``pid`` is 0 unless it runs;
    ``usage`` is what its last run used (see usage.py), ``health`` docker's document of that name, None for a container
    that is not checked."""

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    health: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One ``Mounts`` entry of `docker inspect`; ``options`` are those beside rw and ro.

    A volume has a ``name`` and a ``driver``, and ``source`` is its folder on the host; ``copy``: what the image has at
    its place goes into an empty one; ``anonymous``: nobody named it, so it may go with its container; ``subpath`` is
    the part of it that is mounted. ``recursive``: with all that is mounted in the source.
    """

    type: str
    source: str
    destination: str
    writable: bool = True
    options: tuple[str, ...] = ()
    propagation: str = "rprivate"
    mode: str = ""
    name: str = ""
    driver: str = ""
    copy: bool = True
    anonymous: bool = False
    subpath: str = ""
    recursive: bool = True

    @property
    def whole(self) -> str:
        """``source``, but of a part of a volume the volume's folder."""
        return self.source.removesuffix(f"/{self.subpath}") if self.subpath else self.source


@dataclass(frozen=True, slots=True)
class Record:
    """A container. ``config`` and ``host_config`` are Docker's own documents, complete: defaults and the image's
    settings are filled in. ``networks`` are the networks that it is in by name, each with its EndpointSettings as
    they were asked for. ``stopped_by_user`` holds restart policies back; ``restarts`` counts theirs."""

    id: str
    name: str
    created: int
    image: str
    image_id: str
    image_name: str
    platform: str
    runtime: str
    kind: Kind
    config: Mapping[str, Any]
    host_config: Mapping[str, Any]
    mounts: tuple[MountPoint, ...] = ()
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    state: State = field(default_factory=State)
    restarts: int = 0
    stopped_by_user: bool = False

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def tty(self) -> bool:
        return bool(self.config.get("Tty"))

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.get("Labels") or {}

    @property
    def auto_remove(self) -> bool:
        return bool(self.host_config.get("AutoRemove"))

    @property
    def restart_policy(self) -> RestartPolicy:
        return RestartPolicy.from_json(self.host_config.get("RestartPolicy"))

    @property
    def args(self) -> tuple[str, ...]:
        """What is run: the entrypoint's words, then the command's."""
        return (*(self.config.get("Entrypoint") or ()), *(self.config.get("Cmd") or ()))

    def with_state(self, own: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> "Record":
        """The same container with another state, and with ``own`` changes beside that."""
        return replace(self, state=replace(self.state, **changes), **own)


_HELD_BY_CORE: Final = ("id", "name", "image", "runtime")
_OWN_FIELDS: Final = tuple(item.name for item in fields(Record) if item.name not in _HELD_BY_CORE)
_STATE_FIELDS: Final = tuple(item.name for item in fields(State))


def to_container(record: Record) -> Container:
    """Core's form of the record, for the container store."""
    # Not dataclasses.asdict: it copies both configurations deeply, a millisecond for each change of state.
    document = {name: getattr(record, name) for name in _OWN_FIELDS}
    document["state"] = {name: getattr(record.state, name) for name in _STATE_FIELDS}
    document["mounts"] = [asdict(point) for point in record.mounts]
    return Container(
        id=record.id,
        name=record.name,
        image=record.image,
        runtime=record.runtime,
        snapshot=record.id,
        created=record.created / 1e9,
        labels=dict(record.labels),
        extensions={EXTENSION: document},
    )


def from_container(container: Container) -> Record:
    """DataLoss: the document is not one that `to_container` wrote."""
    try:
        document = dict(container.extensions[EXTENSION])
        state = State(**document.pop("state"))
        if state.status not in STATUSES:
            raise ValueError(state.status)
        mounts = tuple(
            MountPoint(**{**mount, "options": tuple(mount.get("options", ()))}) for mount in document.pop("mounts", ())
        )
        rest = {key: value for key, value in document.items() if key in _OWN_FIELDS}
        return Record(
            id=container.id,
            name=container.name,
            image=container.image,
            runtime=container.runtime,
            state=state,
            mounts=mounts,
            **rest,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataLoss(
            f"the record of container {container.id[:12]} is damaged: {type(error).__name__} {error}"
        ) from error
