"""Bedrock in both directions: the gateway before an emulator of its runtime, and the agents' own client at the same."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydantic import JsonValue

from benchmarks.gateway.ground import TEAM, Gateway, Ground, scratch_ground, until
from benchmarks.gateway.ledger import Settled, open_reservations, settled
from benchmarks.gateway.script import JsonObject
from cli.checks import Check
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.bedrock import Bedrock as BedrockModel
from factory_infra.settings import Settings
from tests.emulators.bedrock import FORBIDDEN, Bedrock, Fault
from tests.emulators.serving import serving

NOVA = "eu.amazon.nova-lite-v1:0"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu-central-1"}
WORD: JsonObject = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
ECHO: JsonObject = {"type": "function", "function": {"name": "echo", "parameters": WORD}}


@contextmanager
def credentials() -> Iterator[None]:
    """Credentials that the emulator does not look at, for this process's own clients."""
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class Way:
    """A gateway before the emulator."""

    def __init__(self, ground: Ground, url: str) -> None:
        guarded: JsonObject = {"kind": "bedrock", "region": "eu-central-1", "endpoint_url": url, "guardrail": {"id": "g", "version": "1"}}
        ground.configure(
            {"eu": {"kind": "bedrock", "region": "eu-central-1", "endpoint_url": url}, "guarded": guarded},
            {
                "nova": {"route": [{"backend": "eu", "model": NOVA}], "retries": {"attempts_max": 1}},
                "retried": {"route": [{"backend": "eu", "model": NOVA}], "retries": {"attempts_max": 3, "budget_ratio": 1.0}},
                "safe": {"route": [{"backend": "guarded", "model": NOVA}]},
                "titan": {"route": [{"backend": "eu", "model": "amazon.titan-embed-text-v2:0"}]},
            },
        )
        ground.team(TEAM)
        self.ground = ground
        self.key = ground.keys()[0]
        self.gateway: Gateway = ground.start(1, **CREDENTIALS)[0]
        self.known: set[str] = set()

    def post(self, path: str, body: JsonObject) -> httpx.Response:
        """One call."""
        return httpx.post(f"{self.gateway.url}/v1{path}", json=body, headers={"authorization": f"Bearer {self.key}"}, timeout=60)

    def chat(self, text: str, model: str = "nova", **more: JsonValue) -> httpx.Response:
        """One chat call."""
        return self.post("/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more})

    def charged(self, attempts: int = 1) -> list[Settled]:
        """What the last call's attempts were charged, once they are in the ledger."""
        until(lambda: len(settled(self.ground).keys() - self.known) >= attempts and open_reservations(self.ground) == 0, "it is posted", 20)
        found = {name: each for name, each in settled(self.ground).items() if name not in self.known}
        self.known |= found.keys()
        return [found[name] for name in sorted(found)]


def told(way: Way, words: str) -> list[Check]:
    """Whole, streamed, a tool, a guardrail, vectors: what the client gets, and what is charged."""
    answer = way.chat("hello").json()
    used = way.charged()[0]
    same = (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (used.tokens_in, used.tokens_out)
    text = answer["choices"][0]["message"]["content"]
    rows = [
        Check(
            "Bedrock, whole",
            f"'{text}', {used.tokens_in} in, {used.tokens_out} out charged",
            "the words, its own usage",
            same and text == words,
        )
    ]
    lines = [line[6:] for line in way.chat("hello", stream=True).text.split("\n\n") if line.startswith("data: {")]
    text = "".join(choice["delta"].get("content") or "" for line in lines for choice in json.loads(line)["choices"])
    streamed = way.charged()[0]
    rows.append(
        Check(
            "Bedrock, streamed",
            f"'{text}', {streamed.tokens_out} out charged",
            "as the whole",
            text == words and streamed.counts() == used.counts(),
        )
    )
    called = way.chat("echo the word", tools=[ECHO], tool_choice="required").json()["choices"][0]["message"]["tool_calls"]
    rows.append(Check("Bedrock, a tool", f"{called[0]['function']}", "echo", called[0]["function"]["name"] == "echo"))
    barred = way.chat(FORBIDDEN, model="safe").json()["choices"][0]
    rows.append(Check("Bedrock, a guardrail", f"{barred['finish_reason']}", "content_filter", barred["finish_reason"] == "content_filter"))
    vectors = way.post("/embeddings", {"model": "titan", "input": ["one", "two"]}).json()
    way.charged(3)
    rows.append(Check("Bedrock, embeddings", f"{len(vectors.get('data', []))} vectors", "2", len(vectors.get("data", [])) == 2))
    return rows


def faults(way: Way, emulator: Bedrock) -> list[Check]:
    """Throttled, broken, and broken in mid-stream: what the client sees and what the ledger says."""
    emulator.faults.append(Fault("ThrottlingException", 429))
    status = way.chat("hello").status_code
    used = way.charged()[0]
    rows = [
        Check(
            "Bedrock throttles",
            f"{status}, charged {used.amount:f} ({used.outcome})",
            "503 or 429, 0",
            status in (429, 503) and used.amount == 0,
        )
    ]
    emulator.faults.append(Fault("ThrottlingException", 429))
    status = way.chat("hello", model="retried").status_code
    both = way.charged(2)
    outcomes = [each.outcome for each in both]
    rows.append(
        Check(
            "Bedrock throttles, tried again",
            f"{status}, {outcomes}",
            "200, failed and done",
            status == 200 and outcomes == ["failed", "done"],
        )
    )
    emulator.faults.append(Fault("ModelErrorException", 424))
    answer = way.chat("hello")
    used = way.charged()[0]
    clean = answer.status_code in (502, 503) and used.amount == 0
    rows.append(
        Check(
            "Bedrock's model breaks",
            f"{answer.status_code} {answer.json()['error']['code']}, charged {used.amount:f}",
            "502 or 503, 0",
            clean,
        )
    )
    emulator.faults.append(Fault("modelStreamErrorException", after=3))
    text = way.chat("hello", stream=True).text
    used = way.charged()[0]
    ended = '"error"' in text and "[DONE]" not in text
    figure = f"error event: {ended}; charged {used.tokens_in} in, {used.tokens_out} out ({used.outcome}, estimated: {used.estimated})"
    rows.append(
        Check(
            "Bedrock breaks in mid-stream",
            figure,
            "an error event; what came is charged",
            ended and used.tokens_out > 0 and used.outcome == "failed",
        )
    )
    return rows


def agents(url: str) -> list[Check]:
    """`ChatBedrockConverse` as the agents use it, at the same emulator: words, a choice, a schema."""

    async def ask() -> tuple[str, str, str]:
        model = BedrockModel(NOVA, Settings(model_base_url=url))
        said = [ChatMessage(role="user", content="hello")]
        plain = await model.answer(ChatCall(messages=said))
        chosen = await model.answer(ChatCall(messages=said, choices=["left", "right"]))
        shaped = await model.answer(ChatCall(messages=said, json_schema=WORD))
        return plain.content, chosen.content, shaped.content

    plain, chosen, shaped = asyncio.run(ask())
    held = bool(plain) and chosen in ("left", "right") and "word" in json.loads(shaped)
    return [Check("the agents' ChatBedrockConverse", f"'{plain}', '{chosen}', {shaped}", "words, a choice, a schema", held)]


def checks() -> list[Check]:
    """All of them."""
    emulator = Bedrock()
    with credentials(), serving(emulator.app) as url, scratch_ground() as ground:
        way = Way(ground, url)
        return [*told(way, emulator.words), *faults(way, emulator), *agents(url)]
