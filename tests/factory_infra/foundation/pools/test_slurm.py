"""Slurm's complaints in our words, and how its programs are run."""

import os
from pathlib import Path

import pytest

from factory_infra.errors import (
    CapacityExceeded,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from factory_infra.foundation.pools import slurm
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands, accounting_is_off, refusal
from factory_infra.foundation.pools.spec import SlurmPool

POOL = SlurmPool(name="hpc", partition="gpu", work_dir=Path("/shared"), config=Path(__file__), cluster="two")
COMPLAINTS: list[tuple[str, type[LineshaftError], str]] = [
    ("Batch job submission failed: Unable to contact slurm controller (connect failure)", Unavailable, "engine_silent"),
    ("Batch job submission failed: Socket timed out on send/recv operation", Unavailable, "engine_silent"),
    ("Sending PersistInit msg: Connection refused", Unavailable, "engine_silent"),
    ("Batch job submission failed: Invalid account or account/partition combination specified", EffectFailed, "account_missing"),
    ("Batch job submission failed: Invalid partition name specified", InvalidInput, "partition_unknown"),
    ("Batch job submission failed: Invalid qos specification", InvalidInput, "queue_unknown"),
    ("Batch job submission failed: Requested node configuration is not available", CapacityExceeded, "capacity_exceeded"),
    ("Memory specification can not be satisfied", CapacityExceeded, "capacity_exceeded"),
    ("Batch job submission failed: Invalid job array specification", InvalidInput, "array_too_large"),
    (
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        QuotaExceeded,
        "quota_exceeded",
    ),
    ("Kill job error on job id 10: Access/permission denied", Forbidden, "forbidden"),
    ("slurm_load_jobs error: Invalid job id specified", NotFound, "job_unknown"),
    ("Could not establish a configuration source", EffectFailed, "pool_unreachable"),
    ("something new", EffectFailed, "engine_refused"),
]


@pytest.mark.parametrize(("words", "kind", "code"), COMPLAINTS)
def test_a_complaint_is_an_error_with_its_own_words_and_a_remedy(words: str, kind: type[LineshaftError], code: str) -> None:
    error = refusal(words, POOL)
    assert type(error) is kind and error.error_code == code
    assert words in error.reason and "hpc" in error.reason and error.remedy


def test_only_the_words_after_error_are_told() -> None:
    said = Said(1, "", "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed: x\n")
    assert said.words == "Memory specification can not be satisfied; Batch job submission failed: x"


def test_a_cluster_without_accounts_is_known_by_its_words() -> None:
    assert accounting_is_off("Slurm accounting storage is disabled")
    assert not accounting_is_off("Connection refused")


class TestCommands:
    def test_get_no_variable_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LINESHAFT_MODEL_KEY", "secret")
        out = SlurmCommands(POOL).run(Ask(["env"]))
        names = {line.partition("=")[0] for line in out.splitlines()}
        assert "secret" not in out
        assert names - {"PWD", "SHLVL", "_"} == {"PATH", "LANG", "SLURM_TIME_FORMAT", "SLURM_CONF", "SLURM_CLUSTERS"}

    def test_take_arguments_as_they_are(self) -> None:
        words = "; rm -rf $HOME `id` 'x'"
        assert SlurmCommands(POOL).run(Ask(["echo", words])) == f"{words}\n"

    def test_that_are_not_here_are_told(self) -> None:
        with pytest.raises(EffectFailed) as missing:
            SlurmCommands(POOL).run(Ask(["no-such-program-of-slurm"]))
        assert missing.value.error_code == "engine_missing"

    def test_without_their_configuration_are_not_run(self, tmp_path: Path) -> None:
        with pytest.raises(EffectFailed) as missing:
            SlurmCommands(POOL.model_copy(update={"config": tmp_path / "gone.conf"})).run(Ask(["env"]))
        assert missing.value.error_code == "pool_unreachable"

    def test_that_hang_are_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(slurm, "ANSWER_SECONDS", 0.05)
        with pytest.raises(Unavailable) as silent:
            SlurmCommands(POOL).run(Ask(["sleep", "30"]))
        assert silent.value.retryable

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may act for another account")
    def test_run_as_a_team_run_as_its_account(self) -> None:
        assert SlurmCommands(POOL).run(Ask(["id", "-un"], user="games")) == "games\n"
        assert SlurmCommands(POOL).run(Ask(["id", "-Gn"], user="games")).split() == ["games"]

    def test_for_an_account_that_is_not_there_are_refused(self) -> None:
        with pytest.raises((NotFound, Forbidden)):
            SlurmCommands(POOL).run(Ask(["id"], user="no_such_account"))
