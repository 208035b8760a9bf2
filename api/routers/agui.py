"""AG-UI: the chat as existing front ends speak it."""

import hashlib
import re
from functools import partial
from typing import Annotated

from ag_ui.core import ResumeEntry, RunAgentInput, TextPart, UserMessage
from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from api.agui import BEFORE, Asked, Fold, Position, agui_stream
from api.deps import House, HouseDep, UserDep
from api.routers import chat, plans
from factory_infra.database import utcnow
from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound, TooLarge
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.records.models import Thread
from workflows.messages import Decision
from workflows.messages import UserMessage as Said

router = APIRouter(prefix="/v1/agui", tags=["chat"])
MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ANSWERED = re.compile(r"(?P<plan>[A-Za-z0-9_-]{1,64}):(?P<digest>[0-9a-f]{64})")


@router.post("", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def run_agent(
    request: Request, body: RunAgentInput, asker: UserDep, held: HouseDep, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Run one message, or the answer to an approval, and stream what comes of it as AG-UI events.

    The same request sent again does nothing twice; with `Last-Event-ID` its stream goes on where it broke, without loss or repeat.
    """
    after = resumed_from(last_event_id)
    if body.resume:
        asked = await answer(body, body.resume, asker, held)
    else:
        asked = await say(body, asker, held)
    allowed = partial(held.factory.tenants.principal_of, asker.key_id)
    stream = agui_stream(request, held.factory.records, Fold(asked), after, allowed)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def resumed_from(last_event_id: str | None) -> Position:
    """The position that a header names. Raises InvalidInput."""
    if last_event_id is None:
        return BEFORE
    number, dash, place = last_event_id.partition("-")
    if not (dash and number.isdecimal() and place.isdecimal() and len(last_event_id) < 40):
        raise InvalidInput("Last-Event-ID is none of this stream.", remedy="Send the last id that was received, or none.")
    return int(number), int(place)


async def own_thread(client_id: str, asker: Principal, held: House) -> Thread:
    """The thread of that id, or one that stands for it: a front end chooses ids itself, and another team's must look like a new one."""
    records = held.factory.records
    mine = hashlib.sha256(f"{asker.tenant or ''}\0{client_id}".encode()).hexdigest()[:16]
    for known in (client_id, f"thread-{mine}"):
        try:
            return await records.thread(known, asker.tenant)
        except NotFound:
            continue
    thread = Thread(id=f"thread-{mine}", tenant=asker.tenant, created_by=asker.actor, title="", created_at=utcnow())
    await records.create_thread(thread)
    return await records.thread(thread.id, asker.tenant)


async def say(body: RunAgentInput, asker: Principal, held: House) -> Asked:
    """Deliver the last message of the user; the same id again is the same message."""
    messages = [message for message in body.messages if isinstance(message, UserMessage)]
    if not messages:
        raise InvalidInput("There is no message of a user.", remedy="Send one, or answer an interrupt with 'resume'.")
    text, longest = text_of(messages[-1]), held.factory.settings.message_characters_max
    if len(text) > longest:
        raise TooLarge(f"The message has {len(text)} characters; {longest} are taken.", remedy="Say it shorter.")
    thread = await own_thread(body.thread_id, asker, held)
    asks_for = chat.who(asker)
    asks_for.tenant = thread.tenant if thread.tenant is not None else asks_for.tenant
    given = messages[-1].id
    message_id = given if MESSAGE_ID.fullmatch(given) else hashlib.sha256(given.encode()).hexdigest()
    await chat.deliver(held, thread, Said(id=message_id, text=text, who=asks_for))
    return Asked(thread_id=body.thread_id, run_id=body.run_id, kept_in=thread.id, message_id=message_id, actor=asker.actor)


def text_of(message: UserMessage) -> str:
    """A message's words. Raises InvalidInput for pictures and the like."""
    parts = [TextPart(text=message.content)] if isinstance(message.content, str) else message.content
    words = [part.text for part in parts if isinstance(part, TextPart)]
    text = "\n".join(words).strip()
    if len(words) != len(parts) or not text or "\0" in text:
        raise InvalidInput("The message is not made of words.", remedy="Send text.")
    return text


async def answer(body: RunAgentInput, answers: list[ResumeEntry], asker: Principal, held: House) -> Asked:
    """Hand a person's word to the plan's workflow, once; what was decided by somebody else meanwhile stays decided."""
    named = ANSWERED.fullmatch(answers[0].interrupt_id) if len(answers) == 1 else None
    if named is None:
        raise InvalidInput("The answer names no approval.", remedy="Send one answer, with the interrupt's own id.")
    record = await held.factory.records.plan(named["plan"], asker.tenant)
    if not asker.role.reaches(Role.APPROVER):
        raise Forbidden(f"This needs the role approver; the key has {asker.role}.", remedy="Use a key with the role approver.")
    said = answers[0].payload if isinstance(answers[0].payload, dict) else {}
    approve = answers[0].status == "resolved" and said.get("approved") is True
    decision = Decision(approve=approve, digest=named["digest"], who=chat.who(asker), reason=str(said.get("reason") or "")[:500])
    given = {(each.actor, each.digest): each.approve for each in await held.factory.approvals.of_plan(record.id)}
    before = given.get((asker.actor, decision.digest))
    if before is None:
        await plans.decide(record.id, asker, held, decision)
    elif before is not approve:
        raise Conflict("You decided otherwise before.", remedy="Read the plan's present state.")
    where, digest = record.thread_id, decision.digest
    return Asked(thread_id=body.thread_id, run_id=body.run_id, kept_in=where, plan_id=record.id, digest=digest, actor=asker.actor)
