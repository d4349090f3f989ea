"""The documents that the API answers with, under their names in the contract.

Source: https://docs.docker.com/reference/api/engine/version/v1.51/, as far as clients depend on it.
"""

from collections.abc import Mapping
from typing import Final

from wherry.server.contract.words import (
    ANY,
    FLAG,
    OBJECT,
    TEXT,
    WHOLE,
    Schema,
    listed,
    mapped,
    maybe,
    named,
    optional,
    shape,
)

_TEXTS: Final = maybe(listed(TEXT))
_WORDS: Final = {"anyOf": [TEXT, listed(TEXT)]}
_LABELS: Final = maybe(mapped(TEXT))

_PORT: Final = shape(PrivatePort=WHOLE, Type=TEXT)
_MOUNT: Final = shape(Type=TEXT, Source=TEXT, Destination=TEXT, Mode=TEXT, RW=FLAG, Propagation=TEXT)
_ENDPOINT: Final = shape(NetworkID=TEXT, EndpointID=TEXT, IPAddress=TEXT, Gateway=TEXT, MacAddress=TEXT)
_STATE: Final = shape(
    Status={"enum": ["created", "running", "paused", "restarting", "removing", "exited", "dead"]},
    **dict.fromkeys(("Running", "Paused", "Restarting", "OOMKilled", "Dead"), FLAG),
    **dict.fromkeys(("Pid", "ExitCode"), WHOLE),
    **dict.fromkeys(("Error", "StartedAt", "FinishedAt"), TEXT),
)
_CONFIG: Final = shape(
    **dict.fromkeys(("Hostname", "User", "Image", "WorkingDir"), TEXT),
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr"), FLAG),
    **dict.fromkeys(("Env", "Cmd", "Entrypoint"), _TEXTS),
    Labels=_LABELS,
)

SHAPES: Final[Mapping[str, Schema]] = {
    "Error": shape(message={"type": "string", "minLength": 1, "pattern": r"^[^\n]*$"}),
    "Id": shape(Id=TEXT),
    "Created": shape(Id=TEXT, Warnings=_TEXTS),
    "Exit": shape(StatusCode=WHOLE, Error=maybe(OBJECT)),
    "Updated": shape(Warnings=_TEXTS),
    "ContainerSummary": shape(
        Id=TEXT,
        Names=listed(TEXT),
        **dict.fromkeys(("Image", "ImageID", "Command", "State", "Status"), TEXT),
        Created=WHOLE,
        Ports=listed(_PORT),
        Labels=mapped(TEXT),
        HostConfig=shape(NetworkMode=TEXT),
        NetworkSettings=shape(Networks=maybe(mapped(_ENDPOINT))),
        Mounts=listed(_MOUNT),
    ),
    "Container": shape(
        **dict.fromkeys(("Id", "Created", "Path", "Image", "Name", "Driver", "Platform", "LogPath"), TEXT),
        Args=listed(TEXT),
        State=_STATE,
        RestartCount=WHOLE,
        ExecIDs=_TEXTS,
        HostConfig=shape(NetworkMode=TEXT, RestartPolicy=shape(Name=TEXT), LogConfig=shape(Type=TEXT, Config=OBJECT)),
        Mounts=listed(_MOUNT),
        Config=_CONFIG,
        NetworkSettings=shape(Ports=OBJECT, Networks=mapped(_ENDPOINT)),
    ),
    "Top": shape(Titles=listed(TEXT), Processes=listed(listed(TEXT))),
    "Changes": maybe(listed(shape(Path=TEXT, Kind={"enum": [0, 1, 2]}))),
    "Stats": shape(id=TEXT, name=TEXT, read=TEXT, cpu_stats=OBJECT, memory_stats=OBJECT, pids_stats=OBJECT),
    "Exec": shape(
        **dict.fromkeys(("ID", "ContainerID"), TEXT),
        **dict.fromkeys(("Running", "OpenStdin", "OpenStdout", "OpenStderr"), FLAG),
        ExitCode=maybe(WHOLE),
        Pid=WHOLE,
        ProcessConfig=shape(entrypoint=TEXT, arguments=_TEXTS, tty=FLAG),
    ),
    "ImageSummary": shape(
        Id=TEXT, RepoTags=_TEXTS, RepoDigests=_TEXTS, Created=WHOLE, Size=WHOLE, SharedSize=WHOLE, Containers=WHOLE
    ),
    "Image": shape(
        **dict.fromkeys(("Id", "Architecture", "Os"), TEXT),
        Size=WHOLE,
        RepoTags=_TEXTS,
        RepoDigests=_TEXTS,
        RootFS=shape(Type=TEXT),
        Config=maybe(OBJECT),
    ),
    "Layer": shape(Id=TEXT, Created=WHOLE, CreatedBy=TEXT, Tags=_TEXTS, Size=WHOLE, Comment=TEXT),
    "Removed": listed(optional(Untagged=TEXT, Deleted=TEXT)),
    "Progress": OBJECT,
    "Network": shape(
        **dict.fromkeys(("Name", "Id", "Created", "Scope", "Driver"), TEXT),
        **dict.fromkeys(("Internal", "Attachable", "Ingress"), FLAG),
        IPAM=shape(Driver=TEXT, Config=maybe(listed(OBJECT))),
        Options=maybe(mapped(TEXT)),
        Labels=_LABELS,
    ),
    "Volume": shape(Name=TEXT, Driver=TEXT, Mountpoint=TEXT, Scope=TEXT, Labels=_LABELS, Options=maybe(mapped(TEXT))),
    "Volumes": shape(Volumes=maybe(listed(named("Volume"))), Warnings=_TEXTS),
    "Version": shape(**dict.fromkeys(("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion"), TEXT)),
    "Info": shape(
        **dict.fromkeys(("ID", "Name", "ServerVersion", "Driver", "OSType", "Architecture", "DockerRootDir"), TEXT),
        **dict.fromkeys(("Containers", "ContainersRunning", "Images", "NCPU", "MemTotal"), WHOLE),
        Plugins=OBJECT,
        Runtimes=OBJECT,
        Warnings=_TEXTS,
        Swarm=OBJECT,
    ),
    "DiskUsage": shape(LayersSize=WHOLE, Images=ANY, Containers=ANY, Volumes=ANY, BuildCache=ANY),
    "Event": shape(Type=TEXT, Action=TEXT, Actor=shape(ID=TEXT, Attributes=mapped(TEXT)), time=WHOLE, timeNano=WHOLE),
    "Pruned": OBJECT,
}
"""By their names in the contract."""

CREATE: Final = optional(
    Image=TEXT,
    Cmd=_WORDS,
    Entrypoint=_WORDS,
    **dict.fromkeys(("Hostname", "User", "WorkingDir", "StopSignal"), TEXT),
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce"), FLAG),
    Env=listed(TEXT),
    Labels=mapped(TEXT),
    ExposedPorts=mapped(OBJECT),
    StopTimeout=WHOLE,
    Healthcheck=optional(Test=listed(TEXT), Interval=WHOLE, Timeout=WHOLE, Retries=WHOLE, StartPeriod=WHOLE),
    HostConfig=optional(
        Binds=listed(TEXT),
        NetworkMode=TEXT,
        PortBindings=mapped(listed(optional(HostIp=TEXT, HostPort=TEXT))),
        RestartPolicy=optional(Name=TEXT, MaximumRetryCount=WHOLE),
        LogConfig=optional(Type=TEXT, Config=mapped(TEXT)),
        **dict.fromkeys(("AutoRemove", "Privileged", "ReadonlyRootfs", "PublishAllPorts"), FLAG),
        **dict.fromkeys(("Memory", "NanoCpus", "PidsLimit", "CpuShares", "ShmSize"), WHOLE),
        **dict.fromkeys(("CapAdd", "CapDrop", "SecurityOpt", "Dns", "ExtraHosts", "GroupAdd"), listed(TEXT)),
        Mounts=listed(optional(Type=TEXT, Source=TEXT, Target=TEXT, ReadOnly=FLAG)),
        Tmpfs=mapped(TEXT),
        Runtime=TEXT,
    ),
    NetworkingConfig=optional(EndpointsConfig=mapped(OBJECT)),
)
"""The body of POST /containers/create."""

UPDATE: Final = optional(
    **dict.fromkeys(("Memory", "MemorySwap", "NanoCpus", "CpuShares", "PidsLimit", "BlkioWeight"), WHOLE),
    RestartPolicy=optional(Name=TEXT, MaximumRetryCount=WHOLE),
)
"""The body of POST /containers/{ref}/update."""

EXEC: Final = optional(
    Cmd=listed(TEXT),
    Env=listed(TEXT),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "Privileged"), FLAG),
    **dict.fromkeys(("User", "WorkingDir", "DetachKeys"), TEXT),
)
"""The body of POST /containers/{ref}/exec."""

NETWORK: Final = optional(
    **dict.fromkeys(("Name", "Driver"), TEXT),
    **dict.fromkeys(("Internal", "Attachable", "EnableIPv6", "CheckDuplicate"), FLAG),
    IPAM=optional(Driver=TEXT, Config=listed(optional(Subnet=TEXT, Gateway=TEXT, IPRange=TEXT)), Options=mapped(TEXT)),
    Options=mapped(TEXT),
    Labels=mapped(TEXT),
)
"""The body of POST /networks/create."""

VOLUME: Final = optional(Name=TEXT, Driver=TEXT, DriverOpts=mapped(TEXT), Labels=mapped(TEXT))
"""The body of POST /volumes/create."""
