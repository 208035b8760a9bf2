"""The shapes of a job's records in the bucket, and of the names in its keys."""

import json
import re
from typing import NamedTuple

from factory_infra.errors import InvalidInput

Record = dict[str, object]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FILE = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Claim(NamedTuple):
    """Who may submit a generation of a job to the engine, and what the engine called it once that was done."""

    generation: int
    age_seconds: float
    engine_id: str
    engine_age_seconds: float


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    """Raise InvalidInput unless the whole value matches: what passes cannot leave its folder."""
    if not pattern.fullmatch(value):
        raise InvalidInput(
            f"{what} is not valid: {value[:80]!r}.", remedy="Use letters, digits, '.', '_' and '-', at most 128.", code="name_invalid"
        )


def last_progress(lines: str) -> tuple[float | None, str]:
    """Return percent and stage from the last whole line; what a program wrote wrongly is passed over."""
    for line in reversed(lines.splitlines()):
        try:
            record = json.loads(line)
            return min(max(float(record["percent"]), 0.0), 100.0), str(record.get("stage", ""))[:200]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return None, ""
