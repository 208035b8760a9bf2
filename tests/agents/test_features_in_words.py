"""Features and drift, as they are said."""

from agents.wording import word
from tools.ports import JsonObject


def test_views_are_named_with_their_keys() -> None:
    view: JsonObject = {"view": "customers", "version": 2, "features": [f"f{n}" for n in range(8)], "keys": ["customer"]}
    assert word("features.list", {"views": [view]}) == "customers@2: f0, f1, f2, f3, f4, f5 and 2 more, by customer."
    assert word("features.list", {"views": []}) == "No feature view is defined."


def test_monitors_tell_what_is_open() -> None:
    calm: JsonObject = {"monitor": "a", "watches": "customers", "verdict": "stable", "alert_id": ""}
    told = word("features.monitors", {"monitors": [calm, {**calm, "monitor": "b", "verdict": "drifted", "alert_id": "drift-1"}]})
    assert told == "a watches customers: stable.\nb watches customers: drifted; alert drift-1 is open."
    assert word("features.monitors", {"monitors": []}) == "Nothing is watched for drift."


def test_a_comparison_is_one_sentence_more() -> None:
    assert word("features.check", {"monitor": "a", "verdict": "stable", "reason": "None of 2 features drifted."}).startswith("a: stable.")
