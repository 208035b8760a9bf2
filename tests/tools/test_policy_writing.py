"""Two people edit one policy: one of them is told, and neither loses a word."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.settings import Settings
from tests.tools.test_policy_file import GOOD
from tools import policy_writing
from tools.policy_file import SHIPPED, load_policy
from tools.policy_writing import policy_text, write_policy

WRITERS = 8


def variant(number: int) -> str:
    return f"# words of writer {number}\n" + GOOD.replace('"7"', f'"{number}"')


def tries(settings: Settings, number: int, revision: str, gate: threading.Barrier) -> bool:
    gate.wait(30)
    try:
        write_policy(settings, variant(number), revision)
    except Conflict as error:
        assert error.error_code == "revision_stale"
        return False
    return True


def at_once(settings: Settings) -> list[int]:
    """Let all write from what they all have read; return who was told that it worked."""
    read, gate = policy_text(settings).revision, threading.Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(lambda number: tries(settings, number, read, gate), range(WRITERS)))
    return [number for number, worked in enumerate(done) if worked]


def test_a_change_counts_at_once_and_the_text_before_is_kept(settings: Settings) -> None:
    first = policy_text(settings)
    assert (first.source, first.text) == ("shipped", SHIPPED.read_text())
    second = write_policy(settings, variant(1), first.revision)
    assert (second.source, load_policy(settings).version) == ("home", "1")
    assert policy_text(settings) == second
    write_policy(settings, variant(2), second.revision)
    assert (settings.home / "policy.yaml.before").read_text() == variant(1)
    assert SHIPPED.read_text() == first.text


def test_of_many_who_read_the_same_one_writes(settings: Settings) -> None:
    [winner] = at_once(settings)
    assert policy_text(settings).text == variant(winner)


def test_control_without_the_comparison_words_are_lost(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_writing, "revision_of", lambda text: "always the same")
    assert len(at_once(settings)) == WRITERS


def test_an_edit_by_hand_counts_as_somebodys(settings: Settings) -> None:
    read = write_policy(settings, variant(1), policy_text(settings).revision)
    (settings.home / "policy.yaml").write_text(f"{variant(1)}# by hand\n")
    with pytest.raises(Conflict) as refused:
        write_policy(settings, variant(2), read.revision)
    assert refused.value.error_code == "revision_stale"
    assert policy_text(settings).text.endswith("# by hand\n")


@pytest.mark.parametrize("text", ["rules: 3", "a: [", GOOD.replace("approvals: 2", "approvals: 0"), "x" * 1_000_001])
def test_what_is_no_policy_changes_nothing(settings: Settings, text: str) -> None:
    read = write_policy(settings, variant(1), policy_text(settings).revision)
    with pytest.raises(InvalidInput) as refused:
        write_policy(settings, text, read.revision)
    assert refused.value.error_code == "policy_invalid" and str(settings.home) not in str(refused.value)
    assert policy_text(settings) == read


def test_a_broken_file_can_be_mended(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "policy.yaml").write_text("a: [")
    write_policy(settings, variant(1), policy_text(settings).revision)
    assert load_policy(settings).version == "1"


def test_one_that_is_kept_elsewhere_is_not_written(settings: Settings, tmp_path: Path) -> None:
    kept = tmp_path / "mounted.yaml"
    kept.write_text(GOOD)
    settings.home.mkdir(parents=True)
    (settings.home / "policy.yaml").symlink_to(kept)
    with pytest.raises(Conflict) as refused:
        write_policy(settings, variant(1), policy_text(settings).revision)
    assert refused.value.error_code == "policy_read_only" and kept.read_text() == GOOD


def test_line_ends_of_others_stay_as_they_are(settings: Settings) -> None:
    text = variant(1).replace("\n", "\r\n")
    written = write_policy(settings, text, policy_text(settings).revision)
    assert policy_text(settings) == written and written.text == text
