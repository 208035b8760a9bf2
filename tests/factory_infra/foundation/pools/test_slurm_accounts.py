"""Names, lines and limits of the teams' accounts, from what `sacctmgr` printed."""

from pathlib import Path

import pytest

from factory_infra.errors import EffectFailed, Unavailable
from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands
from factory_infra.foundation.pools.slurm_accounts import SlurmAccounts, account_name, user_of
from factory_infra.foundation.pools.spec import SlurmPool

POOL = SlurmPool(name="hpc", partition="gpu", work_dir=Path("/shared"), users={"vision": "ls_vision"}, qos="low")
LINES = "lineshaft_vision||gres/gpu=4|lineshaft\nlineshaft_vision|ls_vision||\n"


class Recorded(SlurmCommands):
    """Answers from a list of beginnings, and keeps what was asked."""

    def __init__(self, answers: dict[str, list[Said]]) -> None:
        super().__init__(POOL)
        self._answers = answers
        self.asked: list[str] = []

    def ask(self, ask: Ask) -> Said:
        line = " ".join(word for word in ask.argv if not word.startswith("--"))
        self.asked.append(line)
        found = next((answers for words, answers in self._answers.items() if words in line), [Said(0, "", "")])
        return found.pop(0) if len(found) > 1 else found[0]


def test_names_differ_where_slurm_would_not_tell_them_apart() -> None:
    names = [account_name(POOL, tenant) for tenant in ("vision", "Vision", "vi.sion", "vi-sion", "VISION")]
    assert names[0] == "lineshaft_vision" and len(set(names)) == 5
    assert all(name == name.lower() and "." not in name for name in names)


def test_a_team_has_its_account_or_ours() -> None:
    assert user_of(POOL, "vision") == "ls_vision"
    assert user_of(POOL, "speech") != "ls_vision"


def test_the_limit_is_read_from_the_accounts_own_line() -> None:
    accounts = SlurmAccounts(POOL, Recorded({"list associations": [Said(0, LINES, "")]}))
    assert accounts.limit_of("vision") == 4
    assert [each.user for each in accounts.associations("vision") or []] == ["", "ls_vision"]


def test_an_account_is_made_once() -> None:
    commands = Recorded({"list associations": [Said(0, "", ""), Said(0, LINES, "")]})
    SlurmAccounts(POOL, commands).ensure("vision")
    SlurmAccounts(POOL, commands).ensure("vision")
    changes = [line for line in commands.asked if " add " in line or " modify " in line]
    assert [line.split()[1:4] for line in changes] == [
        ["add", "account", "lineshaft"],
        ["add", "account", "lineshaft_vision"],
        ["add", "user", "ls_vision"],
        ["modify", "user", "where"],
    ]
    assert changes[-1].endswith("set qos+=low")


def test_what_was_asked_for_and_is_not_there_is_told() -> None:
    with pytest.raises(EffectFailed) as missing:
        SlurmAccounts(POOL, Recorded({})).ensure("vision")
    assert missing.value.error_code == "account_missing"


def test_a_cluster_without_accounts_needs_none() -> None:
    off = Said(1, "", "sacctmgr: error: You are not running a supported accounting_storage plugin")
    commands = Recorded({"list associations": [off]})
    assert SlurmAccounts(POOL, commands).ensure("vision") is None and len(commands.asked) == 1


def test_rights_that_are_missing_are_told_with_what_would_help() -> None:
    refused = Said(1, "", "sacctmgr: error: Access/permission denied")
    with pytest.raises(EffectFailed) as told:
        SlurmAccounts(POOL, Recorded({"modify account": [refused]})).limit("vision", 3)
    assert told.value.error_code == "accounts_refused" and "Operator" in told.value.remedy
    with pytest.raises(Unavailable):
        SlurmAccounts(POOL, Recorded({"modify account": [Said(1, "", "Connection refused")]})).limit("vision", None)
