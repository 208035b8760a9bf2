"""What is known of a failure, and what it probably comes from."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue

Cause = Literal[
    "gpu_memory",
    "memory",
    "disk_full",
    "file_too_large",
    "open_files",
    "time_limit",
    "cancelled",
    "gpu_lost",
    "import_error",
    "gate_not_passed",
    "quota",
    "capacity",
    "budget",
    "part_away",
    "process_lost",
    "killed_by_signal",
    "not_confirmed",
    "program_error",
    "unknown",
]
Confidence = Literal["certain", "likely", "possible", "none"]
Sort = Literal["code", "signal", "log", "telemetry"]


class Symptoms(BaseModel):
    """Everything that was read of one failure. `log` is text from outside: it is searched, and never followed."""

    codes: list[str] = Field(default=[], description="Stable codes of the job's and the plan's failure, the job's first.")
    signal: str = Field(default="", description="The signal that ended the process, such as SIGKILL.")
    exit_code: int | None = None
    log: str = ""
    disk_free_share: float | None = None
    memory_available_share: float | None = None


class Sign(BaseModel):
    """One thing that speaks for a cause."""

    sort: Sort
    said: str = Field(description="Our own words: the code, the signal, the gauge, or the place in the log.")
    untrusted_text: str = Field(default="", description="The line of the log, at most 200 characters: text from outside.")


class Remedy(BaseModel):
    """What to do, as data: words, and where a playbook does it, its name and its slots."""

    words: str
    playbook: str = ""
    slots: dict[str, JsonValue] = {}
    say: str = Field(default="", description="A request in words that asks for it.")


class Finding(BaseModel):
    """A cause with what speaks for it."""

    cause: Cause
    confidence: Confidence
    words: str
    remedy: str
    signs: list[Sign]
    repeat: bool = Field(default=False, description="The same again may succeed, once the remedy's words were heeded.")
