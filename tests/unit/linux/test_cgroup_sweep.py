"""Leftovers of cgroups: found wherever they are mounted, and only what is asked for goes."""

import os
import uuid

from wherry.linux.cgroup_sweep import hierarchies, sweep


def test_hierarchies_of_both_versions() -> None:
    lines = [
        "30 23 0:26 / /sys/fs/cgroup/cpuset rw,nosuid shared:9 - cgroup cgroup rw,cpuset",
        "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        "32 23 0:28 / /proc rw - proc proc rw",
        "broken",
        "",
    ]
    assert hierarchies(lines) == ["/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/unified"]


def test_what_is_left_goes_with_what_is_in_it() -> None:
    with open("/proc/self/mountinfo") as file:
        tops = hierarchies(file)
    assert tops
    name = f"wherry-test-{uuid.uuid4().hex}"
    made = []
    for top in tops:
        try:
            os.makedirs(os.path.join(top, name, "box/inner"))
            os.makedirs(os.path.join(top, name, "other"))
            made.append(os.path.join(top, name))
        except OSError:
            continue
    assert made
    sweep(f"/{name}/box")
    for folder in made:
        assert [entry for entry in os.listdir(folder) if os.path.isdir(os.path.join(folder, entry))] == ["other"]
    sweep(name)
    sweep(name)
    sweep("/")
    assert not any(os.path.exists(folder) for folder in made)
