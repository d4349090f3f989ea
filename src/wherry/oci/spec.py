"""The OCI runtime specification's words: what a bundle's ``config.json`` asks of a runtime. Values only.

Reading is tolerant: containerd, dockerd and a kubelet all write specs of their own, so what is not known here is kept
in ``extra`` (at its own level) and written back. Hooks are kept, never run, by this reading.
Source: https://github.com/opencontainers/runtime-spec/blob/v1.1.0/config.md and config-linux.md
"""

from __future__ import annotations

from types import MappingProxyType

from wherry.oci.document import Reader, decode, encode, present
from wherry.record import Record

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERSION = "1.1.0"
SPEC_LIMIT = 8 << 20
"""Bytes that a ``config.json`` may have."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class User(Record):
    """Who the process is; ``umask`` None leaves the runtime's. ``username`` is for Windows only, kept in ``extra``."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int | None = None
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> User:
        reader = Reader(value, "user")
        found = cls(
            uid=reader.integer("uid", high=2**32 - 1),
            gid=reader.integer("gid", high=2**32 - 1),
            additional_gids=reader.integers("additionalGids", high=2**32 - 1),
            umask=reader.optional_integer("umask", high=0o7777),
            extra=reader.rest,
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"uid": self.uid, "gid": self.gid}
        if self.umask is not None:
            document["umask"] = self.umask
        return document | present(additionalGids=self.additional_gids) | dict(self.extra)


class Rlimit(Record):
    """``type`` is a name such as RLIMIT_NOFILE; RLIM_INFINITY is 2**64 - 1."""

    type: str
    soft: int
    hard: int

    @classmethod
    def from_json(cls, value: Any) -> Rlimit:
        reader = Reader(value, "rlimit")
        found = cls(
            type=reader.string("type", required=True),
            soft=reader.integer("soft", required=True, high=2**64 - 1),
            hard=reader.integer("hard", required=True, high=2**64 - 1),
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "hard": self.hard, "soft": self.soft}


class Process(Record):
    """The program. ``console_size`` is (height, width) in cells; ``capabilities`` maps a set's name to its members."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    user: User = User()
    capabilities: Mapping[str, tuple[str, ...]] = _NONE
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> Process:
        """InvalidArgument lists all that is wrong with it."""
        reader = Reader(value, "process")
        found = cls(
            args=reader.strings("args"),
            env=reader.strings("env"),
            cwd=reader.string("cwd", default="/"),
            terminal=reader.boolean("terminal"),
            console_size=reader.via("consoleSize", _console_size, None),
            user=reader.via("user", User.from_json, User()),
            capabilities=reader.via("capabilities", _capabilities, {}),
            rlimits=reader.each("rlimits", Rlimit.from_json),
            no_new_privileges=reader.boolean("noNewPrivileges"),
            oom_score_adj=reader.optional_integer("oomScoreAdj", low=-1000, high=1000),
            extra=reader.rest,
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        document = present(terminal=self.terminal)
        if self.console_size is not None:
            document["consoleSize"] = {"height": self.console_size[0], "width": self.console_size[1]}
        document |= {"user": self.user.to_json(), "args": list(self.args)}
        document |= present(env=self.env) | {"cwd": self.cwd}
        document |= present(
            capabilities={name: list(members) for name, members in self.capabilities.items()},
            rlimits=tuple(limit.to_json() for limit in self.rlimits),
            noNewPrivileges=self.no_new_privileges,
        )
        if self.oom_score_adj is not None:
            document["oomScoreAdj"] = self.oom_score_adj
        return document | dict(self.extra)


def _console_size(value: Any) -> tuple[int, int]:
    reader = Reader(value, "consoleSize")
    found = (reader.integer("height", high=65535), reader.integer("width", high=65535))
    reader.finish()
    return found


def _capabilities(value: Any) -> dict[str, tuple[str, ...]]:
    reader = Reader(value, "capabilities")
    names = ("bounding", "effective", "inheritable", "permitted", "ambient")
    found = {name: reader.strings(name) for name in names}
    reader.finish()
    return {name: members for name, members in found.items() if members}


class Root(Record):
    """The rootfs: ``path`` is relative to the bundle, or absolute."""

    path: str = "rootfs"
    readonly: bool = False

    @classmethod
    def from_json(cls, value: Any) -> Root:
        reader = Reader(value, "root")
        found = cls(path=reader.string("path", required=True), readonly=reader.boolean("readonly"))
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path} | present(readonly=self.readonly)


class SpecMount(Record):
    """One entry of ``mounts``; ``options`` are mount(8)'s words. ``destination`` is absolute in the container."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> SpecMount:
        reader = Reader(value, "mount")
        found = cls(
            destination=reader.string("destination", required=True),
            type=reader.string("type"),
            source=reader.string("source"),
            options=reader.strings("options"),
            extra=reader.rest,
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        rest = present(type=self.type, source=self.source, options=self.options)
        return {"destination": self.destination} | rest | dict(self.extra)

    @property
    def readonly(self) -> bool:
        """Whether the last word said of it is ``ro``."""
        return next((word == "ro" for word in reversed(self.options) if word in ("ro", "rw")), False)


class Namespace(Record):
    """``type`` is pid, network, mount, ipc, uts, user, cgroup or time; without a ``path`` it is made anew."""

    type: str
    path: str = ""

    @classmethod
    def from_json(cls, value: Any) -> Namespace:
        reader = Reader(value, "namespace")
        found = cls(type=reader.string("type", required=True), path=reader.string("path"))
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type} | present(path=self.path)


class IdMapping(Record):
    """A line of a uid_map or gid_map."""

    container_id: int
    host_id: int
    size: int

    @classmethod
    def from_json(cls, value: Any) -> IdMapping:
        reader = Reader(value, "id mapping")
        keys = ("containerID", "hostID", "size")
        found = cls(*(reader.integer(key, required=True, high=2**32 - 1) for key in keys))
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        return {"containerID": self.container_id, "hostID": self.host_id, "size": self.size}


class Resources(Record):
    """Cgroup limits; None is not set. Memory in bytes (-1 unlimited), quota and period in microseconds."""

    memory_limit: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> Resources:
        """InvalidArgument lists all that is wrong with it. Also reads the ``resources`` of a task's Update."""
        reader = Reader(value, "resources")
        memory = reader.child("memory")
        cpu = reader.child("cpu")
        pids = reader.child("pids")
        found = cls(
            memory_limit=memory.optional_integer("limit", low=-1),
            memory_reservation=memory.optional_integer("reservation", low=-1),
            memory_swap=memory.optional_integer("swap", low=-1),
            cpu_shares=cpu.optional_integer("shares"),
            cpu_quota=cpu.optional_integer("quota", low=-1),
            cpu_period=cpu.optional_integer("period"),
            cpuset_cpus=cpu.string("cpus"),
            cpuset_mems=cpu.string("mems"),
            pids_limit=pids.optional_integer("limit", low=-1),
            extra=reader.rest | present(memory=memory.rest, cpu=cpu.rest, pids=pids.rest),
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        memory = {"limit": self.memory_limit, "reservation": self.memory_reservation, "swap": self.memory_swap}
        cpu = {"shares": self.cpu_shares, "quota": self.cpu_quota, "period": self.cpu_period}
        words = present(cpus=self.cpuset_cpus, mems=self.cpuset_mems)
        document: dict[str, Any] = dict(self.extra)
        for key, known in (("memory", memory), ("cpu", cpu | words), ("pids", {"limit": self.pids_limit})):
            whole = {name: value for name, value in known.items() if value is not None} | dict(self.extra.get(key, {}))
            document |= present(**{key: whole})
        return document


class Linux(Record):
    """The ``linux`` object. Seccomp, devices and so on stay in ``extra``: only runc reads them."""

    namespaces: tuple[Namespace, ...] = ()
    resources: Resources = Resources()
    cgroups_path: str = ""
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    sysctl: Mapping[str, str] = _NONE
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> Linux:
        """InvalidArgument lists all that is wrong with it."""
        reader = Reader(value, "linux")
        found = cls(
            namespaces=reader.each("namespaces", Namespace.from_json),
            resources=reader.via("resources", Resources.from_json, Resources()),
            cgroups_path=reader.string("cgroupsPath"),
            uid_mappings=reader.each("uidMappings", IdMapping.from_json),
            gid_mappings=reader.each("gidMappings", IdMapping.from_json),
            sysctl=reader.string_map("sysctl"),
            masked_paths=reader.strings("maskedPaths"),
            readonly_paths=reader.strings("readonlyPaths"),
            extra=reader.rest,
        )
        reader.finish()
        return found

    def to_json(self) -> dict[str, Any]:
        known = present(
            uidMappings=tuple(mapping.to_json() for mapping in self.uid_mappings),
            gidMappings=tuple(mapping.to_json() for mapping in self.gid_mappings),
            sysctl=dict(self.sysctl),
            resources=self.resources.to_json(),
            cgroupsPath=self.cgroups_path,
            namespaces=tuple(namespace.to_json() for namespace in self.namespaces),
            maskedPaths=self.masked_paths,
            readonlyPaths=self.readonly_paths,
        )
        return known | dict(self.extra)

    def namespace(self, kind: str) -> Namespace | None:
        """The namespace of that type, if the spec names one."""
        return next((namespace for namespace in self.namespaces if namespace.type == kind), None)


class Spec(Record):
    """The whole ``config.json``."""

    process: Process = Process()
    root: Root = Root()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[SpecMount, ...] = ()
    annotations: Mapping[str, str] = _NONE
    linux: Linux = Linux()
    version: str = VERSION
    extra: Mapping[str, Any] = _NONE

    @classmethod
    def from_json(cls, value: Any) -> Spec:
        """InvalidArgument lists all that is wrong with it."""
        reader = Reader(value, "runtime spec")
        found = cls(
            process=reader.via("process", Process.from_json, Process()),
            root=reader.via("root", Root.from_json, Root()),
            hostname=reader.string("hostname"),
            domainname=reader.string("domainname"),
            mounts=reader.each("mounts", SpecMount.from_json),
            annotations=reader.string_map("annotations"),
            linux=reader.via("linux", Linux.from_json, Linux()),
            version=reader.string("ociVersion", default=VERSION),
            extra=reader.rest,
        )
        reader.finish()
        return found

    @classmethod
    def parse(cls, data: bytes) -> Spec:
        """Read the file's bytes. InvalidArgument."""
        return cls.from_json(decode(data, "runtime spec", limit=SPEC_LIMIT))

    def to_json(self) -> dict[str, Any]:
        document = {"ociVersion": self.version, "process": self.process.to_json(), "root": self.root.to_json()}
        document |= present(
            hostname=self.hostname,
            domainname=self.domainname,
            mounts=tuple(mount.to_json() for mount in self.mounts),
            annotations=dict(self.annotations),
            linux=self.linux.to_json(),
        )
        return document | dict(self.extra)

    def to_bytes(self) -> bytes:
        return encode(self.to_json())
