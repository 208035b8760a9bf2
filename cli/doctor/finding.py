"""What the doctor finds."""

from typing import Literal

from pydantic import BaseModel

Level = Literal["ok", "note", "warn", "fail"]


class Finding(BaseModel):
    """One thing that was looked at: `fail` keeps the stack from running, `warn` makes it slow or poor."""

    name: str
    level: Level
    found: str
    remedy: str = ""
