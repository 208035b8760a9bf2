"""Control groups: where they are looked for, and what is written into them, on trees made of plain files."""

import json
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.providers import cage
from factory_infra.iaas.jobs.providers.cage import Bounds, Cages, Hierarchy, end_left, hierarchies, key_of
from factory_infra.iaas.jobs.providers.folder import JobFolder

BOUNDS = Bounds(memory_bytes=1024, processes=7, cores=2)
FILES = ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max", "cpu.max", "memory.events", "pids.events")


def proc(tmp_path: Path, mounts: list[str], groups: list[str]) -> Path:
    """A /proc/self that tells of these mounts and of our groups in them."""
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "mountinfo").write_text("\n".join(mounts) + "\n")
    (folder / "cgroup").write_text("\n".join(groups) + "\n")
    return folder


def unified(place: Path, handed: str, names: tuple[str, ...]) -> None:
    """Make a level of the unified tree, with the groups below it that a kernel would let us make."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "cgroup.controllers").write_text("cpu io memory pids\n")
    for level in (place, place / "lineshaft", place / "lineshaft" / names[0]):
        level.mkdir(exist_ok=True)
        (level / "cgroup.subtree_control").write_text(handed)
    for leaf in ("probe", *names[1:]):
        (place / "lineshaft" / names[0] / leaf).mkdir()
        for file in FILES:
            (place / "lineshaft" / names[0] / leaf / file).write_text("")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain files keep a folder from being removed as a kernel would: it is not waited for."""
    monkeypatch.setattr(cage, "REMOVE_SECONDS", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A job's folder."""
    path = tmp_path / "job"
    path.mkdir()
    return JobFolder(path)


def test_trees_are_found_with_our_place_in_them_nearest_first(tmp_path: Path) -> None:
    memory, whole = tmp_path / "memory", tmp_path / "unified"
    (memory / "a" / "b").mkdir(parents=True)
    whole.mkdir()
    mounts = [
        f"31 30 0:27 / {memory} rw,relatime - cgroup cgroup rw,memory",
        f"32 30 0:28 / {tmp_path / 'other'} rw,relatime - cgroup cgroup rw,freezer",
        f"33 30 0:29 /box {whole} rw,relatime - cgroup2 cgroup2 rw",
        "34 30 0:30 / /tmp rw - tmpfs tmpfs rw",
    ]
    found = hierarchies(proc(tmp_path, mounts, ["4:memory:/a/b", "0::/box"]))
    assert found == [Hierarchy(2, (), (whole,)), Hierarchy(1, ("memory",), (memory / "a" / "b", memory / "a", memory))]


def test_the_nearest_group_that_hands_controllers_down_is_taken(tmp_path: Path, folder: JobFolder) -> None:
    near, above = tmp_path / "slice" / "service", tmp_path / "slice"
    unified(near, "", (key_of(folder), "job-1"))
    unified(above, "memory pids", (key_of(folder), "job-1"))
    cages = Cages(folder, [Hierarchy(2, (), (near, above))])
    assert cages.told == {"memory": "cgroup v2", "pids": "cgroup v2"}
    made = cages.cage("job-1", BOUNDS)
    leaf = above / "lineshaft" / key_of(folder) / "job-1"
    written = {name: (leaf / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")}
    assert written == {"memory.max": "1024", "memory.swap.max": "0", "pids.max": "7", "cpu.max": ""}
    made.enter()
    assert (leaf / "cgroup.procs").read_text() == "0"
    (leaf / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (leaf / "pids.events").write_text("max 5\n")
    assert (made.counted("memory"), made.counted("pids")) == (2, 5)


def test_cores_are_bounded_where_they_were_leased(tmp_path: Path, folder: JobFolder) -> None:
    unified(tmp_path / "slice", "cpu memory pids", (key_of(folder), "job-1", "job-2"))
    cages = Cages(folder, [Hierarchy(2, (), (tmp_path / "slice",))])
    leaf = tmp_path / "slice" / "lineshaft" / key_of(folder) / "job-1"
    assert cages.cage("job-1", BOUNDS).told["cpu"] == "cgroup v2" and (leaf / "cpu.max").read_text() == "200000 100000"
    assert "cpu" not in cages.cage("job-2", Bounds(memory_bytes=1, processes=1, cores=None)).told


def test_without_a_tree_that_takes_us_there_is_no_cage_and_nothing_fails(tmp_path: Path, folder: JobFolder) -> None:
    closed = tmp_path / "closed"
    closed.write_text("no folder")
    cages = Cages(folder, [Hierarchy(1, ("memory", "pids"), (closed,))])
    made = cages.cage("job-1", BOUNDS)
    made.enter()
    made.kill()
    assert (cages.told, made.told, made.counted("memory")) == ({}, {}, 0)
    cages.remove()


def test_only_groups_of_its_own_are_believed_of_a_jobs_record(tmp_path: Path, folder: JobFolder) -> None:
    own, strange = tmp_path / "lineshaft" / key_of(folder), tmp_path / "lineshaft" / "j0"
    for group in (own, strange):
        group.mkdir(parents=True)
    folder.groups.write_text(json.dumps({"paths": [str(own), str(strange), str(tmp_path), 7]}))
    end_left(folder)
    assert strange.exists() and not own.exists()
    folder.groups.write_text("[")
    end_left(folder)
