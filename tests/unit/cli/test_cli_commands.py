"""The other commands against canned answers: what is asked, what is printed, the exit code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.unit.client.fake_engine import FakeEngine, fake_engine
from wherry.cli.command import LazyGroup
from wherry.cli.guard import run
from wherry.cli.root import root

ID = "d" * 64


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with fake_engine(tmp_path) as running:
        yield running


def wherry(engine: FakeEngine, *words: str, **environ: str) -> int:
    return run(words, {"WHERRY_HOST": engine.host, **environ})


def everything() -> Iterator[tuple[str, click.Command]]:
    def walk(prefix: str, group: LazyGroup) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command
            yield f"{prefix}{name}", command
            if isinstance(command, LazyGroup):
                yield from walk(f"{prefix}{name} ", command)

    assert isinstance(root, LazyGroup)
    return walk("", root)


@pytest.mark.parametrize("name", [name for name, _ in everything()])
def test_every_command_has_a_help_that_fits_a_screen(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--help"], {}) == 0
    out = capfd.readouterr().out
    assert out.startswith("Usage:  wherry")
    assert out.count("\n") <= 48
    assert max(map(len, out.split("\n"))) <= 100


def test_the_help_of_all(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([], {}) == 0
    out = capfd.readouterr().out
    assert "compile" in out
    assert out.count("\n") <= 40


def test_version_flag(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"], {}) == 0
    assert capfd.readouterr().out.startswith("wherry version ")


def test_ps(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    item = {
        "Id": ID,
        "Names": ["/w"],
        "Image": "hello",
        "Command": "/hello.wasm",
        "Created": 0,
        "Status": "Up 3 seconds",
    }
    engine.on("GET", "/containers/json", [item])
    assert wherry(engine, "ps", "-a", "-f", "status=exited", "-f", "name=w") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "CONTAINER ID   IMAGE     COMMAND         CREATED   STATUS         PORTS     NAMES"
    assert lines[1].split() == ["d" * 12, "hello", '"/hello.wasm"', "N/A", "Up", "3", "seconds", "w"]
    query = engine.requests[0].query
    assert query["all"] == ["1"]
    assert json.loads(query["filters"][0]) == {"status": ["exited"], "name": ["w"]}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-q"], "d" * 12),
        (["-q", "--no-trunc"], ID),
        (["--format", "{{.Names}}: {{.Status}}"], "w: Up 3 seconds"),
        (["--format", "{{json .Names}}"], '"w"'),
        (["--format", r"table {{.Names}}\t{{.Image}}"], "NAMES     IMAGE\nw         hello"),
    ],
)
def test_ps_formats(engine: FakeEngine, capfd: pytest.CaptureFixture[str], words: list[str], shown: str) -> None:
    item = {"Id": ID, "Names": ["/w"], "Image": "hello", "Command": "", "Created": 0, "Status": "Up 3 seconds"}
    engine.on("GET", "/containers/json", [item])
    assert wherry(engine, "ps", *words) == 0
    assert capfd.readouterr().out == shown + "\n"


def test_images(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on(
        "GET", "/images/json", [{"Id": f"sha256:{ID}", "RepoTags": ["hello:latest"], "Size": 22840, "Created": 0}]
    )
    assert wherry(engine, "images", "hello") == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0] == "REPOSITORY   TAG       IMAGE ID       CREATED   SIZE"
    assert out[1] == f"hello        latest    {'d' * 12}   N/A       22.8kB"
    assert json.loads(engine.requests[0].query["filters"][0]) == {"reference": ["hello"]}


def test_logs(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    frames = b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    kind = "application/vnd.docker.multiplexed-stream"
    engine.on("GET", "/containers/w/logs", lambda handler: handler.chunks([frames[:9], frames[9:]], kind))
    assert wherry(engine, "logs", "-f", "-n", "5", "-t", "--since", "1234", "w") == 0
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("out\n", "err\n")
    query = engine.requests[0].query
    assert {name: query[name] for name in ("follow", "tail", "timestamps", "since")} == {
        "follow": ["1"],
        "tail": ["5"],
        "timestamps": ["1"],
        "since": ["1234"],
    }


def test_logs_of_a_terminal_are_raw(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on(
        "GET", "/containers/w/logs", lambda handler: handler.chunks([b"raw\r\n"], "application/vnd.docker.raw-stream")
    )
    assert wherry(engine, "logs", "w") == 0
    assert capfd.readouterr().out == "raw\r\n"


def test_inspect_looks_everywhere(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("GET", "/containers/c/json", {"Id": "1", "State": {"Status": "exited"}})
    engine.on("GET", "/images/i/json", {"Id": "2"})
    assert wherry(engine, "inspect", "c", "none", "i") == 1
    captured = capfd.readouterr()
    assert [item["Id"] for item in json.loads(captured.out)] == ["1", "2"]
    assert captured.err == "wherry: No such object: none\n"
    assert wherry(engine, "inspect", "-f", "{{.State.Status}}", "c") == 0
    assert capfd.readouterr().out == "exited\n"
    assert wherry(engine, "inspect", "--type", "image", "c") == 1
    assert wherry(engine, "inspect", "--format", "{{.Nope}}", "c") == 1
    assert 'there is no "Nope"' in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "method", "path", "query"),
    [
        (["stop", "-t", "3", "w"], "POST", "/containers/w/stop", {"t": ["3"]}),
        (["stop", "--time=3", "-s", "INT", "w"], "POST", "/containers/w/stop", {"t": ["3"], "signal": ["INT"]}),
        (["kill", "-s", "HUP", "w"], "POST", "/containers/w/kill", {"signal": ["HUP"]}),
        (["restart", "w"], "POST", "/containers/w/restart", {}),
        (["pause", "w"], "POST", "/containers/w/pause", {}),
        (["unpause", "w"], "POST", "/containers/w/unpause", {}),
        (["start", "w"], "POST", "/containers/w/start", {}),
        (["rm", "-v", "w"], "DELETE", "/containers/w", {"force": ["0"], "v": ["1"], "link": ["0"]}),
        (["container", "rm", "w"], "DELETE", "/containers/w", {"force": ["0"], "v": ["0"], "link": ["0"]}),
    ],
)
def test_one_after_the_other(
    engine: FakeEngine,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    method: str,
    path: str,
    query: dict[str, list[str]],
) -> None:
    engine.on(method, path, (204, None))
    engine.on(method, path.replace("/w", "/nope", 1), (404, {"message": "No such container: nope"}))
    assert wherry(engine, *words, "nope", "w") == 1
    captured = capfd.readouterr()
    assert captured.out == "w\nw\n"
    assert captured.err == "wherry: No such container: nope\n"
    assert engine.requests[0].query == query


def test_rm_force_of_what_is_not_there(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("GET", "/containers/w/json", (404, {"message": "No such container: w"}))
    assert wherry(engine, "rm", "-f", "w") == 0
    assert capfd.readouterr().err == "wherry: No such container: w\n"


def test_wait_prints_codes(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/containers/a/wait", {"StatusCode": 3})
    engine.on("POST", "/containers/b/wait", {"StatusCode": 0})
    assert wherry(engine, "wait", "a", "b") == 0
    assert capfd.readouterr().out == "3\n0\n"


def test_rmi(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("DELETE", "/images/hello", [{"Untagged": "hello:latest"}, {"Deleted": "sha256:1"}])
    assert wherry(engine, "rmi", "hello", "none") == 1
    captured = capfd.readouterr()
    assert captured.out == "Untagged: hello:latest\nDeleted: sha256:1\n"


def test_rmi_force_forgives_only_what_is_not_there(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("DELETE", "/images/used", (409, {"message": "conflict: it is being used by running container 1"}))
    assert wherry(engine, "rmi", "-f", "none") == 0
    assert wherry(engine, "rmi", "-f", "used", "none") == 1
    assert capfd.readouterr().err.count("\n") == 3


def test_tag_rename_history_top(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/images/a/tag", (201, None))
    engine.on("POST", "/containers/a/rename", (204, None))
    engine.on("GET", "/images/a/history", [{"Id": "<missing>", "CreatedBy": "COPY x", "Size": 5, "Created": 0}])
    engine.on("GET", "/containers/a/top", {"Titles": ["PID", "CMD"], "Processes": [["1", "/a.wasm"]]})
    assert wherry(engine, "tag", "a", "reg:5000/b:v1") == 0
    assert engine.requests[-1].query == {"repo": ["reg:5000/b"], "tag": ["v1"]}
    assert wherry(engine, "tag", "a", "reg:5000/b") == 0
    assert engine.requests[-1].query == {"repo": ["reg:5000/b"], "tag": [""]}
    assert wherry(engine, "rename", "a", "b") == 0
    assert wherry(engine, "history", "a") == 0
    assert "COPY x" in capfd.readouterr().out
    assert wherry(engine, "top", "a", "-ef") == 0
    assert engine.requests[-1].query == {"ps_args": ["-ef"]}
    assert capfd.readouterr().out == "PID       CMD\n1         /a.wasm\n"


def test_build(engine: FakeEngine, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    messages = [b'{"stream":"Step 1/1 : FROM scratch\\n"}\n', b'{"aux":{"ID":"sha256:1"}}\n']
    engine.on("POST", "/build", lambda handler: handler.chunks(messages))
    words = [
        "build",
        "-t",
        "a",
        "-t",
        "b:1",
        "--build-arg",
        "X=1",
        "--build-arg",
        "HOME",
        "--label",
        "k=v",
        "--target",
        "s",
    ]
    assert wherry(engine, *words, "--no-cache", "--iidfile", str(tmp_path / "iid"), str(context), HOME="/h") == 0
    query = engine.requests[0].query
    assert query["t"] == ["a", "b:1"]
    assert json.loads(query["buildargs"][0]) == {"X": "1", "HOME": "/h"}
    assert (query["target"], query["nocache"], query["dockerfile"]) == (["s"], ["1"], ["Dockerfile"])
    assert capfd.readouterr().out == "Step 1/1 : FROM scratch\n"
    assert (tmp_path / "iid").read_text() == "sha256:1"


def test_a_build_that_fails(engine: FakeEngine, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("RNU x\n")
    fault = "dockerfile parse error on line 1: unknown instruction: RNU"
    engine.on("POST", "/build", lambda handler: handler.chunks([json.dumps({"error": fault}).encode()]))
    assert wherry(engine, "build", str(tmp_path)) == 1
    assert capfd.readouterr().err == f"wherry: {fault}\n"


@pytest.mark.parametrize("path", ["https://example.com/x.git", "/none"])
def test_a_context_that_is_none(engine: FakeEngine, capfd: pytest.CaptureFixture[str], path: str) -> None:
    assert wherry(engine, "build", path) == 1
    assert capfd.readouterr().err.count("\n") == 1


def test_exec(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("POST", "/containers/w/exec", (201, {"Id": "e1"}))
    kind = "application/vnd.docker.multiplexed-stream"
    engine.on("POST", "/exec/e1/start", lambda handler: handler.upgrade(kind, b"\x01\0\0\0\0\0\0\x03hi\n"))
    engine.on("GET", "/exec/e1/json", {"ExitCode": 5})
    assert wherry(engine, "exec", "-e", "A=1", "-w", "/w", "w", "/t.wasm", "-x") == 5
    assert capfd.readouterr().out == "hi\n"
    body = engine.requests[0].json
    assert (body["Cmd"], body["Env"], body["WorkingDir"]) == (["/t.wasm", "-x"], ["A=1"], "/w")


@pytest.mark.parametrize(
    ("state", "said"), [({"Running": False}, "stopped"), ({"Running": True, "Paused": True}, "paused")]
)
def test_attach_to_what_does_not_run(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str], state: dict[str, Any], said: str
) -> None:
    engine.on("GET", "/containers/w/json", {"Id": ID, "State": state, "Config": {}})
    assert wherry(engine, "attach", "w") == 1
    assert said in capfd.readouterr().err


def test_env(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.on("GET", "/_ping", b"OK")
    assert wherry(engine, "env") == 0
    assert capfd.readouterr().out == f"export DOCKER_HOST={engine.host}\n"
    assert wherry(engine, "env", SHELL="/usr/bin/fish") == 0
    assert capfd.readouterr().out == f"set -gx DOCKER_HOST {engine.host};\n"
    assert wherry(engine, "env", "--unset") == 0
    assert capfd.readouterr().out == "unset DOCKER_HOST\n"


def test_version_without_an_engine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["-H", f"unix://{tmp_path}/none", "version"], {}) == 1
    captured = capfd.readouterr()
    assert captured.out.startswith("Client:\n")
    assert "cannot connect" in captured.err


def test_version_and_info(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    server = {"Version": "0.1", "Components": [{"Name": "Engine", "Version": "0.1", "Details": {"Os": "linux"}}]}
    engine.on("GET", "/version", server)
    engine.on(
        "GET",
        "/info",
        {"Containers": 2, "Runtimes": {"b": {}, "a": {}}, "MemTotal": 1 << 30, "Warnings": ["WARNING: w"]},
    )
    assert wherry(engine, "version") == 0
    assert "  Version:         0.1" in capfd.readouterr().out
    assert wherry(engine, "version", "-f", "{{.Server.Version}}") == 0
    assert capfd.readouterr().out == "0.1\n"
    assert wherry(engine, "info") == 0
    out, err = capfd.readouterr()
    assert " Runtimes: a b" in out
    assert " Total Memory: 1GiB" in out
    assert err == "WARNING: w\n"


def test_events(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    event = {"Type": "container", "Action": "die", "Actor": {"ID": "a", "Attributes": {}}, "time": 5}
    engine.on("GET", "/events", lambda handler: handler.chunks([json.dumps(event).encode() + b"\n"] * 2))
    assert wherry(engine, "events", "-f", "event=die", "--format", "{{.Action}} {{.Actor.ID}}") == 0
    assert capfd.readouterr().out == "die a\ndie a\n"


def test_df_and_prune(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    volumes = [{"UsageData": {"Size": 300, "RefCount": 1}}, {"UsageData": {"Size": 100, "RefCount": 0}}]
    images = [{"Size": 1500, "Containers": 1}]
    usage = {"LayersSize": 2000, "Images": images, "Containers": None, "Volumes": volumes}
    engine.on("GET", "/system/df", usage)
    engine.on("POST", "/containers/prune", {"ContainersDeleted": ["a"], "SpaceReclaimed": 10})
    engine.on("POST", "/networks/prune", {"NetworksDeleted": ["idle"]})
    engine.on("POST", "/images/prune", {"ImagesDeleted": [{"Deleted": "sha256:1"}], "SpaceReclaimed": 5})
    engine.on("POST", "/build/prune", {"SpaceReclaimed": 1})
    assert wherry(engine, "system", "df") == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert rows[1] == ["Images", "1", "1", "2kB", "500B", "(25%)"]
    assert rows[3] == ["Local", "Volumes", "2", "1", "400B", "100B", "(25%)"]
    assert wherry(engine, "system", "prune", "-f") == 0
    assert capfd.readouterr().out == (
        "Deleted Containers:\na\n\nDeleted Networks:\nidle\n\nDeleted Images:\ndeleted: sha256:1\n\n"
        "Total reclaimed space: 16B\n"
    )
    asked = [request.query for request in engine.requests if request.path.endswith("/images/prune")]
    assert [json.loads(query["filters"][0]) for query in asked] == [{"dangling": ["true"]}]


def test_stats(engine: FakeEngine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from wherry.cli.commands.stats import row

    before = {"read": "2024-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}}
    now = {
        "id": ID,
        "name": "/w",
        "read": "2024-01-01T00:00:02Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}},
        "memory_stats": {"usage": 1 << 20, "limit": 1 << 22},
        "pids_stats": {"current": 1},
    }
    made = row(now, before, whole=False)
    assert (made["CPUPerc"], made["MemUsage"], made["MemPerc"]) == ("50.00%", "1MiB / 4MiB", "25.00%")
    assert row({}, None, whole=False)["CPUPerc"] == "--"
    engine.on("GET", "/containers/w/stats", now)
    monkeypatch.setattr("wherry.cli.commands.stats._PERIOD", 0)
    assert wherry(engine, "stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "w") == 0
    assert capfd.readouterr().out == "w 1\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capfd: pytest.CaptureFixture[str], shell: str) -> None:
    assert run(["completion", shell], {}) == 0
    assert "_WHERRY_COMPLETE" in capfd.readouterr().out


def test_a_fault_of_ours_is_one_line(
    engine: FakeEngine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.on("GET", "/containers/json", {"not": "a list"})
    assert wherry(engine, "ps") == 1
    captured = capfd.readouterr()
    assert captured.err.startswith("wherry: internal fault: ")
    assert captured.err.count("\n") == 1
    assert wherry(engine, "ps", WHERRY_DEBUG="1") == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_reference_cannot_leave_its_path(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert wherry(engine, "rm", "../images/x") == 1
    assert wherry(engine, "rm", "") == 1
    assert not engine.requests
    assert "invalid container" in capfd.readouterr().err
