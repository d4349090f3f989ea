"""The options that `run` and `create` share, and the API document they make. Docker's names, docker's meaning."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from wherry.cli import network_values, terminal, values
from wherry.cli.app import App
from wherry.cli.human import parse_duration, parse_size
from wherry.cli.textfile import read_text
from wherry.errors import InvalidArgument

Function = Callable[..., Any]


def _many(*names: str, metavar: str, help_: str = "", hidden: bool = False) -> click.Option:
    return click.Option(names, multiple=True, metavar=metavar, help=help_, hidden=hidden)


def _one(*names: str, metavar: str, help_: str = "", hidden: bool = False) -> click.Option:
    return click.Option(names, metavar=metavar, help=help_, hidden=hidden)


def _flag(*names: str, help_: str = "", hidden: bool = False) -> click.Option:
    return click.Option(names, is_flag=True, help=help_, hidden=hidden)


def options() -> list[click.Option]:
    """Made anew for each command. What is hidden works, but is left out of ``--help`` so that it fits a screen."""
    return [
        _flag("-i", "--interactive", help_="Keep stdin open."),
        _flag("-t", "--tty", help_="Allocate a terminal."),
        _many("-a", "--attach", metavar="STREAM", help_="Attach to stdin, stdout or stderr.", hidden=True),
        _one("--name", metavar="NAME", help_="Name the container."),
        _many("-e", "--env", metavar="NAME[=VALUE]", help_="Set an environment variable, or pass one on."),
        _many("--env-file", metavar="FILE", help_="Set environment variables from a file."),
        _many("-v", "--volume", metavar="[SOURCE:]TARGET[:ro]", help_="Mount a folder or a volume."),
        _many("--mount", metavar="SPEC", help_="Mount by type=,source=,target=,readonly."),
        _many("--tmpfs", metavar="PATH[:OPTIONS]", help_="Mount a tmpfs."),
        _many("--volumes-from", metavar="CONTAINER[:ro]", help_="Mount what another container mounts."),
        _one("--volume-driver", metavar="DRIVER", hidden=True),
        _one("-w", "--workdir", metavar="DIR", help_="Working directory in the container."),
        _one("--entrypoint", metavar="COMMAND", help_="Replace the image's ENTRYPOINT."),
        _flag("--rm", help_="Remove the container when it exits."),
        _one("--platform", metavar="OS/ARCH", help_="Platform of the image, such as wasi/wasm."),
        _one("--runtime", metavar="NAME", help_="Runtime, such as io.containerd.wherry.v1."),
        _many("-l", "--label", metavar="KEY[=VALUE]", help_="Label the container."),
        _many("--label-file", metavar="FILE", help_="Labels from a file.", hidden=True),
        _many("--annotation", metavar="KEY=VALUE", help_="Annotate for the runtime.", hidden=True),
        _flag("--read-only", help_="Mount the root filesystem read-only."),
        _one("-m", "--memory", metavar="SIZE", help_="Memory limit, such as 64m."),
        _one("--memory-reservation", metavar="SIZE", hidden=True),
        _one("--memory-swap", metavar="SIZE", hidden=True),
        _one("--cpus", metavar="NUMBER", help_="CPU limit, such as 0.5."),
        click.Option(("-c", "--cpu-shares"), type=int, metavar="N", hidden=True),
        click.Option(("--cpu-period",), type=int, metavar="N", hidden=True),
        click.Option(("--cpu-quota",), type=int, metavar="N", hidden=True),
        _one("--cpuset-cpus", metavar="SET", hidden=True),
        _one("--cpuset-mems", metavar="SET", hidden=True),
        click.Option(("--pids-limit",), type=int, metavar="N", hidden=True),
        _many("--ulimit", metavar="NAME=SOFT[:HARD]", hidden=True),
        _many("--network", "--net", metavar="NETWORK", help_="Network: none, host, bridge or a name."),
        _many("--network-alias", "--net-alias", metavar="NAME", hidden=True),
        _one("--ip", metavar="IP", hidden=True),
        _one("--ip6", metavar="IP", hidden=True),
        _one("--mac-address", metavar="MAC", hidden=True),
        _many("-p", "--publish", metavar="[HOST:]PORT", help_="Publish a port to the host."),
        _flag("-P", "--publish-all", hidden=True),
        _many("--expose", metavar="PORT", hidden=True),
        _many("--dns", metavar="IP", hidden=True),
        _many("--dns-search", metavar="DOMAIN", hidden=True),
        _many("--dns-option", metavar="OPTION", hidden=True),
        _many("--add-host", metavar="HOST:IP", hidden=True),
        _one("-u", "--user", metavar="UID[:GID]", help_="User in the container."),
        _many("--group-add", metavar="GROUP", hidden=True),
        _one("--restart", metavar="POLICY", help_="no, always, on-failure[:N] or unless-stopped."),
        _one("--log-driver", metavar="DRIVER", help_="Log driver: json-file, local, syslog, none."),
        _many("--log-opt", metavar="KEY=VALUE", help_="Log option: max-size=10m, max-file=3."),
        _one("-h", "--hostname", metavar="NAME", help_="Host name in the container."),
        _one("--domainname", metavar="NAME", hidden=True),
        _one("--stop-signal", metavar="SIGNAL", help_="Signal that stops it (SIGTERM)."),
        click.Option(("--stop-timeout",), type=int, metavar="SECONDS", help="Time until it is killed (10)."),
        _flag("--init", hidden=True),
        _flag("--privileged", hidden=True),
        _many("--cap-add", metavar="CAPABILITY", help_="Leave a module what --cap-drop=ALL would take."),
        _many("--cap-drop", metavar="CAPABILITY", help_="Take from a module: files, clocks, random, network, ..."),
        _many("--security-opt", metavar="OPTION", hidden=True),
        _many("--device", metavar="DEVICE", hidden=True),
        _many("--sysctl", metavar="KEY=VALUE", hidden=True),
        _one("--shm-size", metavar="SIZE", hidden=True),
        _one("--pid", "pid_mode", metavar="MODE", hidden=True),
        _one("--ipc", "ipc_mode", metavar="MODE", hidden=True),
        _one("--uts", "uts_mode", metavar="MODE", hidden=True),
        _one("--userns", "userns_mode", metavar="MODE", hidden=True),
        _one("--cgroup-parent", metavar="PATH", hidden=True),
        click.Option(("--oom-score-adj",), type=int, metavar="N", hidden=True),
        _flag("--oom-kill-disable", hidden=True),
        _one("--fuel", metavar="N", help_="End a module after N units of work (128+SIGXCPU)."),
        _one("--health-cmd", metavar="COMMAND", hidden=True),
        _one("--health-interval", metavar="DURATION", hidden=True),
        _one("--health-timeout", metavar="DURATION", hidden=True),
        _one("--health-start-period", metavar="DURATION", hidden=True),
        _one("--health-start-interval", metavar="DURATION", hidden=True),
        click.Option(("--health-retries",), type=int, metavar="N", hidden=True),
        _flag("--no-healthcheck", hidden=True),
        _one("--cidfile", metavar="FILE", help_="Write the container's ID to a file."),
        click.Option(
            ("--pull",),
            type=click.Choice(("always", "missing", "never")),
            default="missing",
            help="When to pull the image.",
        ),
        _flag("-q", "--quiet", help_="No pull output."),
    ]


class Streams(NamedTuple):
    """Which of the container's streams the command is attached to."""

    stdin: bool
    stdout: bool
    stderr: bool

    @property
    def any(self) -> bool:
        """Whether there is anything to attach to."""
        return self.stdin or self.stdout or self.stderr


def streams(given: dict[str, Any], *, detach: bool) -> Streams:
    """What ``-a``, ``-i`` and ``-d`` come to."""
    named = [name.lower() for name in given["attach"]]
    for name in named:
        if name not in ("stdin", "stdout", "stderr"):
            raise InvalidArgument(f"invalid stream {name!r} for -a: use stdin, stdout or stderr")
    if detach:
        if named:
            raise InvalidArgument("conflicting options: -a and -d")
        return Streams(False, False, False)
    if named:
        return Streams("stdin" in named, "stdout" in named, "stderr" in named)
    return Streams(given["interactive"], True, True)


def document(app: App, given: dict[str, Any], attached: Streams, image: str, command: Sequence[str]) -> dict[str, Any]:
    """The body of POST /containers/create. InvalidArgument names the option's text that is wrong."""
    exposed, _ = values.ports(given["publish"], given["expose"])
    _, anonymous = values.volumes(given["volume"], os.getcwd())
    files = [(path, read_text(path)) for path in given["env_file"]]
    label_files = [line for path in given["label_file"] for line in read_text(path).splitlines() if line.strip()]
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": list(command) or None,
        "Env": values.environment(files, given["env"], app.environ),
        "Labels": values.key_values((*label_files, *given["label"], *_fuel(given["fuel"]))),
        "Hostname": given["hostname"] or "",
        "Domainname": given["domainname"] or "",
        "User": given["user"] or "",
        "WorkingDir": given["workdir"] or "",
        "Tty": given["tty"],
        "OpenStdin": given["interactive"],
        "StdinOnce": given["interactive"] and attached.stdin,
        "AttachStdin": attached.stdin,
        "AttachStdout": attached.stdout,
        "AttachStderr": attached.stderr,
        "ExposedPorts": exposed,
        "Volumes": anonymous,
        "StopSignal": given["stop_signal"] or "",
        "HostConfig": _host_config(given),
        "NetworkingConfig": {"EndpointsConfig": _networks(given)[1]},
    }
    if given["entrypoint"] is not None:
        # An empty one resets the image's (docker: `--entrypoint ""`).
        body["Entrypoint"] = [given["entrypoint"]]
    if given["stop_timeout"] is not None:
        body["StopTimeout"] = given["stop_timeout"]
    if health := _healthcheck(given):
        body["Healthcheck"] = health
    return body


def _fuel(units: str | None) -> tuple[str, ...]:
    """The label that asks for it."""
    return () if units is None else (f"dev.wherry.fuel={units}",)


def _host_config(given: dict[str, Any]) -> dict[str, Any]:
    binds, _ = values.volumes(given["volume"], os.getcwd())
    _, bindings = values.ports(given["publish"], given["expose"])
    restart = values.restart_policy(given["restart"] or "no")
    if given["rm"] and restart["Name"] != "no":
        raise InvalidArgument("conflicting options: --restart and --rm")
    host: dict[str, Any] = {
        "Binds": binds,
        "Mounts": [values.mount(text) for text in given["mount"]],
        "Tmpfs": values.tmpfs(given["tmpfs"]),
        "PortBindings": bindings,
        "PublishAllPorts": given["publish_all"],
        "AutoRemove": given["rm"],
        "NetworkMode": _networks(given)[0],
        "RestartPolicy": restart,
        "ReadonlyRootfs": given["read_only"],
        "LogConfig": {"Type": given["log_driver"] or "", "Config": values.key_values(given["log_opt"], "log option")},
        "Ulimits": [values.ulimit(text) for text in given["ulimit"]],
        "Annotations": values.key_values(given["annotation"], "annotation"),
        "Sysctls": values.key_values(given["sysctl"], "sysctl"),
        "Privileged": given["privileged"],
        "OomKillDisable": given["oom_kill_disable"],
    }
    host.update({name: list(given[option]) for name, option in _LISTS.items() if given[option]})
    host.update({name: given[option] for name, option in _SCALARS.items() if given[option] is not None})
    host.update({name: _size(given[option]) for name, option in _SIZES.items() if given[option] is not None})
    if given["add_host"]:
        host["ExtraHosts"] = network_values.extra_hosts(given["add_host"])
    if given["cpus"] is not None:
        host["NanoCpus"] = values.nano_cpus(given["cpus"])
    if given["init"]:
        host["Init"] = True
    if given["device"]:
        host["Devices"] = [_device(text) for text in given["device"]]
    if given["tty"]:
        columns, lines = terminal.size() or (0, 0)
        host["ConsoleSize"] = [lines, columns]
    return host


def _networks(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    aliases = given["network_alias"]
    ip, ip6, mac = (given[name] or "" for name in ("ip", "ip6", "mac_address"))
    return network_values.networks(given["network"], aliases, ip, mac, ip6)


_LISTS = {
    "CapAdd": "cap_add",
    "CapDrop": "cap_drop",
    "Dns": "dns",
    "DnsSearch": "dns_search",
    "DnsOptions": "dns_option",
    "GroupAdd": "group_add",
    "SecurityOpt": "security_opt",
    "VolumesFrom": "volumes_from",
}
_SCALARS = {
    "Runtime": "runtime",
    "VolumeDriver": "volume_driver",
    "CpuShares": "cpu_shares",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "CpusetCpus": "cpuset_cpus",
    "CpusetMems": "cpuset_mems",
    "PidsLimit": "pids_limit",
    "PidMode": "pid_mode",
    "IpcMode": "ipc_mode",
    "UTSMode": "uts_mode",
    "UsernsMode": "userns_mode",
    "CgroupParent": "cgroup_parent",
    "OomScoreAdj": "oom_score_adj",
}
_SIZES = {
    "Memory": "memory",
    "MemoryReservation": "memory_reservation",
    "MemorySwap": "memory_swap",
    "ShmSize": "shm_size",
}


def _size(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


def _device(text: str) -> dict[str, str]:
    outer, _, rest = text.partition(":")
    inner, _, permissions = rest.partition(":")
    return {"PathOnHost": outer, "PathInContainer": inner or outer, "CgroupPermissions": permissions or "rwm"}


def _healthcheck(given: dict[str, Any]) -> dict[str, Any] | None:
    if given["no_healthcheck"]:
        return {"Test": ["NONE"]}
    spans = {
        "Interval": "health_interval",
        "Timeout": "health_timeout",
        "StartPeriod": "health_start_period",
        "StartInterval": "health_start_interval",
    }
    health: dict[str, Any] = {
        name: parse_duration(given[option]) for name, option in spans.items() if given[option] is not None
    }
    if given["health_cmd"] is not None:
        health["Test"] = ["CMD-SHELL", given["health_cmd"]]
    if given["health_retries"] is not None:
        health["Retries"] = given["health_retries"]
    return health or None
