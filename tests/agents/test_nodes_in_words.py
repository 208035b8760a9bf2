"""What validation and isolation found, in words."""

from agents.wording import word
from tools.ports import JsonObject

DRIFT: JsonObject = {"component": "driver", "found": "470", "wanted": "at least 550", "severity": "error"}
NODE: JsonObject = {"node": "n3", "pool": "gpus", "fitness": "unfit", "reasons": ["matmul is slow"]}


def test_software() -> None:
    assert word("validation.check", {"pool": "gpus", "baseline": "", "nodes": [], "note": "burn in first"}) == "burn in first"
    told = word("validation.check", {"pool": "gpus", "baseline": "gpus.yaml", "nodes": [{"node": "n1", "drift": [DRIFT]}]})
    assert told == "n1: driver is 470, at least 550 is wanted (error)."
    assert "as gpus.yaml declares" in word(
        "validation.check", {"pool": "gpus", "baseline": "gpus.yaml", "nodes": [{"node": "n1", "drift": []}]}
    )
    assert "no baseline" in word("validation.check", {"pool": "gpus", "baseline": "", "nodes": [{"node": "n1", "drift": []}]})


def test_fitness() -> None:
    assert word("validation.report", {"nodes": []}) == "No node was burnt in yet."
    assert "n3 of gpus is not handed out: matmul is slow" in word("validation.report", {"nodes": [NODE]})


def test_walls() -> None:
    pool: JsonObject = {"pool": "local", "walls": [{"name": "files", "state": "up"}, {"name": "user", "state": "not_available"}]}
    told = word("isolation.audit", {"pools": [pool], "audits": [{"holds": False}]})
    assert told == "local: files up, user not available.\n1 audit(s), 1 found a hole."
    assert "No audit" in word("isolation.audit", {"pools": [], "audits": []})
