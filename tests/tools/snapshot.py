"""What models and pages are shown of every tool. `python -m tests.tools.snapshot` writes the snapshot anew."""

import json
from pathlib import Path

from pydantic import JsonValue

from tools.toolbox import TOOLS

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def schemas() -> dict[str, JsonValue]:
    """Every tool's description, effect, promises and JSON schemas."""
    return {
        tool.name: {
            "effect": tool.effect.value,
            "runs_as": tool.runs_as,
            "description": tool.description,
            "undo": tool.undo_words,
            "postcondition": tool.postcondition,
            "arguments": tool.arguments.model_json_schema(),
            "result": tool.result.model_json_schema(),
        }
        for tool in sorted(TOOLS.values(), key=lambda each: each.name)
    }


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(schemas(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
