"""The same operations under wherry's WASI and under wasmtime's own: the same answers, and the same files afterwards.

hypothesis drives them. What the oracle is known to do otherwise is left out of what is drawn, and said here.
"""

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.components import componentize
from tests.conformance.guests import Guests

# A rename, link or removal by a name with a trailing slash below a folder that is no preopen fails under the oracle,
# so only opening and asking get such names.
PLAIN = ("a", "b", "d", "d/a", "d/b", "d/e", "l", "m", "./a", "d/../a", "d/./e/../a", "none/x", "a/x")
OUTSIDE = ("..", "../x", "/", "/a", "d/../../x", "../../../etc/passwd")
SLASHES = ("a/", "d/", "d//e", "d/e/", "l/", ".", "d/.", "d/e/..")
TARGETS = ("a", "d", "d/a", "../a", "..", "l", "m", "none", "d/../b", "/", "/etc/passwd")
TEXTS = ("x", "hello", "0123456789" * 5, "-")

slots = st.integers(0, 4).map(str)
folders = st.sampled_from(["0", "0", "0", "0", "1", "2"])
names = st.sampled_from(PLAIN) | st.sampled_from(OUTSIDE)
# Of two wrong names each host tells another one first: of a pair, one is right.
pairs = st.tuples(names, folders, st.sampled_from(PLAIN))
any_name = names | st.sampled_from(SLASHES)
looks = st.sampled_from(["0", "1"])
small = st.integers(0, 60).map(str)
some = st.integers(1, 60).map(str)  # of nothing, read from a folder that was opened as a file, Linux gives nothing


def operation(name: str, *words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.just(name), *words).map(" ".join)


# Rights: read 1, write 2; with neither the oracle reads nevertheless, and it writes to what it makes.
# oflags: creat 1, directory 2, excl 4, trunc 8. fdflags: append 1, nonblock 4; the oracle has no sync flags.
fdflags = st.sampled_from("00000014")
OPERATIONS = st.one_of(
    operation("open", slots, folders, any_name, looks, st.sampled_from("0002"), st.sampled_from("1123"), fdflags),
    operation("open", slots, folders, any_name, looks, st.sampled_from("1115789"), st.sampled_from("233"), fdflags),
    operation(
        "open", slots, folders, st.sampled_from(["a", "d/a", "l"]), looks, st.just("1"), st.just("3"), st.just("0")
    ),
    operation(
        "open", slots, folders, st.sampled_from(["d", "d/e", "m", "."]), looks, st.just("2"), st.just("1"), st.just("0")
    ),
    operation("close", slots),
    operation("read", slots, some),
    operation("pread", slots, some, small),
    operation("write", slots, st.sampled_from(TEXTS)),
    operation("pwrite", slots, st.sampled_from(TEXTS), small),
    operation("seek", slots, st.integers(-70, 70).map(str), st.sampled_from("012")),
    operation("tell", slots),
    operation("resize", slots, small),
    operation("sync", slots),
    operation("datasync", slots),
    operation("flags", slots, st.sampled_from("0145")),
    operation("fdstat", slots),
    operation("stat", slots),
    operation("status", folders, any_name, looks),
    operation("status", st.just("0"), st.just("-"), looks),
    operation("mkdir", st.just("0"), st.just("-")),
    operation("times", folders, names, looks, small),
    operation("mkdir", folders, any_name),
    operation("mkdir", folders, st.sampled_from(["d", "d/e"])),
    operation("rmdir", folders, names),
    operation("unlink", folders, any_name),
    operation("rename", folders, pairs.map(" ".join)),
    operation("link", folders, pairs.map(" ".join)),
    operation("symlink", st.sampled_from(TARGETS), folders, names),
    operation("readlink", folders, names, small),
    operation("renumber", slots, slots),
    operation("readdir", slots, st.sampled_from(["64", "100", "4096"])),
)


def tree(root: Path) -> list[tuple[str, str, str]]:
    """Every file below ``root``: its path, what it is, and what is in it."""
    found = []
    for folder, below, files in os.walk(root):
        for name in (*below, *files):
            path = Path(folder) / name
            if path.is_symlink():
                what = ("link", os.readlink(path))
            elif path.is_dir():
                what = ("folder", "")
            else:
                what = ("file", f"{path.stat().st_nlink} {path.read_text()}")
            found.append((str(path.relative_to(root)), *what))
    return sorted(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("differential")


numbers = count()


@pytest.fixture(scope="module")
def component(guests: Guests) -> Path:
    """The same program in jco's adapter: its calls come by wasi:filesystem and wasi:io."""
    return componentize(guests.zig("operations.c"), guests.scratch / "operations.component.wasm")


# The same ones in every run; for others: --hypothesis-seed, without derandomize.
drawn = given(st.lists(OPERATIONS, min_size=1, max_size=25))
settled = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
MADE = ["mkdir 0 d", "open 1 0 d 0 2 1 0", "open 2 1 a 0 1 3 0", "write 2 hello", "rename 1 a 0 b", "readdir 1 64"]
LINKS = ["symlink .. 0 l", "open 1 0 l 1 2 1 0", "symlink l 0 l", "status 0 l 1", "readlink 0 l 60"]


@settled
@drawn
@example(MADE)
@example(LINKS)
def test_the_same_under_both(guests: Guests, place: Path, operations: list[str]) -> None:
    compare(guests, place, guests.zig("operations.c"), operations)


@settled
@drawn
@example(MADE)
@example(LINKS)
def test_a_component_does_the_same_under_both(
    guests: Guests, place: Path, component: Path, operations: list[str]
) -> None:
    compare(guests, place, component, operations)


def compare(guests: Guests, place: Path, program: Path, operations: list[str]) -> None:
    folder = place / str(next(numbers))
    ours, theirs, text = folder / "ours/root", folder / "theirs/root", folder / "operations"
    ours.mkdir(parents=True)
    theirs.mkdir(parents=True)
    text.write_text("\n".join(operations) + "\n")
    mine = guests.run(program, preopens=[("/", ours, True)], stdin=text)
    oracle = guests.native(program, preopens=[("/", theirs, True)], stdin=text)
    assert mine.stdout.splitlines() == oracle.stdout.splitlines()
    assert (mine.code, mine.stderr, mine.error) == (oracle.code, oracle.stderr, "")
    assert tree(ours) == tree(theirs)
    assert tree(folder / "ours") == [("root", "folder", ""), *((f"root/{path}", *what) for path, *what in tree(ours))]
    shutil.rmtree(folder)
