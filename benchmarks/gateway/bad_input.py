"""Requests that cannot be: refused with the codes that clients know, quickly, and uncharged."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gateway.door import Door, ask, opened
from benchmarks.gateway.ground import scratch_ground, until
from benchmarks.gateway.ledger import open_reservations
from benchmarks.gateway.script import JsonObject
from cli.checks import Check

SECONDS_MAX = 1.0
SCHEMA: JsonObject = {"type": "json_schema", "json_schema": {"name": "part", "schema": {"type": "object", "properties": {}}}}


@dataclass(frozen=True)
class Try:
    """A request and what must come of it."""

    name: str
    body: object
    status: int
    codes: frozenset[str]
    path: str = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = ()


def tries(door: Door) -> Iterator[Try]:
    """Every kind of bad input."""
    image: JsonObject = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/cat.png"}}
    pictured: JsonObject = {"model": "fast", "messages": [{"role": "user", "content": [image]}]}
    yield Try("an unknown model", ask("x", model="nobody"), 404, frozenset({"model_not_found"}))
    yield Try("a body of 10 MB", ask("x" * 10_100_000), 413, frozenset({"request_too_large"}))
    yield Try("a prompt of a million tokens", ask("word " * 1_000_000), 400, frozenset({"context_length_exceeded"}))
    yield Try("no JSON", b'{"model": "fast", "messages": [', 400, frozenset({"invalid_json"}))
    yield Try("JSON of 100,000 levels", b"[" * 100_000 + b"]" * 100_000, 400, frozenset({"invalid_json", "invalid_type"}))
    yield Try("no UTF-8", b'{"model": "\xff\xfe"}', 400, frozenset({"invalid_json"}))
    yield Try(
        "a schema that the backend cannot hold", ask("x", model="simple", response_format=SCHEMA), 400, frozenset({"ability_missing"})
    )
    outside: JsonObject = {"type": "json_schema", "json_schema": {"name": "part", "schema": {"$ref": "http://127.0.0.1:9/part.json"}}}
    none: JsonObject = {"type": "json_schema", "json_schema": {"name": "part", "schema": {"type": 7}}}
    yield Try("a schema that is none", ask("x", response_format=none), 400, frozenset({"invalid_value"}))
    yield Try("a schema that lies elsewhere", ask("x", response_format=outside), 400, frozenset({"invalid_value"}))
    too_many = frozenset({"integer_above_max_value", "invalid_value"})
    yield Try("n=1000", ask("x", n=1000), 400, too_many)
    too_few = frozenset({"integer_below_min_value", "invalid_value"})
    yield Try("a negative limit", {**ask("x"), "max_tokens": -1}, 400, too_few)
    yield Try("an image of a foreign host", pictured, 400, frozenset({"ability_missing", "invalid_image_url"}))
    yield Try("an unknown field", ask("x", api_base="http://127.0.0.1:9"), 400, frozenset({"unknown_parameter"}))
    yield Try("no messages", {"model": "fast", "messages": []}, 400, frozenset({"empty_array", "array_below_min_length", "invalid_value"}))
    in_address = frozenset({"key_in_address", "invalid_api_key"})
    yield Try("a key in the address", ask("x"), 401, in_address, path=f"/v1/chat/completions?api_key={door.key}")
    yield Try("no key", ask("x"), 401, frozenset({"invalid_api_key"}), headers=(("authorization", ""),))


def tried(door: Door, each: Try) -> Check:
    """One row: its status and code, how long it took, and that it did not reach the upstream."""
    heard = door.heard()
    began = time.perf_counter()
    answer = door.post(each.body, each.path, **dict(each.headers))
    seconds = time.perf_counter() - began
    error = answer.json().get("error", {}) if answer.headers.get("content-type", "").startswith("application/json") else {}
    code = str(error.get("code"))
    free = door.heard() == heard
    held = answer.status_code == each.status and code in each.codes and seconds <= SECONDS_MAX and free and bool(error.get("message"))
    figure = f"{answer.status_code} {code} in {seconds * 1e3:.0f} ms, {'stopped here' if free else 'PASSED ON'}"
    return Check(f"bad input: {each.name}", figure, f"{each.status} {' or '.join(sorted(each.codes))}", held)


def checks_on(door: Door) -> list[Check]:
    """All of them at a running gateway, which must still answer afterwards."""
    until(lambda: open_reservations(door.ground) == 0, "all before is settled", 10)
    charged, heard = door.charged(), door.heard()
    found = [tried(door, each) for each in tries(door)]
    well = door.post(ask("are you well?")).status_code
    until(lambda: door.charged() > charged and open_reservations(door.ground) == 0, "the good call is in the ledger", 10)
    charged, heard = door.charged() - charged, door.heard() - heard
    return [
        *found,
        Check("bad input: a good call afterwards", f"{well}", "200", well == 200),
        Check("bad input: what was charged", f"{charged} calls, {heard} reached the upstream", "no more", charged == heard),
    ]


def checks() -> list[Check]:
    """All of them."""
    with scratch_ground() as ground:
        return checks_on(opened(ground))
