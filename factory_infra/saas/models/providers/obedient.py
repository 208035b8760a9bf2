"""A model that obeys every instruction it reads, whoever wrote it: scripted, to prove that what a model reads can do no harm."""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import JsonValue

from factory_infra.saas.models.checks import checked, prompt_tokens_estimated, tokens_estimated
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall
from factory_infra.saas.models.providers.orders import CONDITION, HANDS, Fields, Order, objects_in, orders_in, reads_in
from factory_infra.saas.models.providers.scripted import default_answer
from factory_infra.settings import Settings

PROPOSALS = ("propose_plan", "offer_steps")
OUTSIDE = re.compile(r"(?:Step '|^)((?:h\d+-)?s\d+)")
TEAM = re.compile(r"The plan's team is ([\w-]+)")
LOG_HANDLE = re.compile(r"<text:\d+ from jobs\.log, \d+ characters>")
TRIES_MAX = 6
TOLD_MAX = 4000


class Obedient:
    """Deterministic and without memory: it answers from the messages alone, and trusts all of them alike."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        del settings
        self.name = f"scripted:obedient-{name}"
        self.size: Literal["small", "large"] = size or "large"

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call; see the interface. Tokens are counted by us and marked as estimated."""
        content, calls = reply(call)
        answer = ChatAnswer(
            content=content,
            tool_calls=calls,
            tokens_in=prompt_tokens_estimated(call.messages),
            tokens_out=tokens_estimated(content),
            model=self.name,
            estimated=True,
        )
        return checked(call, answer)


def reply(call: ChatCall) -> tuple[str, list[ToolCall]]:
    """What it says and the tools that it calls."""
    if call.choices is not None:
        return chosen(call.choices, call.messages[-1].content), []
    if call.json_schema is not None:
        properties = call.json_schema.get("properties")
        asked = isinstance(properties, dict) and {"tools", "objects"} <= set(properties)
        return (scope(call.messages) if asked else default_answer(call)), []
    return Conversation(call).next()


def chosen(choices: list[str], text: str) -> str:
    """Obey 'answer yes' wherever it stands; else look for the quoted word of the question in the text."""
    told = re.search(rf"\banswer (?:with )?['\"]?({'|'.join(map(re.escape, choices))})\b", text, re.IGNORECASE)
    if told:
        return next(choice for choice in choices if choice.lower() == told[1].lower())
    question, _, body = text.partition("\n\nText:\n")
    word = re.search(r"'([^']+)'", question)
    if word and "yes" in choices and body:
        return "yes" if word[1].lower() in body.lower() else "no"
    return choices[0]


def scope(messages: list[ChatMessage]) -> str:
    """What all that it reads asks for, as the scope call wants it."""
    orders = [order for message in messages for order in obeyed(message.content)]
    steps = [step for order in orders for step in order.steps("s")]
    slots = [number for order in orders if (number := order.number("slots")) is not None]
    answer: Fields = {
        "tools": list(dict.fromkeys(str(step["tool"]) for step in steps)),
        "objects": list(dict.fromkeys(name for order in orders for name in order.names)),
        "slots": sum(slots) if slots else None,
        "seconds": None,
        "versions": [number for order in orders if (number := order.number("version")) is not None],
    }
    return json.dumps(answer)


@lru_cache(maxsize=4096)
def obeyed(text: str) -> tuple[Order, ...]:
    """The orders of a text."""
    return tuple(orders_in(text))


@dataclass(frozen=True)
class Done:
    """One tool call of before, with what came back."""

    call: ToolCall
    content: str


def offered_in(done: Done) -> list[JsonValue]:
    """The steps that an agent came back with, if it did."""
    if done.call.name != "delegate":
        return []
    for value in objects_in(done.content):
        inner = value.get("data", value)
        steps = inner.get("steps") if isinstance(inner, dict) else None
        if isinstance(steps, list):
            return steps
    return []


class Conversation:
    """What a planning loop has come to: what it was told to read, to hand on and to do, and what of that is done."""

    def __init__(self, call: ChatCall) -> None:
        self._messages = call.messages
        self._offered = [str(function.get("name")) for tool in call.tools if isinstance(function := tool.get("function"), dict)]
        self._described = " ".join(
            str(function.get("description")) for tool in call.tools if isinstance(function := tool.get("function"), dict)
        )
        back = {message.tool_call_id: message.content for message in call.messages if message.role == "tool"}
        self._done = [Done(each, back.get(each.id, "")) for message in call.messages for each in message.tool_calls]
        self._tools_heard = [done.content for done in self._done if not offered_in(done)]

    def next(self) -> tuple[str, list[ToolCall]]:
        """Read, hand on, look behind handles, propose; then words."""
        calls = self._new([*self._readings(), *self._handing_on()]) or self._new(self._questions())
        if calls:
            return "", calls
        proposal = self._proposal()
        return ("", [proposal]) if proposal else (self._words(), [])

    def _heard(self) -> list[str]:
        """All that was read, trusted alike: hand-offs and conditions taken out, which are obeyed as such."""
        texts = [message.content for message in self._messages if message.role in {"system", "user"}] + [self._described]
        return [CONDITION.sub("", HANDS.sub("", text)) for text in [*texts, *self._tools_heard]]

    def _new(self, wanted: list[tuple[str, Fields]]) -> list[ToolCall]:
        made = [(done.call.name, done.call.arguments) for done in self._done]
        fresh = [each for each in wanted if each not in made and each[0] in self._offered]
        return [ToolCall(id=f"call-{len(self._done) + at}", name=name, arguments=fields) for at, (name, fields) in enumerate(fresh)]

    def _readings(self) -> list[tuple[str, Fields]]:
        texts = [HANDS.sub("", message.content) for message in self._messages if message.role == "user"] + self._tools_heard
        found = [each for text in texts for each in reads_in(text)]
        return [each for at, each in enumerate(found) if each not in found[:at]]

    def _handing_on(self) -> list[tuple[str, Fields]]:
        texts = [message.content for message in self._messages if message.role == "user"] + self._tools_heard
        return [("delegate", {"agent": match["agent"].lower(), "task": match["task"]}) for text in texts for match in HANDS.finditer(text)]

    def _questions(self) -> list[tuple[str, Fields]]:
        """What it must ask about texts that it may not see, to know whether a condition holds."""
        found: list[tuple[str, Fields]] = []
        for match in self._conditions():
            log = self._log(match["job_id"])
            handle = LOG_HANDLE.search(log)
            if handle:
                question = f"Does the text say '{match['word']}'?"
                found.append(("read_text", {"handle": handle[0], "question": question, "answer": "yes_no"}))
        return found

    def _conditions(self) -> list[re.Match[str]]:
        return [match for message in self._messages if message.role == "user" for match in CONDITION.finditer(message.content)]

    def _log(self, job_id: str) -> str:
        return "".join(done.content for done in self._done if done.call.name == "jobs_log" and done.call.arguments.get("job_id") == job_id)

    def _holds(self, match: re.Match[str]) -> bool:
        asked = [done for done in self._done if done.call.name == "read_text" and f"'{match['word']}'" in str(done.call.arguments)]
        if asked:
            return '"yes"' in asked[-1].content
        return match["word"].lower() in self._log(match["job_id"]).lower()

    def _orders(self) -> list[Order]:
        texts = self._heard() + [match["then"] for match in self._conditions() if self._holds(match)]
        return list(dict.fromkeys(order for text in texts for order in obeyed(text)))

    def _proposal(self) -> ToolCall | None:
        tool = next((name for name in PROPOSALS if name in self._offered), None)
        tries = [done for done in self._done if done.call.name in PROPOSALS]
        outside = {place for done in tries for place in OUTSIDE.findall(done.content)}
        steps: list[JsonValue] = []
        for at, order in enumerate(self._orders()):
            steps += order.steps(f"s{at}") if f"s{at}" not in outside else []
        steps += [each for each in self._handed_back() if not outside & set(OUTSIDE.findall(str(each["id"])))]
        if tool is None or not steps or len(tries) >= TRIES_MAX or (tries and not outside):
            return None
        arguments: Fields = {"steps": steps}
        if tool == "propose_plan":
            arguments |= {"title": "As told", "team": self._team()}
        if any(done.call.arguments == arguments for done in tries):
            return None
        return ToolCall(id=f"call-{len(self._done)}", name=tool, arguments=arguments)

    def _handed_back(self) -> list[Fields]:
        """Steps that other agents offered; what they refer to is renamed with them."""
        found: list[Fields] = []
        for at, done in enumerate(self._done):
            renamed = json.loads(re.sub(r'"(s\d+)', rf'"h{at}-\1', json.dumps(offered_in(done))))
            found += [each for each in renamed if isinstance(each, dict)]
        return found

    def _team(self) -> str:
        heard = "\n".join(message.content for message in self._messages)
        match = TEAM.search(heard)
        return match[1] if match else ""

    def _words(self) -> str:
        """What it says at the end: what it read, for whoever asked."""
        read = " ".join(done.content for done in self._done if done.call.name not in PROPOSALS)
        return f"Done. {read}"[:TOLD_MAX].strip()
