"""The script that Slurm runs, run by a shell with Slurm's variables: no Slurm is needed to see what it does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.slurm_files import SlurmFiles
from factory_infra.iaas.jobs.providers.slurm_script import script_of, step_of


class Bench:
    """A prepared job, and what starts its script as Slurm's job of some number would."""

    def __init__(self, folder: Path, **fields: object) -> None:
        base: dict[str, object] = {"id": "job", "tenant": "vision", "name": "a", "argv": ["true"]}
        self.spec = JobSpec.model_validate(base | fields)
        self.files = SlurmFiles(folder / "p/records/vision/job", folder / "p/jobs/vision/job")
        self.files.enter()
        self.files.prepare(self.spec)

    @property
    def work(self) -> Path:
        """The job's folder."""
        return self.files.work

    def run(self, number: int, generation: int = 1, *, current: int | None = None, index: int | None = None) -> int:
        """Run it; returns its exit code."""
        self.files.put("generation", str(current or generation))
        self.files.put("step.sh", step_of(self.spec, self.spec.argv))
        script = script_of(self.spec, self.work, "vision/job", generation)
        variables = {"SLURM_JOB_ID": str(number), "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "n1", "PATH": "/usr/bin:/bin"}
        if index is not None:
            variables |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": str(number + index)}
        with (self.work / "log.txt").open("ab") as log:
            return subprocess.run(
                ["bash"], input=script.encode(), env=variables, stdout=log, stderr=log, check=False, timeout=60
            ).returncode

    def log(self) -> str:
        """What was printed."""
        return (self.work / "log.txt").read_text()


def python(code: str) -> list[str]:
    return [sys.executable, "-IS", "-c", code]


NASTY = "'; touch hacked; $(touch hacked) `touch hacked` \" \\ \n * é"


def test_words_from_outside_reach_the_program_as_they_are(tmp_path: Path) -> None:
    code = "import os, sys, json; print(json.dumps([sys.argv[1], os.environ['WORD'], os.environ['LINESHAFT_ATTEMPT']]))"
    bench = Bench(tmp_path, argv=[*python(code), NASTY], environment={"WORD": NASTY})
    assert bench.run(17) == 0
    assert json.loads(bench.log()) == [NASTY, NASTY, "1"] and not list(tmp_path.rglob("hacked"))


def test_a_second_submission_ends_without_a_trace(tmp_path: Path) -> None:
    bench = Bench(tmp_path, argv=python("print('began'); raise SystemExit(3)"))
    assert bench.run(17) == 3
    assert bench.run(18) == 0 and bench.log() == "began\n"
    assert bench.files.claimed_by(1) == "17"


def test_a_generation_that_was_given_up_ends_without_a_trace(tmp_path: Path) -> None:
    bench = Bench(tmp_path, argv=python("print('began')"))
    assert bench.run(17, generation=1, current=2) == 0
    assert bench.log() == "" and not (bench.work / "starts").exists()


def test_what_succeeded_is_not_run_again_by_a_later_generation(tmp_path: Path) -> None:
    bench = Bench(tmp_path, argv=python("print('began')"))
    assert bench.run(17) == bench.run(18, generation=2) == 0
    assert bench.log() == "began\n"


def test_a_failing_program_is_started_as_often_as_was_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, argv=python("import os; print(os.environ['LINESHAFT_ATTEMPT']); raise SystemExit(5)"), attempts_max=3)
    assert bench.run(17) == 5 and bench.log() == "1\n2\n3\n"
    traces = bench.files.traces(1)
    assert len(traces.starts) == 3 and traces.exit is not None and (traces.exit.code, traces.exit.timed_out) == (5, False)
    assert bench.run(18, generation=2) == 5 and bench.log().splitlines()[-1] == "6"


def test_a_program_over_its_time_is_ended_and_told_from_one_that_fails(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('began', flush=True); time.sleep(60)"
    bench = Bench(tmp_path, argv=python(code), limits={"seconds": 0.5})
    bench.run(17)
    said = bench.files.traces(1).exit
    assert said is not None and said.timed_out


@pytest.mark.parametrize(("argv", "code"), [(["no-such-program"], 127), (["/"], 126)])
def test_a_program_that_cannot_be_run_has_its_own_code(tmp_path: Path, argv: list[str], code: int) -> None:
    assert Bench(tmp_path, argv=argv).run(17) == code


def test_tasks_have_folders_inputs_and_ends_of_their_own(tmp_path: Path) -> None:
    code = "import os; index = os.environ['LINESHAFT_ARRAY_INDEX']; print(open('in.txt').read(), index); raise SystemExit(int(index))"
    bench = Bench(tmp_path, argv=python(code), array=2, inputs={"in.txt": "given"})
    assert [bench.run(17, index=index) for index in range(2)] == [0, 1]
    assert bench.files.ended_tasks(1) == {0: 0, 1: 1}
    assert bench.run(20, generation=2, index=0) == 0 and bench.log() == "given 0\ngiven 1\n"
