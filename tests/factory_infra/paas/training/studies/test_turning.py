"""Turns of studies on a real database, with jobs and a tracking server that do as they are told."""

import asyncio
from datetime import timedelta

import pytest

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, Unavailable
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.paas.training.studies.models import StudyState, TrialState
from tests.factory_infra.paas.training.studies.stand_in import TEAM, Bench, Leases, lease_of, spec_of

pytestmark = pytest.mark.stack


@pytest.fixture
def bench(database: Database) -> Bench:
    """Surroundings on a fresh database."""
    return Bench(database)


def value(job_id: str, bench: Bench) -> float:
    """What a job is worth: its x, which the test's program would give back."""
    return float(bench.jobs.specs[job_id].argv[1].removeprefix("--x="))


async def to_the_end(bench: Bench, study: str, turns: int = 60) -> StudyState:
    """Let every job succeed as soon as it runs, each turn by a new process."""
    for _ in range(turns):
        state = (await bench.turns.turn(study)).state
        if state.ended:
            return state
        for job in bench.jobs.running:
            bench.jobs.end(job, value=value(job, bench))
    raise AssertionError("the study did not end")


class TestStart:
    async def test_a_key_starts_one_study_and_not_another(self, bench: Bench) -> None:
        first = await bench.start(spec_of())
        assert await bench.start(spec_of()) == first
        with pytest.raises(Conflict) as raised:
            await bench.start(spec_of(seed=7))
        assert raised.value.error_code == "key_reused"
        assert len(await bench.studies.list(TEAM)) == 1

    async def test_what_no_trial_could_do_is_refused_at_the_door(self, bench: Bench) -> None:
        tabular = {"kind": "tabular", "dataset": "iris", "algorithm": "svm"}
        for changes, code in (
            ({"program": {**tabular, "dataset": "moon"}}, "dataset_unknown"),
            ({"program": tabular, "space": {"x": {"kind": "float", "low": 0, "high": 1}}}, "study_invalid"),
            ({"program": tabular, "space": {"C": {"kind": "float", "low": -1, "high": 1}}}, "study_invalid"),
            ({"program": {"kind": "command", "argv": ["python"], "python": "cuda"}}, "environment_unknown"),
            ({"slots_per_trial": 5}, "study_invalid"),
        ):
            with pytest.raises(InvalidInput) as raised:
                await bench.start(spec_of(**changes))
            assert raised.value.error_code == code and raised.value.remedy

    async def test_another_team_finds_neither_study_nor_lease(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        with pytest.raises(NotFound):
            await bench.studies.get(study, "language")
        with pytest.raises(NotFound):
            await bench.studies.trials(study, "language")
        with pytest.raises(NotFound):
            await bench.studies.stop(study, "language", "")
        with pytest.raises(NotFound):
            await bench.studies.start("language", spec_of(), "lease-1", "other", by="eve")


class TestTurns:
    async def test_so_many_trials_at_one_time_on_slots_of_their_own_until_all_are_made(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 5, "parallel": 3}))
        await bench.turns.turn(study)
        first = await bench.trials(study)
        assert [each.state for each in first] == [TrialState.RUNNING] * 3
        assert sorted(slot for each in first for slot in each.slots) == [0, 1, 2]
        assert await to_the_end(bench, study) is StudyState.FINISHED
        trials = await bench.trials(study)
        assert len(trials) == 5 and {each.state for each in trials} == {TrialState.COMPLETE}
        assert len(bench.jobs.submitted) == 5
        report = await bench.studies.report(study, TEAM)
        best = max(trials, key=lambda each: each.value or -9)
        assert report.best is not None and report.best.number == best.number and report.study.best_value == best.value
        assert report.study.code == "trials_max" and bench.runs.closed == [study] and len(bench.runs.ended) == 5

    async def test_two_studies_on_one_lease_share_no_slot(self, bench: Bench) -> None:
        many = {"trials_max": 9, "parallel": 3}
        one, two = await bench.start(spec_of(bounds=many), "a"), await bench.start(spec_of(bounds=many), "b")
        await asyncio.gather(*(bench.turns.turn(each) for each in (one, two, one, two)))
        slots = [slot for study in (one, two) for each in await bench.trials(study) for slot in each.slots]
        assert len(slots) == 4 and sorted(slots) == [0, 1, 2, 3]

    async def test_a_turn_cut_off_before_its_job_began_goes_on_with_the_same_parameters(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        bench.jobs.away = True
        with pytest.raises(Unavailable):
            await bench.turns.turn(study)
        asked = await bench.trials(study)
        assert [each.state for each in asked] == [TrialState.ASKED] * 2 and not bench.jobs.submitted
        bench.jobs.away = False
        await bench.turns.turn(study)
        again = await bench.trials(study)
        assert [each.parameters for each in again] == [each.parameters for each in asked]
        assert len(bench.jobs.submitted) == 2

    async def test_a_turn_cut_off_after_its_job_began_starts_none_twice(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        bench.jobs.away = True
        with pytest.raises(Unavailable):
            await bench.turns.turn(study)
        bench.jobs.away = False
        advance = await bench.turns._advance(await bench.studies.get(study, TEAM), may_advance=True)
        await bench.jobs.submit(await bench.turns._around.job(advance.study, advance.to_start[0], advance.deadline))
        # … and here the process was killed.
        await bench.turns.turn(study)
        assert sorted(bench.jobs.submitted) == [f"{study}-0", f"{study}-1"]

    async def test_many_processes_at_once_make_no_trial_twice(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 6, "parallel": 4}))
        for _ in range(20):
            await asyncio.gather(*(bench.turns.turn(study) for _ in range(5)))
            for job in bench.jobs.running:
                bench.jobs.end(job, value=value(job, bench))
            if (await bench.studies.get(study, TEAM)).state.ended:
                break
        assert sorted(bench.jobs.submitted) == [f"{study}-{number}" for number in range(6)]
        assert (await bench.studies.get(study, TEAM)).state is StudyState.FINISHED

    async def test_a_lost_host_starts_a_trial_again_and_not_for_ever(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 1, "parallel": 1}))
        for _ in range(8):
            await bench.turns.turn(study)
            for job in bench.jobs.running:
                bench.jobs.end(job, JobState.LOST)
        (trial,) = await bench.trials(study)
        assert (trial.state, trial.code, trial.starts) == (TrialState.FAILED, "trial_lost", 3)
        assert (await bench.studies.get(study, TEAM)).state is StudyState.FAILED

    async def test_without_the_tracking_server_it_waits_and_loses_nothing(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 1, "parallel": 1}))
        await bench.turns.turn(study)
        bench.jobs.end(f"{study}-0", value=0.5)
        bench.runs.away = True
        with pytest.raises(Unavailable):
            await bench.turns.turn(study)
        assert (await bench.trials(study))[0].state is TrialState.RUNNING
        bench.runs.away = False
        assert (await bench.turns.turn(study)).state is StudyState.FINISHED

    async def test_while_effects_are_stopped_nothing_begins(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        await bench.turns.turn(study, may_advance=False)
        assert not bench.jobs.submitted
        await bench.turns.turn(study)
        assert len(bench.jobs.submitted) == 2

    async def test_a_waiting_lease_costs_no_time_and_starts_nothing(self, bench: Bench) -> None:
        bench.leases.lease = lease_of(state=LeaseState.QUEUED)
        study = await bench.start(spec_of(bounds={"trials_max": 1, "seconds_max": 1}))
        bench.leases.lease = bench.leases.lease.model_copy(update={"expires_at": utcnow() - timedelta(seconds=5)})
        assert (await bench.turns.turn(study)).state is StudyState.RUNNING and not bench.jobs.submitted


class TestPruning:
    async def test_a_trial_worse_than_the_others_is_ended_and_its_place_is_taken(self, bench: Bench) -> None:
        study = await bench.start(spec_of(pruner={"kind": "median", "startup_trials": 2}, bounds={"trials_max": 4, "parallel": 3}))
        await bench.turns.turn(study)
        for number, reached in ((0, 0.8), (1, 0.9)):
            bench.jobs.report(f"{study}-{number}", reached / 2, reached)
            bench.jobs.end(f"{study}-{number}", value=reached)
        await bench.turns.turn(study)
        bench.jobs.report(f"{study}-2", 0.01)
        await bench.turns.turn(study)
        assert bench.jobs.cancelled == [f"{study}-2"]
        await bench.turns.turn(study)
        trial = (await bench.trials(study))[2]
        assert (trial.state, trial.value, trial.code) == (TrialState.PRUNED, 0.01, "pruned")
        assert bench.runs.ended[2].state is TrialState.PRUNED
        best = (await bench.studies.report(study, TEAM)).best
        assert best is not None and best.number == 1, "a pruned trial is never the best"

    async def test_without_the_pruner_it_runs_to_its_end(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 4, "parallel": 3}))
        await bench.turns.turn(study)
        for number, reached in ((0, 0.8), (1, 0.9)):
            bench.jobs.report(f"{study}-{number}", reached / 2, reached)
            bench.jobs.end(f"{study}-{number}", value=reached)
        bench.jobs.report(f"{study}-2", 0.01)
        for _ in range(3):
            await bench.turns.turn(study)
        assert not bench.jobs.cancelled

    async def test_one_that_succeeded_before_it_could_be_ended_counts(self, bench: Bench) -> None:
        study = await bench.start(spec_of(pruner={"kind": "median", "startup_trials": 1}, bounds={"trials_max": 2, "parallel": 2}))
        await bench.turns.turn(study)
        bench.jobs.report(f"{study}-0", 0.9)
        bench.jobs.end(f"{study}-0", value=0.9)
        await bench.turns.turn(study)
        bench.jobs.report(f"{study}-1", 0.1)
        bench.jobs.end(f"{study}-1", value=0.95)
        assert await to_the_end(bench, study) is StudyState.FINISHED
        assert (await bench.studies.get(study, TEAM)).best_number == 1

    async def test_rungs_are_told_again_after_a_crash(self, bench: Bench) -> None:
        study = await bench.start(spec_of(pruner={"kind": "asha", "reduction": 2}, bounds={"trials_max": 4, "parallel": 4}))
        await bench.turns.turn(study)
        for number, reached in enumerate((0.9, 0.8, 0.7)):
            bench.jobs.report(f"{study}-{number}", reached)
            await bench.turns.turn(study)
        assert f"{study}-2" in bench.jobs.cancelled and f"{study}-0" not in bench.jobs.cancelled

    async def test_reports_are_read_from_the_log_where_files_are_not_shown(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 1, "parallel": 1}))
        await bench.turns.turn(study)
        bench.jobs.logs_of[f"{study}-0"] = 'epoch 1\n::report {"step": 1, "value": 0.5}\nnoise {"step": 2, "value": 9}\n'
        await bench.turns.turn(study)
        assert [(each.step, each.value) for each in (await bench.trials(study))[0].reports] == [(1, 0.5)]


class TestBounds:
    async def test_stopped_by_a_person_nothing_runs_on(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        await bench.turns.turn(study)
        await bench.studies.stop(study, TEAM, "enough")
        for _ in range(3):
            state = (await bench.turns.turn(study)).state
        assert state is StudyState.STOPPED and not bench.jobs.running
        assert {each.state for each in await bench.trials(study)} == {TrialState.STOPPED}

    async def test_a_value_that_is_enough_ends_it(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 50, "parallel": 2, "value_enough": 0.0}))
        assert await to_the_end(bench, study) is StudyState.FINISHED
        found = await bench.studies.get(study, TEAM)
        assert found.code == "value_enough" and (found.best_value or 0) >= 0 and len(await bench.trials(study)) < 50

    @pytest.mark.parametrize(("bound", "code"), [({"seconds_max": 1}, "seconds_max"), ({"slot_hours_max": 1e-9}, "slot_hours_max")])
    async def test_time_and_money_end_it(self, bench: Bench, bound: dict[str, float], code: str) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 50, **bound}))
        await bench.turns.turn(study)
        if code == "seconds_max":
            bench.leases.lease = bench.leases.lease.model_copy(update={"expires_at": utcnow() - timedelta(seconds=1)})
        for _ in range(3):
            state = (await bench.turns.turn(study)).state
        assert state is StudyState.FAILED and not bench.jobs.running
        assert (await bench.studies.get(study, TEAM)).code == code

    async def test_trials_that_only_fail_end_it_with_the_reason(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 50, "parallel": 1, "failures_max": 3}))
        for _ in range(8):
            state = (await bench.turns.turn(study)).state
            for job in bench.jobs.running:
                bench.jobs.end(job, JobState.FAILED)
        assert state is StudyState.FAILED and len(bench.jobs.submitted) == 3
        assert (await bench.studies.get(study, TEAM)).code == "trials_failed"

    async def test_a_lease_that_ended_ends_it(self, bench: Bench) -> None:
        study = await bench.start(spec_of())
        await bench.turns.turn(study)
        bench.leases.lease = bench.leases.lease.model_copy(update={"state": LeaseState.RELEASED})
        for _ in range(3):
            state = (await bench.turns.turn(study)).state
        assert state is StudyState.FAILED and not bench.jobs.running
        assert (await bench.studies.get(study, TEAM)).code == "lease_ended"
        with pytest.raises(Conflict):
            await bench.start(spec_of(), "late")

    async def test_a_result_that_is_no_number_is_a_failed_trial(self, bench: Bench) -> None:
        study = await bench.start(spec_of(bounds={"trials_max": 1, "parallel": 1}))
        await bench.turns.turn(study)
        bench.jobs.files[f"{study}-0", "result.json"] = '{"value": NaN}'
        bench.jobs.end(f"{study}-0")
        await bench.turns.turn(study)
        assert (await bench.trials(study))[0].code == "trial_no_value"

    async def test_every_combination_is_tried_once(self, bench: Bench) -> None:
        space = {"x": {"kind": "choice", "choices": [0, 1]}, "n": {"kind": "int", "low": 1, "high": 3}}
        for sampler in ("grid", "tpe"):
            study = await bench.start(spec_of(space=space, sampler=sampler, bounds={"trials_max": 50, "parallel": 4}), sampler)
            assert await to_the_end(bench, study) is StudyState.FINISHED
            trials = await bench.trials(study)
            assert len(trials) == 6 and len({str(each.parameters) for each in trials}) == 6
            assert (await bench.studies.get(study, TEAM)).code == "space_tried"


class TestEnvironments:
    async def test_a_missing_environment_fails_the_trial_and_says_how_to_get_it(self, bench: Bench) -> None:
        program = {"kind": "command", "argv": ["python", "-c", "1"], "python": "lora"}
        study = await bench.start(spec_of(program=program, bounds={"trials_max": 1, "parallel": 1}))
        await bench.turns.turn(study)
        (trial,) = await bench.trials(study)
        assert trial.code == "environment_missing" and "lineshaft training environments install lora" in trial.reason

    async def test_a_gpu_lease_gives_each_trial_its_own_devices(self, bench: Bench) -> None:
        bench.leases = Leases(lease_of(2).model_copy(update={"slots": [4, 7], "devices": ["GPU-a", "GPU-b"], "slot_kind": "gpu"}))
        study = await bench.start(spec_of(bounds={"trials_max": 2, "parallel": 2}))
        await bench.turns.turn(study)
        assert [(each.slots, each.devices) for each in bench.jobs.specs.values()] == [([4], ["GPU-a"]), ([7], ["GPU-b"])]
