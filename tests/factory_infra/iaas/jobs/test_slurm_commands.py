"""What `squeue` and `sacct` printed, read; and what `sbatch` is given."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from factory_infra.errors import Unavailable
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.providers.slurm_commands import CommandEngine, argv_of, rows_of_accounts, rows_of_queue
from factory_infra.iaas.jobs.providers.slurm_engine import Order, expanded

POOL = SlurmPool(name="hpc", partition="gpu", work_dir=Path("/shared"))
QUEUE = """1|news|PENDING||N/A|N/A|None|vision/job-1
2|games|RUNNING|n0225x1|1795634806|1795635046|None|vision/job-2+2
3_4|games|PENDING||N/A|N/A|ReqNodeNotAvail, UnavailableNodes:n[1-2]|vision/job-3
"""
ACCOUNTS = """17_[2-3,5%4]|root|PENDING|None assigned|Unknown|Unknown|0:0|a/b
17_1|root|CANCELLED by 0|n1|1795634806|1795634807|0:15|a/b
18|root|OUT_OF_MEMORY|n[01-02]|1795634806|1795634807|0:125|a/c
19|root|FAILED|n1|1795634806|1795634807|3:0|a/d
"""
ORDER = Order("vision/job-1", "#!/bin/bash\n", "/w", "/w/log.txt", "gpu", "lineshaft_vision", "about", gres="gpu:2", after=("4", "5"))


class Recorded(SlurmCommands):
    """One answer for everything; keeps what was asked."""

    def __init__(self, said: Said) -> None:
        super().__init__(POOL)
        self._said = said
        self.asked: list[Ask] = []

    def ask(self, ask: Ask) -> Said:
        self.asked.append(ask)
        return self._said


def test_the_queue_is_read_by_job_and_task() -> None:
    rows = rows_of_queue(QUEUE)
    assert [(row.job, row.index, row.user, row.state, row.name) for row in rows] == [
        ("1", None, "news", "PENDING", "vision/job-1"),
        ("2", None, "games", "RUNNING", "vision/job-2+2"),
        ("3", 4, "games", "PENDING", "vision/job-3"),
    ]
    assert rows[1].starts_at == datetime(2026, 11, 25, 19, 26, 46, tzinfo=UTC) and rows[0].starts_at is None
    assert rows[2].reason == "ReqNodeNotAvail, UnavailableNodes:n[1-2]"


def test_the_accounts_are_read_and_tasks_that_wait_are_taken_apart() -> None:
    rows = rows_of_accounts(ACCOUNTS)
    assert [(row.id, row.state, row.exit_code, row.signal) for row in rows] == [
        ("17_2", "PENDING", 0, 0),
        ("17_3", "PENDING", 0, 0),
        ("17_5", "PENDING", 0, 0),
        ("17_1", "CANCELLED", 0, 15),
        ("18", "OUT_OF_MEMORY", 0, 125),
        ("19", "FAILED", 3, 0),
    ]
    assert [row.final for row in rows] == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-10,12],gpu01", ["n08", "n09", "n10", "n12", "gpu01"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("None assigned", []),
        ("(null)", []),
        ("", []),
    ],
)
def test_a_list_of_nodes_is_expanded(text: str, names: list[str]) -> None:
    assert expanded(text) == names


def test_a_submission_is_an_argument_vector_and_its_script_comes_by_the_standard_input() -> None:
    commands = Recorded(Said(0, "17;two\n", ""))
    assert CommandEngine(POOL, commands).submit(ORDER, (7,)) == "17"
    ask = commands.asked[0]
    assert ask.argv[0] == "sbatch" and ask.text == ORDER.script and ask.keep == (7,)
    assert {"--requeue", "--gres=gpu:2", "--account=lineshaft_vision", "--dependency=afterok:4:5"} <= set(ask.argv)
    assert not any(word.startswith(("--qos", "--array", "--time", "--hold")) for word in ask.argv)


def test_an_array_is_bounded_by_its_slots() -> None:
    assert "--array=0-99%4" in argv_of(Order("a/b", "", "/w", "/l", "gpu", "a", "c", array=100, lanes=4))


def test_what_slurm_does_not_know_any_more_is_left_out_and_what_it_does_not_answer_is_told() -> None:
    assert CommandEngine(POOL, Recorded(Said(1, "", "slurm_load_jobs error: Invalid job id specified"))).queued(["1"]) == []
    silent = Recorded(Said(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"))
    with pytest.raises(Unavailable):
        CommandEngine(POOL, silent).queued(["1"])
    with pytest.raises(Unavailable):
        CommandEngine(POOL, silent).end("1", "kill")
    off = CommandEngine(POOL, Recorded(Said(1, "", "Slurm accounting storage is disabled")))
    assert off.ended(["1"], datetime.now(UTC)) == []


def test_ending_what_has_ended_is_no_error() -> None:
    over = Recorded(Said(1, "", "scancel: error: Kill job error on job id 3: Job/step already completing or completed"))
    CommandEngine(POOL, over).end("3", "kill")
    assert [ask.argv for ask in over.asked] == [["scancel", "--signal=KILL", "--full", "3"], ["scancel", "3"]]
