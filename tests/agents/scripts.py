"""A large model for tests: a scope, answers of the quarantined reader, and lines for whoever plans."""

import json
from collections.abc import Iterator

from agents.state import Situation
from tests.agents.ports import FACTS, Answer, heard, said
from tools.ports import JsonObject

SITUATION = Situation(facts=FACTS, model="openai:large", planner="free").model_dump(mode="json")
SCOPE: JsonObject = {"tools": ["leases.acquire"], "objects": [], "slots": 1, "seconds": None, "versions": []}


def scripted_model(*answers: JsonObject, quarantined: str = "unknown", scope: JsonObject | None = None) -> Answer:
    """Say these lines, one after the other, and then the last for ever."""
    lines: Iterator[JsonObject] = iter(answers)
    last: list[JsonObject] = []

    def answer(argument: JsonObject) -> JsonObject:
        call = heard(argument)
        if call.json_schema is not None:
            return said(json.dumps(scope or SCOPE))
        if call.choices is not None:
            return said(quarantined)
        last[:] = [next(lines, last[0] if last else said("done"))]
        return last[0]

    return answer
