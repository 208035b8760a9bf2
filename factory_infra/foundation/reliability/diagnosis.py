"""From symptoms to a probable cause: by a table of rules, never by what a log asks for."""

import re
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from factory_infra.errors import InvalidInput
from factory_infra.foundation.reliability.models import Cause, Confidence, Finding, Sign, Symptoms

SHIPPED = Path(__file__).with_name("rules.yaml")
LINE_MAX = 200
LOG_SIGNS_MAX = 3
SCARCE_SHARE = 0.02
ORDER: tuple[Confidence, ...] = ("certain", "likely", "possible", "none")
VAGUE: frozenset[Cause] = frozenset({"program_error"})
"""Causes that only say that it failed: any narrower one goes before them, however sure they are."""


class Rule(BaseModel):
    """One cause, and what speaks for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cause: Cause
    words: str
    remedy: str
    codes: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    gauges: tuple[Literal["disk", "memory"], ...] = ()
    repeat: bool = False

    @field_validator("log")
    @classmethod
    def _patterns_compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            re.compile(pattern)
        return value


@cache
def load_rules(source: Path = SHIPPED) -> tuple[Rule, ...]:
    """Read a table of rules. Raises InvalidInput that names the file."""
    try:
        return tuple(Rule.model_validate(each) for each in yaml.safe_load(source.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError, TypeError, re.error) as error:
        raise InvalidInput(f"{source.name}: {error}", remedy="Compare it with the table that ships.") from error


def diagnose(symptoms: Symptoms) -> list[Finding]:
    """Return the causes that something speaks for, the surest first; one that says 'unknown' where nothing does."""
    judged = [finding for rule in load_rules() if (finding := judge(rule, symptoms)) is not None]
    ordered = sorted(judged, key=lambda finding: (finding.cause in VAGUE, ORDER.index(finding.confidence)))
    return ordered or [unknown(symptoms)]


def judge(rule: Rule, symptoms: Symptoms) -> Finding | None:
    """Weigh one rule: a code of ours is certain, a signal or a line of the log likely, and likelier causes beside gauges that fit."""
    codes = [Sign(sort="code", said=f"failure code {code}") for code in symptoms.codes if code in rule.codes]
    signals = [Sign(sort="signal", said=f"ended by {symptoms.signal}")] if symptoms.signal in rule.signals else []
    lines = log_signs(rule, symptoms.log)
    if not (codes or signals or lines):
        return None
    confidence: Confidence = "certain" if codes else "likely"
    if rule.cause in VAGUE:
        confidence = "possible"
    signs = [*codes, *signals, *lines, *gauge_signs(rule, symptoms)]
    return Finding(cause=rule.cause, confidence=confidence, words=rule.words, remedy=rule.remedy, signs=signs, repeat=rule.repeat)


def log_signs(rule: Rule, log: str) -> list[Sign]:
    """Return the last lines of a log that a rule knows, each cut short and marked as text from outside."""
    if not rule.log:
        return []
    pattern = re.compile("|".join(f"(?:{each})" for each in rule.log), re.IGNORECASE)
    found = [(number, line) for number, line in enumerate(log.splitlines(), 1) if pattern.search(line[:2000])]
    return [
        Sign(sort="log", said=f"line {number} of the log's end", untrusted_text=line.strip()[:LINE_MAX])
        for number, line in found[-LOG_SIGNS_MAX:]
    ]


def gauge_signs(rule: Rule, symptoms: Symptoms) -> list[Sign]:
    """Return the gauges that fit a cause now."""
    shares = {"disk": symptoms.disk_free_share, "memory": symptoms.memory_available_share}
    low = [(gauge, shares[gauge]) for gauge in rule.gauges]
    return [
        Sign(sort="telemetry", said=f"{share * 100:.1f} % of the {gauge} is free now")
        for gauge, share in low
        if share is not None and share < SCARCE_SHARE
    ]


def unknown(symptoms: Symptoms) -> Finding:
    """Nothing in the table fits: say so, with what was seen."""
    seen = [Sign(sort="code", said=f"failure code {code}") for code in symptoms.codes]
    if symptoms.exit_code is not None:
        seen.append(Sign(sort="code", said=f"exit code {symptoms.exit_code}"))
    return Finding(
        cause="unknown",
        confidence="none",
        words="Nothing that is known fits.",
        remedy="Read the end of the job's log.",
        signs=seen,
    )
