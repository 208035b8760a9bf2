"""One try for each class of the faults that were made public in gateways since 2024, at a running gateway."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from benchmarks.gateway.door import CHAT, Door, ask, canary, opened
from benchmarks.gateway.ground import scratch_ground, until
from benchmarks.gateway.script import JsonObject
from cli.checks import Check
from factory_infra.database import Database
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.service import Tenants

SECRET = "a" * 43
INJECTED = (
    "' OR '1'='1",
    f"ls_000000000000_{SECRET}' OR '1'='1",
    f"ls_' UNION SELECT id FROM api_keys--_{SECRET}",  # noqa: S608 - what an attacker sends
    "ls_000000000000_'; DROP TABLE api_keys; --aaaaaaaaaaaaaaaa",
    "sk-\\x27 OR 1=1",
)
TEMPLATES = ("{{7*7}}", "${7*7}", "#{7*7}", "{% for x in (1,2) %}y{% endfor %}", "%{7*7}", "{0.__class__.__mro__}")
TEST_DOORS = (
    "/mcp-rest/test/connection",
    "/mcp-rest/test/tools/list",
    "/health/test_connection",
    "/config/update",
    "/model/new",
    "/key/generate",
    "/guardrails/test_custom_code",
    "/v1/test",
    "/debug",
    "/prompts/test",
)
REVOKED_SECONDS_MAX = 0.5
PATHS = ("/v1/models", "//v1/models", "/health/../v1/models", "/v1/./models", "/health/..;/v1/models", "/V1/models", "/v1/models/")


def injection(door: Door) -> Check:
    """SQL through a key, a model's name and an attribution header."""
    before = door.ground.query("SELECT count(*) FROM api_keys")
    bodies = {door.post(ask("x"), authorization=f"Bearer {key}").text for key in INJECTED}
    bodies |= {door.post(ask("x"), authorization="", x_api_key=key).text for key in INJECTED}
    statuses = {
        door.post(ask("x", model="fast' OR '1'='1")).status_code,
        door.post(ask("x"), x_lineshaft_agent="a'; DROP TABLE x").status_code,
    }
    same = len(bodies) == 1 and "invalid_api_key" in next(iter(bodies))
    intact = door.ground.query("SELECT count(*) FROM api_keys") == before
    held = same and intact and statuses <= {400, 404} and door.heard() == 0
    return Check(
        "SQL injection through a key",
        f"{2 * len(INJECTED)} keys, {len(bodies)} kind of refusal; others {sorted(statuses)}",
        "refused alike",
        held,
    )


def forgery(door: Door) -> Check:
    """Addresses in every place of a request that some gateway once followed."""
    with canary() as (url, calls):
        for body in forged(url):
            door.post(body)
        door.post(ask("x"), x_api_base=url, x_forwarded_host=url.removeprefix("http://"), forwarded=f"host={url}")
        door.post({"model": "fast", "input": "x", "api_base": url}, "/v1/responses")
        door.post({**ask("x"), "base_url": url}, "/v1/messages")
        number = len(list(forged(url))) + 3
    foreign = [each for each in door.upstream.heard() if url in json.dumps({"h": each["headers"]})]
    return Check(
        "SSRF by nested parameters",
        f"{len(calls)} calls of {number} tries, {len(foreign)} headers passed on",
        "0, 0",
        not calls and not foreign,
    )


def forged(url: str) -> Iterator[JsonObject]:
    """Requests with an address where none belongs."""
    for name in ("api_base", "base_url", "api_key", "custom_llm_provider", "litellm_params", "user_config", "endpoint", "proxy"):
        yield {**ask("x"), name: url}
    for name in ("extra_body", "metadata", "litellm_params", "model_info", "fallbacks"):
        nested: JsonObject = {"api_base": url, "base_url": url, "litellm_params": {"api_base": url}}
        yield {**ask("x"), name: nested}
    yield ask("x", model=f"openai/{url}")
    yield ask("x", model=url)
    schema: JsonObject = {"type": "json_schema", "json_schema": {"name": "part", "schema": {"$ref": f"{url}/schema.json"}}}
    yield ask("x", response_format=schema)
    yield ask("x", tools=[{"type": "function", "function": {"name": "f", "parameters": {"$ref": f"{url}/schema.json"}}}])
    for part in ({"type": "image_url", "image_url": {"url": f"{url}/a.png"}}, {"type": "file", "file": {"file_url": url}}):
        yield {"model": "fast", "messages": [{"role": "user", "content": [part]}]}  # type: ignore[list-item]  # objects of JSON are JSON


def hosts(door: Door) -> Check:
    """Without a key nothing opens, whatever the host and however the path is written."""
    opened_paths: list[str] = []
    for path in PATHS:
        for host in ("evil.example", "127.0.0.1", f"127.0.0.1:{door.gateway.port}@evil.example"):
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: localhost\r\n"
            said = f"{head}X-Original-URL: /health\r\nConnection: close\r\n\r\n"
            answer = door.raw(said.encode())
            opened_paths += [f"{host}{path}"] * (b" 200 " in answer.split(b"\r\n")[0])
    foreign = door.post(ask("x"), host="evil.example").status_code
    absolute = door.raw(b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").split(b"\r\n")[0]
    held = not opened_paths and foreign in (400, 403, 421) and b" 200 " not in absolute
    return Check(
        "host-header trust", f"{len(opened_paths)} of {3 * len(PATHS)} opened; a foreign host with a key: {foreign}", "0; refused", held
    )


def cache_keys(door: Door) -> Check:
    """Questions that are alike at first are still different, and so are teams, parameters and the bounds between messages."""
    long = "of the long line " * 2000
    split: list[JsonObject] = [{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}]
    shifted: list[JsonObject] = [{"role": "user", "content": "a"}, {"role": "user", "content": "bc"}]
    different: list[tuple[JsonObject, str]] = [
        (ask(long + "1", model="kept"), door.key),
        (ask(long + "2", model="kept"), door.key),
        (ask(long + "1", model="kept"), door.other_key),
        (ask(long + "1", model="kept", temperature=0.5), door.key),
        (ask(long + "1", model="kept", seed=4), door.key),
        ({"model": "kept", "messages": split}, door.key),  # type: ignore[dict-item]  # objects of JSON are JSON
        ({"model": "kept", "messages": shifted}, door.key),  # type: ignore[dict-item]  # as above
    ]
    told = [door.post(body, authorization=f"Bearer {key}").headers.get("x-lineshaft-cache") for body, key in different]
    again = door.post(different[0][0]).headers.get("x-lineshaft-cache")
    return Check(
        "cache key truncation",
        f"{told.count('hit')} hits of {len(told)} different; the same again: {again}",
        "0 hits; hit",
        "hit" not in told and again == "hit",
    )


def templates(door: Door) -> Check:
    """What looks like a template stays text on its way up and back."""
    for text in TEMPLATES:
        door.post(ask(text, user=text))
    said = json.dumps([each["body"] for each in door.upstream.heard()])
    literal = sum(json.dumps(text)[1:-1] in said for text in TEMPLATES)
    echo = door.post({"model": TEMPLATES[0], "messages": [{"role": "user", "content": "x"}]}).text
    held = literal == len(TEMPLATES) and "49" not in echo
    return Check(
        "template injection",
        f"{literal} of {len(TEMPLATES)} passed on as they are; a model's name: {'evaluated' if '49' in echo else 'text'}",
        "as text",
        held,
    )


def test_doors(door: Door) -> Check:
    """Doors that other gateways had for tests and administration are not there, with and without a key."""
    mark = door.ground.folder / "executed"
    command: JsonObject = {
        "command": "touch",
        "args": [str(mark)],
        "url": f"file://{mark}",
        "code": f"import os; os.system('touch {mark}')",
    }
    statuses = {door.post(command, path).status_code for path in TEST_DOORS}
    statuses |= {door.post(command, path, authorization="").status_code for path in TEST_DOORS}
    return Check(
        "command execution by a test endpoint",
        f"{sorted(statuses)}, executed: {mark.exists()}",
        "404, 405 or 401; no",
        statuses <= {401, 404, 405} and not mark.exists(),
    )


def salts(door: Door) -> Check:
    """A stolen table is worth nothing: digests are under a pepper of this installation that is in no table."""
    secret = door.key.split("_", 2)[2]
    pepper = key_pepper(door.ground.settings)
    file = door.ground.settings.secrets_dir / "keys.pepper"
    plain = {hashlib.sha256(secret.encode()).hexdigest(), hashlib.sha512(secret.encode()).hexdigest()}
    rows = str(door.ground.query("SELECT * FROM api_keys"))
    digests = [str(row[0]) for row in door.ground.query("SELECT digest FROM api_keys")]
    mode = oct(file.stat().st_mode & 0o777) if file.exists() else "none"
    others = [other for other in file.parent.glob("*") if other != file and other.read_bytes().strip() == file.read_bytes().strip()]
    found = [secret in rows, any(each in rows for each in plain), pepper.hex() in rows, len(set(digests)) < len(digests), bool(others)]
    return Check(
        "salt reuse, keys at rest",
        f"pepper {mode}, used elsewhere: {len(others)}; secret or plain digest in the table: {any(found[:3])}",
        "0o600, 0, no",
        not any(found) and mode == "0o600",
    )


def revocation(door: Door) -> Check:
    """A revoked key ends at once, in every process that remembered it."""
    second = door.ground.start()[0]
    key = door.ground.keys()[0]
    urls = (door.gateway.url, second.url)
    before = {ask_with(url, key) for url in urls}

    async def revoke() -> None:
        database = Database(door.ground.database_url)
        tenants = Tenants(database, key_pepper(door.ground.settings))
        await tenants.revoke_key(key.split("_")[1])
        await database.close()

    asyncio.run(revoke())
    began = time.perf_counter()
    until(lambda: {ask_with(url, key) for url in urls} == {401}, "the key is dead in both", 10)
    seconds = time.perf_counter() - began
    second.stop()
    return Check(
        "a revoked key, two processes",
        f"{sorted(before)} before, 401 within {seconds * 1e3:.0f} ms",
        f"<= {REVOKED_SECONDS_MAX * 1e3:.0f} ms",
        before == {200} and seconds <= REVOKED_SECONDS_MAX,
    )


def ask_with(url: str, key: str) -> int:
    """The status of a small call."""
    return httpx.post(url + CHAT, json=ask("x"), headers={"authorization": f"Bearer {key}"}, timeout=10).status_code


def smuggling(door: Door) -> Check:
    """Requests whose length is told twice are not taken as two."""
    inner = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {door.key}\r\n\r\n"
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    tries = (
        f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        f"{head}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
        f"{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}",
        f"{head}Content-Length: +0\r\n\r\n{inner}",
    )
    answers = [door.raw(each.encode()) for each in tries]
    smuggled = sum(b'"object":"list"' in answer for answer in answers)
    return Check("request smuggling", f"{smuggled} of {len(tries)} smuggled", "0", smuggled == 0)


def traces(door: Door) -> Check:
    """What was asked and the key's secret are in no table, journal or log; a key in the address neither."""
    word = f"secret-{secrets.token_hex(8)}"
    door.post(ask(f"the {word} of the mill"))
    httpx.post(f"{door.gateway.url}{CHAT}?api_key={door.key}", json=ask(word), timeout=10)
    names = [str(row[0]) for row in door.ground.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    held_in = [name for name in names if any(each in str(door.ground.query(f'SELECT * FROM "{name}"')) for each in (word, door.key[16:]))]  # noqa: S608 - names of our own
    files = [path for path in door.ground.folder.rglob("*") if path.is_file()]
    held_in += [path.name for path in files if contains(path, word) or contains(path, door.key[16:])]
    return Check(
        "prompts and keys are kept nowhere",
        f"{len(names)} tables, {len(files)} files: {', '.join(held_in) or 'in none'}",
        "in none",
        not held_in,
    )


def contains(path: Path, word: str) -> bool:
    """Whether a file holds a word; one that is gone does not."""
    try:
        return word.encode() in path.read_bytes()
    except OSError:
        return False


TRIES: tuple[Callable[[Door], Check], ...] = (
    injection,
    forgery,
    hosts,
    cache_keys,
    templates,
    test_doors,
    salts,
    revocation,
    smuggling,
    traces,
)


def checks_on(door: Door) -> list[Check]:
    """All of them at a running gateway."""
    found = []
    for each in TRIES:
        door.upstream.reset()
        found.append(each(door))
    return found


def checks() -> list[Check]:
    """All of them."""
    with scratch_ground() as ground:
        return checks_on(opened(ground))
