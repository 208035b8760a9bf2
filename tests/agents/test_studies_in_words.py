"""Studies, runs and comparisons in words."""

from pydantic import JsonValue

from agents.wording import word
from tools.ports import JsonObject


def test_a_study_tells_its_trials_and_its_best() -> None:
    told = word(
        "studies.wait",
        {
            "study_id": "s1",
            "name": "digits",
            "state": "finished",
            "trials": {"complete": 3, "pruned": 1},
            "value": 0.98765,
            "parameters": {"C": 2.0, "kernel": "rbf"},
            "reason": "All 4 trials were made.",
        },
    )
    assert told == (
        "Study s1 (digits) is finished: 3 complete, 1 pruned trials. "
        "The best value is 0.9877 with C = 2, kernel = rbf. All 4 trials were made."
    )
    assert word("studies.list", {"studies": []}) == "No study yet."


def test_runs_and_what_differs_between_them() -> None:
    run: JsonObject = {
        "run_id": "r",
        "experiment": "digits",
        "name": "trial 1",
        "status": "FINISHED",
        "metrics": {"value": 0.5},
        "parameters": {},
    }
    assert word("training.runs", {"runs": [run]}) == "r (digits, trial 1): FINISHED, value 0.5."
    rows: list[JsonValue] = [
        {"name": "C", "values": ["1", None], "differs": True},
        {"name": "seed", "values": ["0", "0"], "differs": False},
    ]
    assert word("training.compare", {"metrics": [], "parameters": rows, "environment": []}) == "C: 1, none."
    assert word("training.compare", {"metrics": [], "parameters": [], "environment": []}) == "They do not differ."
