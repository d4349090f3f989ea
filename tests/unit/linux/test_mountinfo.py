"""Which folders look different after something was mounted or unmounted."""

import subprocess
from pathlib import Path

import pytest

from wherry.linux import mountinfo

ROOT = ("1", "/")


@pytest.mark.parametrize(
    ("point", "folder", "expected"),
    [
        ("/mnt", "/mnt", True),
        ("/mnt", "/mnt/deep/down", True),
        ("/mnt/deep/down", "/mnt", True),
        ("/mnt", "/mnt2", False),
        ("/mnt2", "/mnt", False),
        ("/mnt", "/", True),
        ("/", "/mnt", True),
    ],
)
def test_a_folder_is_touched_from_above_and_below(point: str, folder: str, expected: bool) -> None:
    before, now = frozenset({ROOT}), frozenset({ROOT, ("2", point)})
    assert mountinfo.changed(before, now, [folder]) is expected
    assert mountinfo.changed(now, before, [folder]) is expected
    assert not mountinfo.changed(now, now, [folder])
    assert not mountinfo.changed(before, now, [])


def test_another_mount_at_the_same_place_counts() -> None:
    assert mountinfo.changed(frozenset({("2", "/mnt")}), frozenset({("3", "/mnt")}), ["/mnt/x"])


def test_the_real_table(tmp_path: Path) -> None:
    odd = tmp_path / "a b\\c"
    odd.mkdir()
    link = tmp_path / "link"
    link.symlink_to(odd)
    mounts = mountinfo.Mounts()
    before = mounts.table()
    assert mounts.table() is before
    assert "/" in {point for _, point in before}
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", odd], check=True)
    try:
        now = mounts.table()
        assert now == mountinfo.Mounts().table()
        assert str(odd) in {point for _, point in now - before}
        assert mountinfo.changed(before, now, [str(link)])
        assert not mountinfo.changed(before, now, [str(tmp_path / "other")])
    finally:
        subprocess.run(["umount", odd], check=True)
    assert mounts.table() == before
