"""The policy file: an edit counts at once, and what cannot be read is an error with its place, never another policy."""

from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.settings import Settings
from tools.policy_file import SHIPPED, PolicyBroken, load_policy, parse_policy, policy_path, read_policy, source_of

GOOD = """
version: "7"
defaults:
  write: {then: approve}
  costly: {then: approve}
  destructive: {then: approve, approvals: 2}
rules:
  - name: nights
    when: {hours: 22-06, effect: costly, money_above: 1.5}
    then: refuse
tenants:
  vision: {bounds: {money_max: 3}}
"""
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_the_file_that_is_set_counts_before_the_homes_before_the_shipped_one(settings: Settings, tmp_path: Path) -> None:
    assert (policy_path(settings), source_of(settings)) == (SHIPPED, "shipped")
    settings.home.mkdir()
    (settings.home / "policy.yaml").write_text(GOOD)
    assert (load_policy(settings).version, source_of(settings)) == ("7", "home")
    named = tmp_path / "mine.yaml"
    named.write_text(GOOD.replace('"7"', '"8"'))
    chosen = settings.model_copy(update={"policy": named})
    assert (load_policy(chosen).version, source_of(chosen)) == ("8", "LINESHAFT_POLICY")


def test_an_edit_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    first = read_policy(path)
    assert read_policy(path) is first
    path.write_text(GOOD.replace("approvals: 2", "approvals: 3"))
    again = read_policy(path)
    assert (again.defaults.destructive.approvals, again.digest == first.digest) == (3, False)


def test_comments_do_not_change_the_digest_and_words_do(tmp_path: Path) -> None:
    first = parse_policy(GOOD, tmp_path)
    assert parse_policy(f"# said twice\n{GOOD}", tmp_path).digest == first.digest
    assert parse_policy(GOOD.replace("1.5", "1.6"), tmp_path).digest != first.digest


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (GOOD.replace("22-06", "22:00-06:00"), "rules.0.when.hours"),
        (GOOD.replace("costly, money", "read, money"), "rules.0.when.effect"),
        (GOOD.replace("approvals: 2", "approvals: 0"), "defaults.destructive.approvals"),
        (GOOD.replace("approvals: 2", "approvals: yes"), "defaults.destructive.approvals"),
        (GOOD.replace("approvals: 2", "aprovals: 2"), "defaults.destructive.aprovals"),
        (GOOD.replace("write: {then: approve}", "write: {then: run, approvals: 2}"), "defaults.write"),
        (GOOD.replace("  costly: {then: approve}\n", ""), "defaults.costly"),
        (GOOD.replace("  write:", "  read: {then: refuse}\n  write:"), "defaults.read"),
        (GOOD.replace("then: refuse", "then: forbid"), "rules.0.then"),
        (GOOD.replace("money_above: 1.5", "money_above: .inf"), "rules.0.when.money_above"),
        (GOOD.replace("money_above: 1.5", "tool: []"), "rules.0.when.tool"),
        (GOOD.replace("vision:", "vis*:"), "tenants.vis*"),
        (GOOD.replace("{bounds: {money_max: 3}}", "{bounds: {runs_max: 3}}"), "tenants.vision.bounds.runs_max"),
        (GOOD.replace("{bounds: {money_max: 3}}", "{rules: [{name: x, then: run, when: {tenant: y}}]}"), "tenants.vision.rules"),
        (GOOD.replace("{bounds: {money_max: 3}}", "{rules: [{name: nights, then: run}]}"), "nights"),
        (GOOD + "rules: []\n", "'rules' is given twice"),
        (GOOD + "also: 1\n", "also"),
        ("", "mapping"),
        ("version: [", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, wrong: str, place: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(wrong)
    with pytest.raises(PolicyBroken) as raised:
        read_policy(path)
    assert raised.value.error_code == "policy_invalid"
    assert not raised.value.retryable
    assert str(path) in raised.value.reason and place in raised.value.reason
    assert "policy check" in raised.value.remedy


def test_the_good_one_is_read(tmp_path: Path) -> None:
    read = parse_policy(GOOD, tmp_path)
    assert len(read.rules) == 1
    assert read.for_tenant("vision").bounds.money_max == Decimal(3)
    assert read.for_tenant("language").bounds.money_max is None


class TestNoFallingBack:
    def test_a_file_that_is_set_and_is_not_there(self, settings: Settings, tmp_path: Path) -> None:
        with pytest.raises(PolicyBroken):
            load_policy(settings.model_copy(update={"policy": tmp_path / "nowhere.yaml"}))

    def test_a_link_that_leads_nowhere(self, settings: Settings) -> None:
        settings.home.mkdir()
        (settings.home / "policy.yaml").symlink_to(settings.home / "gone.yaml")
        with pytest.raises(PolicyBroken):
            load_policy(settings)

    def test_a_folder_and_bytes_that_are_no_text(self, settings: Settings) -> None:
        path = settings.home / "policy.yaml"
        path.mkdir(parents=True)
        with pytest.raises(PolicyBroken):
            load_policy(settings)
        path.rmdir()
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(PolicyBroken):
            load_policy(settings)

    def test_a_broken_edit_of_a_good_file_and_its_mending(self, settings: Settings) -> None:
        settings.home.mkdir()
        path = settings.home / "policy.yaml"
        path.write_text(GOOD)
        assert load_policy(settings).version == "7"
        path.write_text(GOOD.replace("refuse", "forbid"))
        with pytest.raises(PolicyBroken):
            load_policy(settings)
        path.write_text(GOOD)
        assert load_policy(settings).version == "7"


def test_the_example_is_a_policy() -> None:
    assert len(read_policy(EXAMPLES / "policy-strict.yaml").rules) == 7
