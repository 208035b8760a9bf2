"""Requests as people write them, with what each should come to: the file from which the phrasing tests are made."""

import json
from pathlib import Path

from pydantic import BaseModel, JsonValue


class Phrasing(BaseModel):
    """One request, or several turns, and its outcome."""

    says: list[str]
    scene: str = "empty"
    home: str | None = "vision"
    kinds: list[str]
    playbooks: list[str] = []
    slots: dict[str, JsonValue] = {}
    codes: list[str] = []


def load_phrasings() -> list[Phrasing]:
    """Every phrasing of the file beside this one, in its order."""
    lines = Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    return [Phrasing.model_validate(json.loads(line)) for line in lines]
