"""A job may write anything into its folder: nothing there is followed or believed."""

import os
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.slurm_files import SlurmFiles, exit_of, progress_of, starts_of
from factory_infra.iaas.jobs.providers.slurm_ledger import Place
from factory_infra.iaas.jobs.providers.slurm_logs import read_log, read_result, read_tail


@pytest.fixture
def files(tmp_path: Path) -> SlurmFiles:
    """A job of two tasks, prepared."""
    made = SlurmFiles(tmp_path / "p/records/vision/job", tmp_path / "p/jobs/vision/job")
    made.enter()
    made.prepare(JobSpec(id="job", tenant="vision", name="a", argv=["true"], array=2, inputs={"in.txt": "given"}))
    return made


def test_folders_are_shut_to_others(files: SlurmFiles) -> None:
    assert (files.work.stat().st_mode & 0o777, files.records.parents[1].stat().st_mode & 0o777) == (0o700, 0o700)
    assert files.work.parent.stat().st_mode & 0o777 == 0o711
    assert (files.work / "in.txt").read_text() == "given"


def test_a_link_is_read_by_nobody(files: SlurmFiles, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    log = files.work / "tasks/0/log.txt"
    log.unlink()
    log.symlink_to(secret)
    (files.work / "result.json").symlink_to(secret)
    assert read_log(Place(files, 0), 0, 100, final=True).text == read_tail(Place(files, 0), 100) == ""
    assert read_result(Place(files), "result.json") is None
    assert files.traces(1, 0).tail == ""


def test_a_folder_that_became_a_link_is_not_entered(files: SlurmFiles, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "log.txt").write_text("secret")
    (files.work / "tasks").rename(files.work / "moved")
    (files.work / "tasks").mkdir()
    (files.work / "tasks/1").symlink_to(outside)
    assert read_log(Place(files, 1), 0, 100, final=True).text == ""


def test_a_link_that_lies_where_we_write_is_replaced(files: SlurmFiles, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("ours")
    for name in ("generation", ".generation.new"):
        (files.work / name).unlink(missing_ok=True)
        (files.work / name).symlink_to(victim)
    files.put("generation", "2")
    assert victim.read_text() == "ours" and (files.work / "generation").read_text() == "2"


def test_a_pipe_does_not_hold_us(files: SlurmFiles) -> None:
    log = files.work / "tasks/0/log.txt"
    log.unlink()
    os.mkfifo(log)
    assert read_log(Place(files, 0), 0, 100, final=False).text == ""


def test_marks_of_tasks_count_by_generation(files: SlurmFiles) -> None:
    for name in ("0.0.1", "1.3.1", "2.3.2", "x.y.z", "4"):
        (files.work / "ends" / name).touch()
    assert files.ended_tasks(2) == {0: 0, 2: 3}


def test_what_a_script_or_program_wrote_wrongly_is_passed_over() -> None:
    assert starts_of(b"1795634806.5 n1\nnonsense\n")[0].nodes == "n1" and len(starts_of(b"x\n")) == 0
    assert exit_of(b"{", 1) is None and exit_of(b'{"generation": 1}', 1) is None
    assert exit_of(b'{"generation": 1, "code": 3, "at": 5, "timed_out": false}', 2) is None
    success = exit_of(b'{"generation": 1, "code": 0, "at": 5, "timed_out": false}', 2)
    assert success is not None and success.code == 0
    assert progress_of(b'{"percent": 400}\nnot json\n') == (100.0, "")
