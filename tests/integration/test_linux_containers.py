"""Linux containers by the docker CLI: docker's defaults as the kernel shows them from inside, and every option of run
that changes them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import until
from tests.linux_images import busybox_context

DEFAULT_CAPABILITIES = "00000000a80425fb"


@pytest.fixture(scope="module")
def box(docker: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image of busybox."""
    context = busybox_context(tmp_path_factory.mktemp("busybox"))
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", context)
    return "box"


class Box:
    """``docker run --rm --network none`` of busybox."""

    def __init__(self, docker: Any, image: str) -> None:
        self.docker, self.image = docker, image

    def __call__(self, *options: object, sh: str) -> str:
        return self.docker("run", "--rm", "--network", "none", *options, self.image, "sh", "-c", sh)

    def fails(self, *words: object, code: int) -> str:
        return self.docker.fails("run", "--rm", "--network", "none", *words, code=code)


@pytest.fixture
def run(docker: Any, box: str) -> Box:
    return Box(docker, box)


@pytest.fixture
def running(docker: Any, box: str) -> Any:
    """Starts containers that run until the test ends; each is given its options and shell text."""
    made: list[str] = []

    def start(*options: object, sh: str = "while :; do sleep 0.1; done") -> str:
        words = [part for part in options if part]
        made.append(docker("run", "-d", "--network", "none", *words, box, "sh", "-c", sh))
        return made[-1]

    yield start
    docker.run("rm", "-f", *made)


def status(text: str, key: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{key}:"))


def test_confined_as_docker_confines(run: Box) -> None:
    told = run(sh="cat /proc/self/status; unshare -m true || echo no namespaces")
    assert status(told, "CapEff") == status(told, "CapBnd") == DEFAULT_CAPABILITIES
    assert (status(told, "Seccomp"), status(told, "NoNewPrivs")) == ("2", "0")
    assert told.endswith("no namespaces")
    mounted = run(sh="mount; touch /proc/sys/kernel/x 2>&1; cat /proc/timer_list; id; echo $HOME; ls -C -w 999 /dev")
    assert "sysfs on /sys type sysfs (ro" in mounted
    assert "/proc/sys type proc (ro" in mounted
    assert "tmpfs on /sys/firmware type tmpfs (ro" in mounted
    *_, ids, home, devices = mounted.splitlines()
    assert (ids, home) == ("uid=0(root) gid=0(root) groups=0(root)", "/root")
    made = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert set(devices.split()) - {"core"} == set(made.split())


def test_users_and_groups_by_the_images_files(run: Box, docker: Any) -> None:
    told = run("--user", "mate", "--group-add", "tty", "--group-add", "77", sh="id; echo $HOME; cat /proc/self/status")
    assert "uid=1000(mate) gid=1001(mate)" in told
    assert {"44(deck)", "5(tty)", "77"} <= set(told.splitlines()[0].split("groups=")[1].split(","))
    assert "/home/mate" in told
    assert status(told, "CapEff") == "0000000000000000"
    assert status(told, "CapBnd") == DEFAULT_CAPABILITIES
    assert run("--user", "1234:5", sh="id") == "uid=1234 gid=5(tty) groups=5(tty)"
    assert "unable to find user nobody2: no matching entries in passwd file" in run.fails(
        "--user", "nobody2", "box", "id", code=125
    )


def test_capabilities(run: Box) -> None:
    assert status(run("--cap-drop", "ALL", sh="cat /proc/self/status"), "CapEff") == "0000000000000000"
    assert status(run("--cap-drop", "all", "--cap-add", "chown", sh="cat /proc/self/status"), "CapEff").endswith("1")
    assert run("--cap-add", "SYS_ADMIN", sh="mkdir /m && mount -t tmpfs x /m && echo mounted") == "mounted"


def test_privileged(run: Box) -> None:
    told = run("--privileged", sh="cat /proc/self/status; mount; ls /dev | wc -l; unshare -m echo namespaces")
    assert status(told, "Seccomp") == "0"
    assert status(told, "CapEff") == status(Path("/proc/self/status").read_text(), "CapBnd")
    assert "sysfs on /sys type sysfs (rw" in told
    assert "namespaces" in told
    assert len(os.listdir("/dev")) - 10 < int(told.splitlines()[-2])


def test_security_options(run: Box, tmp_path: Path) -> None:
    free = run(
        "--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges", sh="cat /proc/self/status"
    )
    assert (status(free, "Seccomp"), status(free, "NoNewPrivs")) == ("0", "1")
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    (tmp_path / "p.json").write_text(json.dumps(profile))
    told = run(
        "--security-opt", f"seccomp={tmp_path}/p.json", "--security-opt", "apparmor=unconfined", sh="mkdir /x 2>&1 || :"
    )
    assert "No space left on device" in told
    open_ = run("--security-opt", "systempaths=unconfined", sh="mount")
    assert "/proc/sys" not in open_
    (tmp_path / "bad.json").write_text('{"defaultAction": 7}')
    assert "Decoding seccomp profile failed: defaultAction" in run.fails(
        "--security-opt", f"seccomp={tmp_path}/bad.json", "box", "id", code=125
    )
    assert 'invalid --security-opt 2: "wings=1"' in run.fails("--security-opt", "wings=1", "box", "id", code=125)


def test_devices(run: Box) -> None:
    told = run("--device", "/dev/null:/dev/hole:rw", sh="ls -l /dev/hole; echo x > /dev/hole && echo written")
    assert "1,   3" in told
    assert told.endswith("written")
    said = run.fails("--device", "/dev/nope", "box", "id", code=127)
    assert (
        'error gathering device information while adding custom device "/dev/nope": no such file or directory' in said
    )
    assert "not a device node" in run.fails("--device", "/etc/passwd", "box", "id", code=125)
    assert run("--device-cgroup-rule", "c 42:* rm", sh="mknod /n c 1 1 && cat /n 2>&1 | head -c 99 || :").endswith(
        "Operation not permitted"
    )
    assert 'could not select device driver "" with capabilities' in run.fails("--gpus", "all", "box", "id", code=125)


def test_the_first_process_can_be_an_init(run: Box) -> None:
    lines = run("--init", sh="sleep 0 & sleep 0.2; ps").splitlines()
    assert lines[1].split()[0] == "1"
    assert "/sbin/docker-init -- sh -c" in lines[1]
    assert not any("[sleep]" in line for line in lines)


def test_names_and_namespaces(run: Box) -> None:
    assert run("--hostname", "boat", "--domainname", "sea.example", sh="hostname; cat /proc/sys/kernel/domainname") == (
        "boat\nsea.example"
    )
    host = run("--uts", "host", "--pid", "host", "--ipc", "host", sh="hostname; ls -d /proc/[0-9]* | wc -l; mount")
    assert host.startswith(os.uname().nodename)
    assert int(host.splitlines()[1]) > 2


def test_memory_filesystems_limits_and_sysctls(run: Box) -> None:
    told = run(
        "--ulimit", "nofile=100:200", "--shm-size", "1m", "--tmpfs", "/t:size=2m,mode=700", "--read-only",
        "--sysctl", "kernel.msgmax=9000", "--sysctl", "net.ipv4.ip_forward=1",
        sh="ulimit -n; df -k /dev/shm /t | awk '{print $2}'; touch /x 2>&1; touch /t/x && echo made; "
        "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward; grep ' /t ' /proc/mounts",
    ).splitlines()  # fmt: skip
    assert told[:4] == ["100", "1K-blocks", "1024", "2048"]
    assert told[4:8] == ["touch: /x: Read-only file system", "made", "9000", "1"]
    assert "mode=700" in told[8]
    assert "noexec" in told[8]


def test_limits_as_the_cgroup_has_them(run: Box, running: Any, docker: Any) -> None:
    limits = (
        "-m 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 20"
    )
    container = running(*limits.split())
    pid = docker("inspect", container, "--format", "{{.State.Pid}}")
    groups = dict(line.strip().split(":")[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    memory = Path("/sys/fs/cgroup/memory" + groups["memory"])
    assert groups["memory"] == f"/wherry/{container}"
    assert (memory / "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == f"{96 << 20}\n"
    assert (memory / "memory.soft_limit_in_bytes").read_text() == f"{32 << 20}\n"
    assert Path("/sys/fs/cgroup/cpu" + groups["cpu"] + "/cpu.cfs_quota_us").read_text() == "50000\n"
    assert Path("/sys/fs/cgroup/cpu" + groups["cpu"] + "/cpu.shares").read_text() == "512\n"
    assert Path("/sys/fs/cgroup/cpuset" + groups["cpuset"] + "/cpuset.cpus").read_text() == "0\n"
    assert Path("/sys/fs/cgroup/pids" + groups["pids"] + "/pids.max").read_text() == "20\n"
    docker("update", "-m", "128m", "--memory-swap", "-1", "--cpus", "0.7", "--pids-limit", "30", container)
    assert (memory / "memory.limit_in_bytes").read_text() == f"{128 << 20}\n"
    assert Path("/sys/fs/cgroup/cpu" + groups["cpu"] + "/cpu.cfs_quota_us").read_text() == "70000\n"
    assert Path("/sys/fs/cgroup/pids" + groups["pids"] + "/pids.max").read_text() == "30\n"
    docker("rm", "-f", container)
    assert not memory.exists()


def test_limits_on_block_devices(run: Box) -> None:
    disks = [path for path in Path("/sys/block").iterdir() if (Path("/dev") / path.name).exists()]
    number = (disks[0] / "dev").read_text().strip()
    told = run(
        "--device-read-bps", f"/dev/{disks[0].name}:1mb", sh="cat /sys/fs/cgroup/blkio/*throttle.read_bps_device"
    )
    assert told == f"{number} {1 << 20}"
    said = run.fails("--device-write-iops", "/dev/nope:5", "box", "true", code=127)
    assert "/dev/nope: no such file or directory" in said


def test_a_parent_for_the_cgroup(run: Box) -> None:
    told = run("--cgroup-parent", "/wherry/own", "--cgroupns", "host", sh="cat /proc/1/cgroup")
    assert "/wherry/own/" in told


def test_out_of_memory(docker: Any, box: str) -> None:
    try:
        ended = docker.run("run", "--name", "oom", "--network", "none", "-m", "8m", "--memory-swap", "8m", box,
                           "tail", "/dev/zero")  # fmt: skip
        assert ended.returncode == 137
        assert docker("inspect", "oom", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"
    finally:
        docker.run("rm", "-f", "oom")


def test_exec(docker: Any, running: Any) -> None:
    container = running("-e", "A=1")
    told = docker("exec", "-u", "mate", "-w", "/tmp", "-e", "B=2", container, "sh", "-c", "id -u; pwd; echo $A$B$HOME")
    assert told.splitlines() == ["1000", "/tmp", "12/home/mate"]
    assert docker("exec", "-i", container, "cat", input="half-close\n") == "half-close"
    assert docker.run("exec", container, "sh", "-c", "exit 9").returncode == 9
    assert "CapEff:\t000001" in docker("exec", "--privileged", container, "grep", "CapEff", "/proc/self/status")
    missing = docker.run("exec", container, "nope")
    assert missing.returncode == 127
    assert 'exec: "nope": executable file not found in $PATH' in missing.stdout + missing.stderr
    refused = docker.run("exec", container, "/etc/passwd")
    assert refused.returncode == 126
    assert "permission denied" in refused.stdout + refused.stderr
    docker("exec", "-d", container, "sh", "-c", "echo done > /tmp/detached")
    until(lambda: docker.run("exec", container, "cat", "/tmp/detached").stdout == "done\n", "the detached exec ran")


def test_terminals(docker: Any, running: Any) -> None:
    container = running()
    command = ["docker", "exec", "-it", container, "sh", "-c", "tty; exit 5"]
    ended = subprocess.run(
        ["script", "-qec", " ".join(f"'{word}'" for word in command), "/dev/null"],
        env=docker.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, "/dev/pts/" in ended.stdout) == (5, True)
    alone = docker("run", "--rm", "-t", "--network", "none", "box", "sh", "-c", "tty; echo $TERM")
    assert alone.splitlines() == ["/dev/console" if "console" in alone else "/dev/pts/0", "xterm"]


def test_figures_processes_and_freezing(docker: Any, running: Any) -> None:
    container = running("-m", "64m", sh='trap "exit 6" USR1; echo ready; while :; do sleep 0.05; done')
    until(lambda: docker("logs", container) == "ready", "it is ready")
    row = docker("stats", "--no-stream", "--format", "{{.MemUsage}}|{{.PIDs}}|{{.CPUPerc}}", container)
    assert "/ 64MiB|" in row
    assert not row.startswith("0B")
    assert "sh -c trap" in docker("top", container)
    docker("pause", container)
    assert "(Paused)" in docker("ps", "--format", "{{.Status}}", "--filter", f"id={container}")
    docker("unpause", container)
    docker("kill", "-s", "USR1", container)
    until(lambda: docker("inspect", container, "--format", "{{.State.ExitCode}}") == "6", "it ended at the signal")


def test_stop_is_a_signal_first(docker: Any, running: Any) -> None:
    trap = 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    container = running(sh=trap)
    until(lambda: docker("logs", container) == "ready", "it is ready")
    docker("stop", container)
    assert docker("inspect", container, "--format", "{{.State.ExitCode}}") == "3"
    docker("start", container)
    until(lambda: docker("logs", container) == "ready\nready", "it is ready again")
    docker("restart", "-t", "5", container)
    assert docker("inspect", container, "--format", "{{.State.Status}}") == "running"


def test_restart_policies(docker: Any, running: Any) -> None:
    container = running("--restart", "on-failure:2", sh="echo x; exit 5")
    form = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}"
    until(lambda: docker("inspect", container, "--format", form) == "exited 2 5", "it gave up")
    assert docker("logs", container) == "x\nx\nx"


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("/nope", 127, 'exec: "/nope": stat /nope: no such file or directory'),
        ("nope", 127, 'exec: "nope": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
        ("/etc", 126, "permission denied"),
    ],
)
def test_what_cannot_be_run(run: Box, docker: Any, command: str, code: int, words: str) -> None:
    said = run.fails("--name", "wrong", "box", command, code=code)
    assert words in said
    assert "failed to create task for container: failed to create shim task: OCI runtime create failed" in said
    assert docker.run("inspect", "wrong").returncode == 1
    assert not list(Path("/sys/fs/cgroup/pids/wherry").glob("wrong*"))


def test_for_another_cpu(docker: Any, box: str, tmp_path: Path) -> None:
    """The kernel says so, as it does to docker; the image's own platform is told beforehand."""
    foreign = bytearray(Path("/bin/busybox").read_bytes())
    foreign[18:20] = b"\xb7\x00"  # e_machine: AArch64
    (tmp_path / "program").write_bytes(foreign)
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY program /program\nCMD ["/program"]\n')
    docker("build", "-q", "--platform", "linux/arm64", "-t", "foreign", tmp_path)
    ended = docker.run("run", "--rm", "--network", "none", "foreign")
    assert ended.returncode not in (0, 125)
    assert "exec format error" in ended.stderr
    assert "The requested image's platform (linux/arm64) does not match the detected host platform" in ended.stderr


def test_runtimes_by_name(docker: Any, box: str, run: Box) -> None:
    assert run("--runtime", "runc", sh="echo runc") == "runc"
    hybrid = Path("/sys/fs/cgroup/unified").exists()
    crun = docker.run("run", "--rm", "--network", "none", "--runtime", "crun", box, "echo", "crun")
    # crun refuses hybrid machines; its words prove that it was the one to run.
    assert ("cgroups in hybrid mode not supported" in crun.stderr) if hybrid else crun.stdout == "crun\n"
    said = run.fails("--runtime", "io.containerd.nothere.v9", box, "id", code=125)
    assert "unknown or invalid runtime name: io.containerd.nothere.v9" in said
