"""Philly's files: read as a fleet and arrivals, and refused with file, line and remedy."""

import json
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.traces.philly import read_folder

MACHINES = "machineId,number of GPUs,single GPU mem\nm1,8, 24GB\nm2,8, 24GB\nm3,2, 12GB\n"


def job(**fields: object) -> dict[str, object]:
    """A job of eight GPUs on one machine, two attempts."""
    gpus = [{"ip": "m1", "gpus": [f"gpu{number}" for number in range(8)]}]
    attempts = [
        {"start_time": "2017-10-07 01:12:09", "end_time": "2017-10-07 01:13:09", "detail": gpus},
        {"start_time": "2017-10-07 01:13:30", "end_time": "2017-10-07 02:13:30", "detail": gpus},
    ]
    given = {"status": "Pass", "vc": "ee9e8c", "jobid": "application_1", "attempts": attempts, "submitted_time": "2017-10-07 01:11:39"}
    return {**given, **fields}


def attempt(start: str | None, end: str | None, *gpus: int) -> dict[str, object]:
    detail = [{"ip": f"m{number}", "gpus": [f"gpu{gpu}" for gpu in range(count)]} for number, count in enumerate(gpus, 1)]
    return {"start_time": start, "end_time": end, "detail": detail}


def written(folder: Path, *jobs: dict[str, object], machines: str = MACHINES) -> Path:
    (folder / "cluster_machine_list").write_text(machines)
    (folder / "cluster_job_log").write_text(json.dumps(list(jobs), indent=1))
    return folder


def refusal(folder: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_folder(folder)
    assert caught.value.error_code == "trace_invalid"
    assert caught.value.remedy
    return caught.value


class TestPhilly:
    def test_a_job_runs_as_long_as_all_its_attempts(self, tmp_path: Path) -> None:
        trace = read_folder(written(tmp_path, job()))
        [arrival] = trace.arrivals
        assert arrival.actual_seconds == 60 + 3600
        assert (arrival.workload.members, arrival.workload.shape.gpus, arrival.workload.queue) == (1, 8, "ee9e8c")
        assert [node.gpus for node in trace.nodes] == [8, 8, 2]
        assert trace.nodes[2].model == "12GB"

    def test_jobs_come_in_order_of_submission(self, tmp_path: Path) -> None:
        early = job(jobid="application_2", submitted_time="2017-10-07 01:00:00")
        assert [each.workload.id for each in read_folder(written(tmp_path, job(), early)).arrivals] == ["application_2", "application_1"]

    def test_more_than_a_machine_is_a_gang_of_equal_parts(self, tmp_path: Path) -> None:
        wide = job(attempts=[attempt("2017-10-07 02:00:00", "2017-10-07 03:00:00", 8, 4)])
        [arrival] = read_folder(written(tmp_path, wide)).arrivals
        assert (arrival.workload.members, arrival.workload.shape.gpus) == (2, 6)

    def test_what_cannot_be_used_is_counted(self, tmp_path: Path) -> None:
        never = job(jobid="application_2", attempts=[])
        unknown = job(jobid="application_3", attempts=[attempt("2017-10-07 02:00:00", None, 1)])
        trace = read_folder(written(tmp_path, job(), never, unknown))
        assert trace.left_out == {"never scheduled": 1, "a time was not recorded": 1}

    def test_a_job_larger_than_the_fleet_is_refused_with_its_line(self, tmp_path: Path) -> None:
        large = job(jobid="application_9", attempts=[attempt("2017-10-07 02:00:00", "2017-10-07 03:00:00", 10, 10)])
        error = refusal(written(tmp_path, job(), large))
        line = (tmp_path / "cluster_job_log").read_text().partition("application_9")[0].count("\n") + 1
        assert error.reason == f"cluster_job_log, line {line}: entry 2 (application_9): it has 20 GPUs, the whole fleet 18."

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"attempts": [attempt("2017-10-07 03:00:00", "2017-10-07 02:00:00", 1)]}, "ends 3600 s before it starts"),
            ({"submitted_time": "2017-10-07 01:20:00"}, "started 471 s before it was submitted"),
            ({"submitted_time": "yesterday"}, "'submitted_time' is 'yesterday', no time"),
            ({"attempts": [{"start_time": "2017-10-07 02:00:00", "end_time": "2017-10-07 03:00:00"}]}, "names no GPUs"),
            ({"attempts": "none"}, "'attempts' is no list"),
        ],
    )
    def test_a_job_that_cannot_be_is_refused(self, tmp_path: Path, fields: dict[str, object], words: str) -> None:
        error = refusal(written(tmp_path, job(**fields)))
        assert words in error.reason
        assert "cluster_job_log, line" in error.reason

    def test_a_job_twice_and_a_field_missing_are_refused(self, tmp_path: Path) -> None:
        assert "the job is there twice" in refusal(written(tmp_path, job(), job())).reason
        without = job()
        del without["vc"]
        assert "a field is missing" in refusal(written(tmp_path, without)).reason

    @pytest.mark.parametrize(
        ("machines", "words"),
        [
            ("machineId,gpus\nm1,8\n", "line 1: the columns number of GPUs, single GPU mem are missing"),
            ("machineId,number of GPUs,single GPU mem\nm1,-1,24GB\n", "line 2: 'number of GPUs' is -1, below 0"),
            ("machineId,number of GPUs,single GPU mem\nm1,8,24GB\nm1,8,24GB\n", "line 3: machine 'm1' is there twice"),
            ("machineId,number of GPUs,single GPU mem\nm1,8\n", "line 2: it has 2 fields"),
            ("machineId,number of GPUs,single GPU mem\nm1,2.5,24GB\n", "no whole number"),
            ("machineId,number of GPUs,single GPU mem\n", "there is no row"),
        ],
    )
    def test_a_machine_list_that_cannot_be_is_refused(self, tmp_path: Path, machines: str, words: str) -> None:
        assert words in refusal(written(tmp_path, job(), machines=machines)).reason

    def test_a_file_cut_off_is_refused_with_its_line(self, tmp_path: Path) -> None:
        written(tmp_path, job())
        file = tmp_path / "cluster_job_log"
        file.write_text(file.read_text()[:-20])
        assert "it is no JSON" in refusal(tmp_path).reason

    def test_an_absent_file_is_refused(self, tmp_path: Path) -> None:
        assert "cluster_machine_list: there is no such file." in refusal(tmp_path).reason
