"""What the scripted upstream does with one attempt, decided from a seed and the request; and the truth of what it then produced."""

import random
import zlib
from dataclasses import dataclass
from typing import Literal, cast

import orjson
from pydantic import BaseModel, JsonValue

JsonObject = dict[str, JsonValue]
Fault = Literal["", "refuse", "throttle", "cut", "error", "silent", "garbled", "stall"]
"""refuse: 503 before anything. throttle: 429 with Retry-After. cut: the connection ends in mid-answer. error: an error object in
mid-stream. silent: no usage is told. garbled: a whole answer that is no JSON. stall: a slow first byte."""
FAULTS: tuple[Fault, ...] = ("refuse", "throttle", "cut", "error", "silent", "garbled", "stall")
MARK = "@script "
TOKENS_OUT_USUAL = 40
STALL_SECONDS = 0.4
PACES = (0.0, 0.001, 0.004, 0.01)


class Script(BaseModel):
    """One attempt as it will go if nobody leaves. A request fixes any of it with a line `@script {…}` at the end of its last text."""

    prompt: int
    cached: int = 0
    out: int
    reasoning: int = 0
    first_seconds: float = 0.0
    pace_seconds: float = 0.0
    per_chunk: int = 1
    fault: Fault = ""
    fault_at: int = 0
    """How many tokens are out before the fault."""


@dataclass(slots=True)
class Made:
    """What one attempt truly produced so far; `final` once it has ended."""

    prompt: int = 0
    out: int = 0
    cached: int = 0
    reasoning: int = 0
    final: bool = False
    end: str = ""
    """How it ended: done, left (the caller went away), or the fault's name."""

    def usage(self) -> JsonObject:
        """In the shape of OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.out,
            "total_tokens": self.prompt + self.out,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


def texts(body: JsonObject) -> list[str]:
    """Every text of a chat request, in order."""
    found: list[str] = []
    for message in cast(list[JsonObject], body.get("messages") or []):
        content = message.get("content")
        if isinstance(content, str):
            found.append(content)
        elif isinstance(content, list):
            found += [str(part["text"]) for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return found


def decide(seed: int, body: JsonObject, tries: int, faults: float) -> Script:
    """The script of one attempt: the same seed, request and number of earlier tries give the same script; without faults, at every try."""
    said = texts(body)
    tries = tries if faults else 0
    base = drawn(random.Random(f"{seed}/{zlib.crc32(orjson.dumps(body.get('messages')))}/{tries}"), body, said, faults)  # noqa: S311 - not a secret
    marked = said[-1].rpartition(MARK) if said and MARK in said[-1] else None
    if marked is None:
        return base
    given = cast(JsonObject, orjson.loads(marked[2]))
    plain = Script(prompt=base.prompt, out=base.out)
    return plain.model_copy(update=given)


def drawn(dice: random.Random, body: JsonObject, said: list[str], faults: float) -> Script:
    """What the dice say: never more prompt tokens than a byte of text each, never more out than the request allows."""
    prompt = max(1, sum(map(len, said)) // 4 + len(said))
    most = cast(int, body.get("max_completion_tokens") or body.get("max_tokens") or TOKENS_OUT_USUAL)
    out = dice.randint(1, max(1, min(most, TOKENS_OUT_USUAL)))
    fault: Fault = dice.choice(FAULTS) if dice.random() < faults else ""
    return Script(
        prompt=prompt,
        cached=dice.randint(0, prompt) if dice.random() < 0.3 else 0,
        out=out,
        reasoning=dice.randint(0, out // 2) if dice.random() < 0.3 else 0,
        first_seconds=STALL_SECONDS if fault == "stall" else dice.choice((0.0, 0.0, 0.0, 0.02)),
        pace_seconds=dice.choice(PACES),
        per_chunk=1 if dice.random() < 0.7 else dice.randint(2, 5),
        fault=fault,
        fault_at=dice.randint(0, out),
    )
