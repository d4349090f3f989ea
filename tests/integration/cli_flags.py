"""Every flag of `docker run` and `create`, as a table: what it must leave in `inspect`, what a program in the container
sees of it, what is printed of it for a WASM container; and what is refused, with docker's words.

test_docker_cli_sweep.py runs it, and holds it against the flags that the installed docker CLI has.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """``words`` on the command line; ``field`` of `inspect` holds ``value``; ``shell`` in a Linux container prints what
    matches ``out``; ``warns`` is printed for a WASM container, for which the flag then changes nothing."""

    words: str
    field: str = ""
    value: Any = None
    shell: str = ""
    out: str = ""
    warns: str = ""


def _cgroup(v1: str, v2: str) -> str:
    return f"cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}"


# One container with all of these.
OWN = [
    Flag(
        "--add-host extra:1.2.3.4", "HostConfig.ExtraHosts", ["extra:1.2.3.4"], "grep extra /etc/hosts", r"1\.2\.3\.4"
    ),
    Flag("--annotation a.b=c", "HostConfig.Annotations", {"a.b": "c"}),
    Flag("--attach stdout", "Config.AttachStdout", True),
    Flag("--cap-add SYS_NICE", "HostConfig.CapAdd", ["CAP_SYS_NICE"]),
    Flag(
        "--cap-drop NET_RAW", "HostConfig.CapDrop", ["CAP_NET_RAW"], "grep CapBnd /proc/self/status", "a88[0-9a-f]{5}$"
    ),
    Flag("--cgroupns private", "HostConfig.CgroupnsMode", "private", "tail -1 /proc/1/cgroup", r"0::/$"),
    Flag("--cpu-period 50000", "HostConfig.CpuPeriod", 50000),
    Flag("--cpu-quota 25000", "HostConfig.CpuQuota", 25000, _cgroup("cpu/cpu.cfs_quota_us", "cpu.max"), "25000"),
    Flag("--cpu-shares 512", "HostConfig.CpuShares", 512, _cgroup("cpu/cpu.shares", "cpu.weight"), "512|20"),
    Flag(
        "--cpuset-cpus 0",
        "HostConfig.CpusetCpus",
        "0",
        "grep Cpus_allowed_list /proc/self/status",
        r"\t0$",
        warns="--cpuset-cpus has no effect",
    ),
    Flag("--cpuset-mems 0", "HostConfig.CpusetMems", "0", "grep Mems_allowed_list /proc/self/status", r"\t0$"),
    Flag(
        "--device /dev/zero:/dev/zz:r",
        "HostConfig.Devices",
        [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/zz", "CgroupPermissions": "r"}],
        "ls -l /dev/zz",
        "1, *5",
        warns="--device has no effect",
    ),
    Flag("--device-cgroup-rule 'c 1:5 r'", "HostConfig.DeviceCgroupRules", ["c 1:5 r"]),
    Flag("--disable-content-trust"),
    Flag("--dns 9.9.9.9", "HostConfig.Dns", ["9.9.9.9"], "cat /etc/resolv.conf", r"nameserver 9\.9\.9\.9"),
    Flag("--dns-option ndots:3", "HostConfig.DnsOptions", ["ndots:3"], "cat /etc/resolv.conf", "options ndots:3"),
    Flag("--dns-search s.test", "HostConfig.DnsSearch", ["s.test"], "cat /etc/resolv.conf", r"search s\.test"),
    Flag("--domainname d.test", "Config.Domainname", "d.test", "cat /proc/sys/kernel/domainname", r"d\.test"),
    Flag("--env A=b", "Config.Env", ["A=b"], "echo $A", "^b$"),
    Flag("--env-file {folder}/env", "Config.Env", ["FROM_FILE=yes"], "echo $FROM_FILE", "^yes$"),
    Flag("--expose 81", "Config.ExposedPorts", {"81/tcp": {}}),
    Flag("--group-add 44", "HostConfig.GroupAdd", ["44"], "id -G", r"\b44\b"),
    Flag("--health-cmd true", "Config.Healthcheck.Test", ["CMD-SHELL", "true"]),
    Flag("--health-interval 90s", "Config.Healthcheck.Interval", 90_000_000_000),
    Flag("--health-retries 3", "Config.Healthcheck.Retries", 3),
    Flag("--health-start-interval 2s", "Config.Healthcheck.StartInterval", 2_000_000_000),
    Flag("--health-start-period 1s", "Config.Healthcheck.StartPeriod", 1_000_000_000),
    Flag("--health-timeout 1s", "Config.Healthcheck.Timeout", 1_000_000_000),
    Flag("--hostname h1", "Config.Hostname", "h1", "hostname", "^h1$"),
    Flag("--init", "HostConfig.Init", True, "cat /proc/1/comm", "docker-init"),
    Flag("--ipc shareable", "HostConfig.IpcMode", "shareable"),
    Flag("--isolation default", "HostConfig.Isolation", "default"),
    Flag("--kernel-memory 64m"),
    Flag("--label a=b", "Config.Labels", {"a": "b"}),
    Flag("--label-file {folder}/labels", "Config.Labels", {"from": "file"}),
    Flag("--log-driver local", "HostConfig.LogConfig.Type", "local"),
    Flag("--log-opt max-size=1m", "HostConfig.LogConfig.Config", {"max-size": "1m"}),
    Flag(
        "--memory 64m",
        "HostConfig.Memory",
        64 << 20,
        _cgroup("memory/memory.limit_in_bytes", "memory.max"),
        str(64 << 20),
    ),
    Flag(
        "--memory-reservation 32m", "HostConfig.MemoryReservation", 32 << 20, warns="--memory-reservation has no effect"
    ),
    Flag("--memory-swap 128m", "HostConfig.MemorySwap", 128 << 20),
    Flag("--memory-swappiness 50", "HostConfig.MemorySwappiness", 50, warns="--memory-swappiness has no effect"),
    Flag("--mount type=tmpfs,dst=/tm", "HostConfig.Mounts", [{"Type": "tmpfs", "Target": "/tm"}], "mount", "on /tm "),
    Flag("--network none", "HostConfig.NetworkMode", "none", "ls /sys/class/net", "^lo$"),
    Flag("--oom-score-adj 500", "HostConfig.OomScoreAdj", 500, "cat /proc/self/oom_score_adj", "^500$"),
    Flag("--pids-limit 50", "HostConfig.PidsLimit", 50, _cgroup("pids/pids.max", "pids.max"), "^50$"),
    Flag("--pull never"),
    Flag("--quiet"),
    Flag("--read-only", "HostConfig.ReadonlyRootfs", True, "touch /x 2>&1", "Read-only"),
    Flag("--restart on-failure:3", "HostConfig.RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
    Flag(
        "--security-opt no-new-privileges",
        "HostConfig.SecurityOpt",
        ["no-new-privileges"],
        "grep NoNewPrivs /proc/self/status",
        "1",
    ),
    Flag("--shm-size 32m", "HostConfig.ShmSize", 32 << 20, "df -k /dev/shm", "32768", warns="--shm-size has no effect"),
    Flag("--stop-signal INT", "Config.StopSignal", "INT"),
    Flag("--stop-timeout 3", "Config.StopTimeout", 3),
    Flag(
        "--sysctl net.ipv4.ip_forward=1",
        "HostConfig.Sysctls",
        {"net.ipv4.ip_forward": "1"},
        "cat /proc/sys/net/ipv4/ip_forward",
        "^1$",
        warns="--sysctl has no effect",
    ),
    Flag("--tmpfs /small:size=1m", "HostConfig.Tmpfs", {"/small": "size=1m"}, "df -k /small", "1024"),
    Flag(
        "--ulimit nofile=100:200",
        "HostConfig.Ulimits",
        [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "ulimit -n",
        "100",
    ),
    Flag("--user 1000:1001", "Config.User", "1000:1001", "id -u", "^1000$"),
    Flag("--volume {folder}/shared:/f", "HostConfig.Binds", ["{folder}/shared:/f"], "ls /f", "^here$"),
    Flag("--volume-driver local", "HostConfig.VolumeDriver", "local"),
    Flag("--workdir /tmp", "Config.WorkingDir", "/tmp", "pwd", "^/tmp$"),
]

# Another one: what is shared with the host, and the opposites of the above.
SHARED = [
    Flag("--cgroupns host", "HostConfig.CgroupnsMode", "host", "tail -1 /proc/1/cgroup", "/"),
    Flag("--cpus 1.5", "HostConfig.NanoCpus", 1_500_000_000, _cgroup("cpu/cpu.cfs_quota_us", "cpu.max"), "150000"),
    Flag("--ipc host", "HostConfig.IpcMode", "host"),
    Flag("--network host", "HostConfig.NetworkMode", "host"),
    Flag("--no-healthcheck", "Config.Healthcheck.Test", ["NONE"]),
    Flag("--pid host", "HostConfig.PidMode", "host", "echo $$", r"^\d\d+$"),
    Flag("--privileged", "HostConfig.Privileged", True, warns="--privileged has no effect"),
    Flag("--rm", "HostConfig.AutoRemove", True),
    Flag("--tty", "Config.Tty", True),
    Flag("--userns host", "HostConfig.UsernsMode", "host"),
    Flag("--uts host", "HostConfig.UTSMode", "host", "hostname", "."),
    Flag("--volumes-from peer", "HostConfig.VolumesFrom", ["peer"], "ls /lent", "^$"),
]

# And one that is never started: it would need a disk of a known name, or a network.
MADE = [
    Flag(
        "--blkio-weight 300", "HostConfig.BlkioWeight", 300, warns="--blkio-weight and --device-read-bps have no effect"
    ),
    Flag("--blkio-weight-device /dev/xx:300", "HostConfig.BlkioWeightDevice", [{"Path": "/dev/xx", "Weight": 300}]),
    Flag("--cgroup-parent /sweep", "HostConfig.CgroupParent", "/sweep"),
    Flag("--cidfile {folder}/cid", "HostConfig.ContainerIDFile", "{folder}/cid"),
    Flag("--device-read-bps /dev/xx:1mb", "HostConfig.BlkioDeviceReadBps", [{"Path": "/dev/xx", "Rate": 1 << 20}]),
    Flag("--device-read-iops /dev/xx:7", "HostConfig.BlkioDeviceReadIOps", [{"Path": "/dev/xx", "Rate": 7}]),
    Flag("--device-write-bps /dev/xx:1mb", "HostConfig.BlkioDeviceWriteBps", [{"Path": "/dev/xx", "Rate": 1 << 20}]),
    Flag("--device-write-iops /dev/xx:7", "HostConfig.BlkioDeviceWriteIOps", [{"Path": "/dev/xx", "Rate": 7}]),
    Flag("--entrypoint /bin/echo", "Config.Entrypoint", ["/bin/echo"]),
    Flag("--interactive", "Config.OpenStdin", True),
    Flag("--ip 10.213.7.9", "NetworkSettings.Networks.sweepnet.IPAMConfig", {"IPv4Address": "10.213.7.9"}),
    Flag("--link peer:mate", "Name", "/the-made"),
    Flag("--mac-address 02:42:ac:11:00:99", "NetworkSettings.Networks.sweepnet.MacAddress", "02:42:ac:11:00:99"),
    Flag("--name the-made", "Name", "/the-made"),
    Flag("--network sweepnet", "HostConfig.NetworkMode", "sweepnet"),
    Flag("--network-alias other", "NetworkSettings.Networks.sweepnet.Aliases", ["other"]),
    Flag("--oom-kill-disable", "HostConfig.OomKillDisable", True, warns="--oom-kill-disable has no effect"),
    Flag("--publish 127.0.0.1:7:81", "HostConfig.PortBindings", {"81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7"}]}),
    Flag("--publish-all", "HostConfig.PublishAllPorts", True),
    Flag("--use-api-socket", "HostConfig.Mounts", [{"Target": "/var/run/docker.sock"}]),
]

_WINDOWS = "only supported on a Docker daemon running on windows"
# For both kinds of container; without a word after ": " it is the CLI that refuses.
REFUSED = {
    "--blkio-weight 5": "Range of blkio weight is from 10 to 1000",
    "--cap-add NOPE": 'invalid CapAdd: unknown capability: "CAP_NOPE"',
    "--cap-drop NOPE": 'invalid CapDrop: unknown capability: "CAP_NOPE"',
    "--cgroupns nope": "invalid CGROUP mode",
    "--cpu-count 2": _WINDOWS,
    "--cpu-percent 50": _WINDOWS,
    "--cpu-period 5": "CPU cfs period",
    "--cpu-quota 5": "CPU cfs quota",
    "--cpus 10000": "range of CPUs is from 0.01 to ",
    "--cpus 0.001": "range of CPUs is from 0.01 to ",
    "--cpus 1 --cpu-quota 5000": "Conflicting options: Nano CPUs and CPU",
    "--cpuset-cpus 65000": "Requested CPUs are not available - requested 65000, available: 0",
    "--cpuset-mems 65000": "Requested memory nodes are not available - requested 65000, available: 0",
    "--cpuset-cpus 3-1": "Invalid value 3-1 for cpuset",
    "--cpu-rt-period 1000 --cpu-rt-runtime 2000": "eal-time",
    "--device-cgroup-rule nope": "invalid device cgroup format",
    "--dns nope": "IP address is not correctly formatted",
    "--env =b": "invalid environment variable: =b",
    "--env-file /nope": "no such file or directory",
    "--gpus all": 'could not select device driver "" with capabilities: [[gpu]]',
    "--group-add nope": "unable to find group nope: no matching entries in group file",
    "--health-interval 1us": "Interval in Healthcheck cannot be less than 1ms",
    "--no-healthcheck --health-cmd x": "--no-healthcheck conflicts with --health-* options",
    "--io-maxbandwidth 1m": _WINDOWS,
    "--io-maxiops 1": _WINDOWS,
    "--network bridge --ip 172.17.0.9": "user specified IP address is supported on user defined networks only",
    "--network bridge --ip6 fe80::9": "user specified IP address is supported on user defined networks only",
    "--ipc nope": "invalid IPC mode: nope",
    "--isolation hyperv": "only supports 'default'",
    "--link nope:x": "could not get container for nope: No such container: nope",
    "--network other --link-local-ip 169.254.7.7": "link-local addresses are not offered",
    "--log-driver nope": "no log driver named 'nope' is registered",
    "--log-opt nope=1": "unknown log opt 'nope' for json-file log driver",
    "--mac-address nope": "nope is not a valid mac address",
    "--memory 1k": "Minimum memory limit allowed is",
    "--memory 8m --memory-reservation 9m": "can not be less than memory reservation limit",
    "--memory 8m --memory-swap 7m": "memoryswap limit should be larger than memory limit",
    "--memory-swap 64m": "You should always set the Memory limit when using Memoryswap limit",
    "--memory-swappiness 101": "Valid memory swappiness range is 0-100",
    "--mount type=nope,dst=/t": "mount type unknown",
    "--mount type=bind,src=/nope/x,dst=/t": "bind source path does not exist: /nope/x",
    "--name nope/x": "Invalid container name (nope/x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    "--network nope": "network nope not found",
    "--network-alias al": "network-scoped aliases are only supported for user-defined networks",
    "--oom-score-adj 5000": "range for oom score adj",
    "--pid nope": "invalid PID mode",
    "--platform nope": "nope",
    "--publish nope": "invalid containerPort: nope",
    "--publish 99999:1": "invalid hostPort: 99999",
    "--pull nope": "invalid pull option",
    "--pull always": "pull access denied",
    "--restart nope": "invalid restart policy",
    "--restart always:3": "maximum retry count",
    "--restart on-failure:-1": "maximum retry count",
    "--rm --restart always": "",
    "--runtime nope": "unknown or invalid runtime name: nope",
    "--security-opt nope=x": 'invalid --security-opt 2: "nope=x"',
    "--security-opt seccomp=/nope": "opening seccomp profile (/nope) failed",
    "--shm-size -1": "invalid size: '-1'",
    "--stop-signal NOPE": "Invalid signal: NOPE",
    "--storage-opt size=1g": "--storage-opt is not offered",
    "--storage-opt nope=1": "unknown option nope",
    "--sysctl kernel.panic=1": "sysctl 'kernel.panic=1' is not allowed",
    "--tmpfs rel": "mount path must be absolute",
    "--tmpfs /t:nope=1": "invalid tmpfs option",
    "--ulimit nope=1": "invalid ulimit type: nope",
    "--ulimit nofile=300:200": "soft limit must be less than or equal to hard limit",
    "--user nope": "unable to find user nope: no matching entries in passwd file",
    "--userns nope": "invalid USER mode",
    "--uts nope": "invalid UTS mode",
    "--uts host --hostname x": "conflicting options: hostname and the UTS mode",
    "--volume /x:rel": "mount path must be absolute",
    "--volume /x:/y:nope": "invalid mode: nope",
    "--volume-driver nope --volume some:/v": 'error looking up volume plugin nope: plugin "nope" not found',
    "--volumes-from nope": "No such container: nope",
    "--workdir rel": "it needs to be an absolute path",
}

ELSEWHERE = {"--detach", "--detach-keys", "--sig-proxy", "--help", "--runtime", "--cpu-rt-period", "--cpu-rt-runtime"}
"""What test_docker_cli_sweep.py has tests of its own for."""
