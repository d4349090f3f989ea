"""What a module is granted: bound by --cap-drop and --cap-add of both CLIs, and told by inspect."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import DATA, Docker
from tests.integration.wherry_cli import Wherry
from tests.zig import compile_with_names

NOTCAPABLE = 76
GRANTED = {"prestat": 0, "open": 0, "stat": 0, "readdir": 0, "clock": 0, "random": 0, "yield": 0}
FILES = {"prestat": 8, "open": NOTCAPABLE, "stat": NOTCAPABLE, "readdir": NOTCAPABLE}
CLOCKS = {"clock": NOTCAPABLE}
RANDOM = {"random": NOTCAPABLE}
LISTEN = {"accept": NOTCAPABLE}
SOCKETS = {"accept": NOTCAPABLE, "send": NOTCAPABLE}


@pytest.fixture(scope="module")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("grants")
    compile_with_names(DATA / "grants_guest.c", folder / "guest.wasm")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY guest.wasm /guest.wasm\nENTRYPOINT ["/guest.wasm"]\n')
    docker("build", "-q", "-t", "grants", folder)
    return "grants"


def answers(out: str) -> dict[str, int]:
    return {name: int(number) for name, number in (line.split() for line in out.splitlines())}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ([], {}),
        (["--cap-drop=files"], FILES),
        (["--cap-drop=clocks", "--cap-drop=RANDOM"], CLOCKS | RANDOM),
        (["--cap-drop=network,random"], RANDOM),
        (["--cap-drop=listen"], LISTEN),
        (["--cap-drop=network", "--cap-drop=listen"], SOCKETS),
        (["--cap-drop=files,random", "--cap-add=random"], FILES),
        (["--cap-drop=ALL"], {}),  # Linux's alone, as files for Compose have it
        (["--cap-drop=ALL", "--cap-add=random"], FILES | CLOCKS | SOCKETS),
        (["--cap-drop=NET_RAW", "--cap-add=SYS_ADMIN"], {}),
        (["--cap-drop=threads"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_dropped_words_functions_answer_notcapable(
    docker: Docker, image: str, options: list[str], changed: dict[str, int]
) -> None:
    found = answers(docker("run", "--rm", *options, image))
    expected = GRANTED | changed
    assert {name: number for name, number in found.items() if name in expected} == expected
    assert {name for name, number in found.items() if number == NOTCAPABLE} == {
        name for name, number in changed.items() if number == NOTCAPABLE
    }


def test_wherrys_own_cli_takes_commas(docker: Docker, image: str) -> None:
    found = answers(Wherry(docker.daemon.host)("run", "--rm", "--cap-drop=network,random", image))
    assert (found["random"], found["clock"]) == (NOTCAPABLE, 0)


def test_an_exec_is_bound_like_its_container(docker: Docker, image: str) -> None:
    docker("run", "-di", "--name", "bound", "--cap-drop=files", "--cap-drop=random", image, "wait")
    found = answers(docker("exec", "bound", "/guest.wasm"))
    docker("rm", "-f", "bound")
    assert {name for name, number in found.items() if number == NOTCAPABLE} == {"open", "stat", "readdir", "random"}


def test_unknown_words_are_dockers_error(docker: Docker, image: str) -> None:
    error = docker.fails("run", "--rm", "--cap-drop=wings", image, code=125)
    assert 'invalid CapDrop: unknown capability: "CAP_WINGS"' in error
    error = docker.fails("create", "--cap-add=files,wings", image)
    assert 'invalid CapAdd: unknown capability: "CAP_WINGS"' in error


def test_a_linux_container_has_no_such_words(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY hello.c /hello\nENTRYPOINT ["/hello"]\n')
    docker("build", "-q", "-t", "linux-one", tmp_path)
    error = docker.fails("create", "--cap-drop=random", "linux-one")
    assert 'invalid CapDrop: unknown capability: "CAP_RANDOM"' in error


def test_inspect_tells_of_an_image_and_of_a_container_what_its_module_wants(docker: Docker, image: str) -> None:
    told = json.loads(docker("image", "inspect", image))[0]["Wasm"]
    assert told["Capabilities"] == ["files", "clocks", "random", "listen"]
    assert {"path_open", "fd_readdir"} <= set(told["Imports"]["files"])
    assert told["Imports"]["random"] == ["random_get"]
    assert "_start" in told["Exports"]
    assert told["Memories"][0]["Minimum"] >= 1 << 16
    assert any("clang" in line for line in told["Producers"]["processed-by"])
    assert told["Path"] == "/guest.wasm"
    docker("create", "--name", "told", image)
    module = json.loads(docker("inspect", "told"))[0]["Wasm"]["Module"]
    docker("rm", "told")
    assert module == told
    wherry = Wherry(docker.daemon.host)
    assert wherry("image", "inspect", "--format", "{{.Wasm.Digest}}", image).strip() == told["Digest"]


def test_inspect_of_an_image_whose_module_is_none_says_why(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY Dockerfile /none\nENTRYPOINT ["/gone.wasm"]\n')
    docker("build", "-q", "-t", "none", "--platform", "wasi/wasm", tmp_path)
    told = json.loads(docker("image", "inspect", "none"))[0]
    assert "no such file" in told["Wasm"]["Error"]
    assert told["Os"] == "wasi"
