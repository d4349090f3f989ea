"""What the docker CLI prints by this engine and once printed otherwise than by dockerd, the same typed
to both: a table of command lines, as cli_commands.py's. Commands that are there for every flag are in that one."""

import contextlib
import io
import json
import re
import shlex
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Docker
from tests.linux_images import busybox_context

# By the objects made in `made`; "!" before what a failing command says. {id} is any container's full id.
SAID = {
    "kill -s 99 up": "!the linux daemon does not support signal 99$",
    "kill -s 0 nope": "!Invalid signal: 0$",
    "pause done": "!container {id} is not running$",
    "pause held": "!container {id} is already paused$",
    "unpause up": "!container {id} is not paused$",
    "rm up": '!cannot remove container "/up": container is running: stop the container before removing',
    "rm held": '!cannot remove container "/held": container is paused',
    "rename up done": '!Error when allocating new name: Conflict. The container name "/done" is already in use by',
    "rename up 'a b'": "!Error when allocating new name: Invalid container name",
    "top up --nope": "!daemon: ps: error:",
    "top up -eo comm": "!Couldn't find PID field in ps output",
    "logs --details done": "^ out$",
    "exec --detach-keys x,,y up ls": r"!invalid escape keys \(x,,y\) provided",
    "update --cpus -1 up": "!(?i)range of CPUs is from 0.01 to",
    "update --cpu-period 10 up": "!CPU cfs period can not be less than 1ms .* or larger than 1s",
    "update --cpuset-cpus x up": "!Invalid value x for cpuset cpus: invalid format: x$",
    "update --cpu-shares 1 up": "!Cannot update container {id}: ",
    "update --cpu-rt-runtime 1000 up": "^up$",
    "update -m 256m limited": "!Memory limit should be smaller than already set memoryswap limit, update the",
    "update -m 256m --memory-swap 512m limited": "^limited$",
    "create --oom-score-adj 5000 box": r"!Invalid value 5000, range for oom score adj is \[-1000, 1000\]",
    "create --memory-reservation 1k box": "!Minimum memory reservation allowed is",
    "create --cpus 1 --cpu-period 10000 box": "!Conflicting options: Nano CPUs and CPU Period cannot both be set",
    "create --tmpfs /x:nope box": r'!invalid tmpfs option \["nope"\]',
    "create --mount type=volume,dst=x box": '!invalid mount config for type "volume": invalid mount path: .x. mount',
    "create --security-opt no-new-privileges:maybe box": '!invalid --security-opt 2: "no-new-privileges:maybe"',
    "create --network container: box": "!invalid network mode: invalid container format container:<name.id>",
    "ps --filter publish=8099 --format '{{.Names}}'": "^held$",
    "ps --filter publish=80 --format '{{.Names}}'": "^$",
    "ps --filter expose=80 --format '{{.Names}}'": "^held$",
    "ps -a --filter publish=8098 --format '{{.Names}}'": "^$",
    "images --filter reference='['": "!syntax error in pattern",
    "images --filter reference='b[a-p]x' --format '{{.Repository}}'": "^box$",
    "image prune -f --filter until=x": '!failed to parse value as time or duration: "x"',
    "network ls --filter type=x": "!invalid filter: 'type'='x'",
    "network connect --ip 10.88.0.5 auto done": "!user specified IP address is supported only when connecting to",
    "network connect --ip 1.2.3.4 fixed done": "!no configured subnet or ip-range contain the IP address 1.2.3.4",
    "network connect fixed done": "^$",
    "network connect --ip 10.213.9.7 fixed done": "^$",  # again: what does not run can be told otherwise
    "inspect -f '{{.NetworkSettings.Networks.fixed.IPAMConfig.IPv4Address}}' done": "^10.213.9.7$",
    "network disconnect -f auto nope": "!endpoint nope not found",
    "info -f '{{.Plugins.Network}}'": r"^\[bridge host null\]$",
    "info -f '{{eq .OomKillDisable (eq .CgroupVersion \"1\")}}'": "^true$",
    "inspect -f '{{.HostConfig.MemorySwap}} {{.HostConfig.ShmSize}} {{.HostConfig.IpcMode}}' limited": "864 private$",
    "inspect -f '{{.HostConfig.Links}} {{.AppArmorProfile}}' limited": r"^\[/done:/limited/other\] unconfined$",
}


def test_a_container_whose_images_name_went_elsewhere_is_shown_with_its_id(docker: Docker, made: None) -> None:
    docker("tag", "box", "named")
    container = docker("create", "named")
    shown = ("ps", "-a", "--filter", f"id={container}", "--format", "{{.Image}}")
    assert docker(*shown) == "named"
    docker("tag", docker("commit", container), "named")
    assert docker(*shown) == docker("inspect", "-f", "{{.Image}}", container).removeprefix("sha256:")[:12]
    docker("rm", container)
    docker("rmi", "named")
    docker("image", "prune", "-f")


@pytest.fixture(scope="module")
def made(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> None:
    docker("build", "-q", "--platform", "linux/amd64", "-t", "box", busybox_context(tmp_path_factory.mktemp("box")))
    docker("network", "create", "auto")
    docker("network", "create", "--subnet", "10.213.9.0/24", "fixed")
    docker("run", "-d", "--name", "up", "--network", "none", "box", "sleep", "600")
    docker("run", "-d", "--name", "held", "-p", "127.0.0.1:8099:80", "box", "sleep", "600")
    docker("pause", "held")
    docker("run", "--name", "done", "-p", "127.0.0.1:8098:80", "box", "echo", "out")
    limits = ("-m", "64m", "--link", "done:other", "--security-opt", "apparmor=unconfined")
    docker("create", "--name", "limited", *limits, "box")


def test_what_was_said_otherwise(docker: Docker, made: None) -> None:
    wrong = []
    for line, wanted in SAID.items():
        ended = docker.run(*shlex.split(line))
        said = (ended.stdout + ended.stderr).rstrip()
        pattern = wanted.removeprefix("!").replace("{id}", "[0-9a-f]{64}")
        if bool(ended.returncode) != wanted.startswith("!") or not re.search(pattern, said, re.MULTILINE):
            wrong.append(f"docker {line}: {ended.returncode} {said!r}, not {wanted!r}")
    assert not wrong, "\n".join(wrong)


def test_documents_have_the_fields_that_dockers_have(docker: Docker, made: None, tmp_path: Path) -> None:
    document = json.loads(docker("inspect", "up"))[0]
    host, config, network = document["HostConfig"], document["Config"], document["NetworkSettings"]
    assert "/proc/kcore" in host["MaskedPaths"]
    assert "/proc/sys" in host["ReadonlyPaths"]
    assert (host["PidsLimit"], host["MemorySwappiness"], host["CpuCount"]) == (None, None, 0)
    assert not {"Init", "Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Annotations"} & host.keys()
    assert not {"Healthcheck", "Shell", "StopSignal", "StopTimeout", "ExposedPorts", "NetworkDisabled"} & config.keys()
    assert (config["Volumes"], network["HairpinMode"], network["SecondaryIPAddresses"]) == (None, False, None)
    assert json.loads(docker("network", "inspect", "fixed"))[0]["IPAM"]["Options"] == {}


def test_cp_of_all_that_a_running_container_has(docker: Docker, made: None) -> None:
    """Not of what the kernel makes up in /proc and /sys: that broke the archive off."""
    archive = docker.popen("cp", "up:/", "-", stdout=subprocess.PIPE)
    with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
        names = tar.getnames()
    assert archive.wait(30) == 0
    archive.stdout.close()
    tops = {"etc/passwd", "bin/busybox", "proc", "sys", "dev"}
    assert tops <= {name.removeprefix("/") for name in names}
    assert not [name for name in names if name.removeprefix("/").startswith(("proc/", "sys/", "dev/"))]


def test_dockers_mark_is_there_and_counts_for_nothing(docker: Docker, made: None) -> None:
    """Programs look for /.dockerenv; it is no change of the container's, and goes into no image."""
    container = docker("create", "--network", "none", "box", "ls", "/.dockerenv")
    assert docker("diff", container) == ""
    assert docker("start", "-a", container) == "/.dockerenv"
    assert "/.dockerenv" not in docker("diff", container)
    image = docker("commit", container)
    archive = docker.popen("save", image, stdout=subprocess.PIPE)
    layers = []
    with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
        for member in tar:
            data = io.BytesIO(tar.extractfile(member).read() if member.isfile() else b"")
            with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=data) as layer:
                layers.append(layer.getnames())
    assert archive.wait(30) == 0
    archive.stdout.close()
    assert len(layers) == 2
    assert not [name for names in layers for name in names if "dockerenv" in name]
    docker("rm", container)
    docker("rmi", image)


def test_ancestors_are_known_by_their_layers(docker: Docker, made: None) -> None:
    docker("tag", "box", "elder")
    child = docker("create", docker("commit", "up"))
    found = docker("ps", "-aq", "--no-trunc", "--filter", "ancestor=elder").splitlines()
    assert child in found
    image = docker("inspect", "-f", "{{.Image}}", child)
    assert docker("ps", "-aq", "--no-trunc", "--filter", f"ancestor={image}") == child
    assert docker("ps", "-aq", "--filter", "ancestor=unknown") == ""
    docker("rm", child)
    docker("rmi", "elder", image)


def test_who_waits_hears_of_each_end_though_it_starts_again(docker: Docker, made: None) -> None:
    policy = ("--name", "stubborn", "--network", "none", "--restart", "always")
    ended = docker.run("run", *policy, "box", "sh", "-c", "echo once; sleep 1; exit 3")
    assert (ended.returncode, ended.stdout) == (3, "once\n")
    assert docker("wait", "stubborn") == "3"
    docker("rm", "-f", "stubborn")


# A container's life and what goes with it, as dockerd tells it, in order; but a commit lets it go on at once.
TOLD = """
network create; volume create; container create; network connect; volume mount; container start; container pause;
container unpause; image tag; container commit; container kill; container kill; container die; network disconnect;
volume unmount; container stop; network connect; volume mount; container start; network connect; network disconnect;
container kill; container die; network disconnect; volume unmount; container destroy; network disconnect; image save;
image untag; image delete; container prune; network destroy; network destroy; network prune; image prune;
volume destroy; volume prune; builder prune
"""


def test_the_stream_of_events_is_dockers(docker: Docker, made: None, tmp_path: Path) -> None:
    since = f"{time.time():.9f}"
    docker("network", "create", "seen")
    docker("run", "-d", "--name", "told", "-l", "a=b", "--network", "seen", "-v", "kept:/v", "box", "sleep", "600")
    docker("commit", "-m", "why", "told", "copied")
    docker("stop", "-t", "0", "told")
    docker("network", "connect", "auto", "done")  # it does not run: its start would tell
    docker("start", "told")
    docker("network", "connect", "auto", "told")
    docker("network", "disconnect", "auto", "told")
    docker("rm", "-f", "told")
    docker("network", "disconnect", "auto", "done")
    docker("save", "-o", tmp_path / "saved", "copied")
    docker("rmi", "copied")
    docker("container", "prune", "-f", "--filter", "label=none")
    docker("network", "prune", "-f", "--filter", "label!=kept")
    docker("image", "prune", "-f")
    docker("volume", "prune", "-af")
    docker("builder", "prune", "-f")
    until = f"{time.time():.9f}"
    lines = docker("events", "--since", since, "--until", until, "--format", "json").splitlines()
    events = [json.loads(line) for line in lines]
    wanted = TOLD.replace("\n", " ").split(";")
    told = [f"{event['Type']} {event['Action']}" for event in events]
    assert "; ".join(told) == "; ".join(name.strip() for name in wanted)
    by_name = {name: event["Actor"]["Attributes"] for name, event in zip(told, events, strict=True)}
    assert by_name["network connect"].keys() == {"container", "name", "type"}
    assert {"comment": "why", "imageRef": "copied:latest", "a": "b"}.items() <= by_name["container commit"].items()
    assert by_name["container prune"] == {"reclaimed": "0"}
