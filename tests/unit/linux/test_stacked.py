"""Looking a path up in stacked layers gives what overlayfs shows when the same layers are mounted."""

import os
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument, NotFound
from wherry.linux import stacked


@pytest.fixture
def layers(tmp_path: Path) -> list[str]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (lower / "app/sub").mkdir(parents=True)
    (lower / "app/a.wasm").write_text("lower")
    (lower / "app/b.wasm").write_text("lower")
    (lower / "app/sub/c.wasm").write_text("lower")
    (upper / "app/sub").mkdir(parents=True)
    (upper / "app/a.wasm").write_text("upper")
    return [str(upper), str(lower)]


def test_the_topmost_wins_and_folders_merge(layers: list[str]) -> None:
    assert Path(stacked.resolve(layers, "/app/a.wasm")).read_text() == "upper"
    assert stacked.resolve(layers, "/app/./sub/../b.wasm") == f"{layers[1]}/app/b.wasm"


def test_whiteouts_and_opaque_folders_hide(layers: list[str]) -> None:
    os.mknod(f"{layers[0]}/app/b.wasm", 0o020000, 0)
    os.setxattr(f"{layers[0]}/app/sub", "trusted.overlay.opaque", b"y")
    for path in ("/app/b.wasm", "/app/sub/c.wasm", "/app/nope", "/app/a.wasm/below"):
        with pytest.raises(NotFound, match="no such file or directory"):
            stacked.resolve(layers, path)


def test_links_stay_inside(layers: list[str]) -> None:
    os.symlink("/app/b.wasm", f"{layers[0]}/absolute")
    os.symlink("../../../../../../app/a.wasm", f"{layers[1]}/climbing")
    os.symlink("app", f"{layers[1]}/folder")
    assert stacked.resolve(layers, "/absolute") == f"{layers[1]}/app/b.wasm"
    assert stacked.resolve(layers, "climbing") == f"{layers[0]}/app/a.wasm"
    assert stacked.resolve(layers, "folder/sub/c.wasm") == f"{layers[1]}/app/sub/c.wasm"
    with pytest.raises(NotFound):
        stacked.resolve(layers, "../../../etc/passwd")


def test_a_loop_of_links_ends(layers: list[str]) -> None:
    os.symlink("b", f"{layers[0]}/a")
    os.symlink("a", f"{layers[0]}/b")
    with pytest.raises(InvalidArgument, match="too many levels"):
        stacked.resolve(layers, "/a")


def test_the_first_place_with_a_file_wins(layers: list[str]) -> None:
    found = stacked.resolve_first([(layers, "/nope"), (layers, "/app/a.wasm")], "a.wasm")
    assert found == f"{layers[0]}/app/a.wasm"
    with pytest.raises(NotFound, match=r'exec: "x": executable file not found in \$PATH'):
        stacked.resolve_first([(layers, "/nope")], "x")
    with pytest.raises(NotFound, match=r'exec: "/x": stat /x: no such file or directory'):
        stacked.resolve_first([(layers, "/nope")], "/x")
    with pytest.raises(InvalidArgument, match="is a directory"):
        stacked.resolve_first([(layers, "/app")], "/app")
