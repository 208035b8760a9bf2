"""What a failure means and what is done about it: by a table, which an event's own words cannot change."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from factory_infra.errors import InvalidInput

SHIPPED = Path(__file__).with_name("taxonomy.yaml")
Severity = Literal["note", "warning", "failure"]
Action = Literal["none", "restart_job", "reset_gpu", "drain", "replace", "contact"]
PLANNED: frozenset[Action] = frozenset({"drain", "replace"})
"""What is carried out as a plan under policy."""
GRAVITY: tuple[Action, ...] = ("none", "restart_job", "contact", "reset_gpu", "drain", "replace")


class Failure(BaseModel):
    """One way to fail."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    title: str
    cause: Literal["program", "gpu", "driver", "link", "cooling", "power", "host"]
    severity: Severity
    action: Action

    @property
    def doubtful(self) -> bool:
        """Whether the node is not handed out until somebody looked, or until it is over."""
        return self.severity == "failure" or self.action in {"reset_gpu", "contact"}


@cache
def load_taxonomy(source: Path = SHIPPED) -> dict[str, Failure]:
    """Read the table. Raises InvalidInput that names the file."""
    try:
        rows = [Failure.model_validate(each) for each in yaml.safe_load(source.read_text(encoding="utf-8"))]
    except (OSError, yaml.YAMLError, ValidationError, TypeError) as error:
        raise InvalidInput(f"{source.name}: {error}", remedy="Compare it with the table that ships.") from error
    return {row.code: row for row in rows}


def failure_of(code: str) -> Failure:
    """What a code means; one that is not in the table is a warning that a person looks at."""
    table = load_taxonomy()
    return table.get(code) or table["xid_unknown" if code.startswith("xid_") else "unknown"]
