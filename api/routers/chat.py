"""Threads: open, say, listen."""

import uuid
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

from api.deps import House, HouseDep, PageDep, PrincipalDep, UserDep, scope
from api.projects import project_of
from api.schemas.chat import NewMessage, NewThread
from api.stream import event_stream
from factory_infra.database import utcnow
from factory_infra.errors import TooLarge
from factory_infra.paas.tenants.models import Principal
from factory_infra.records.models import Event, Thread
from workflows.definitions.thread import ThreadWorkflow
from workflows.messages import Accepted, ThreadInput, UserMessage, Who

router = APIRouter(prefix="/v1/threads", tags=["chat"])


def who(asker: Principal) -> Who:
    """The principal as workflows know it."""
    return Who(actor=asker.actor, role=asker.role.value, tenant=asker.tenant, project=asker.project)


@router.post("", status_code=201)
async def open_thread(body: NewThread, asker: UserDep, held: HouseDep) -> Thread:
    """Open a conversation."""
    tenant = scope(asker, body.tenant)
    if tenant is not None:
        await held.factory.tenants.get(tenant)
    name, project = f"thread-{uuid.uuid4().hex[:16]}", await project_of(asker, tenant, body.project, held)
    thread = Thread(id=name, tenant=tenant, project=project, created_by=asker.actor, title="", created_at=utcnow())
    await held.factory.records.create_thread(thread)
    return thread


@router.get("")
async def list_threads(asker: PrincipalDep, held: HouseDep, page: PageDep) -> list[Thread]:
    """List conversations, newest first."""
    return await held.factory.records.threads(asker.tenant, page.limit, page.offset)


@router.get("/{thread_id}")
async def get_thread(thread_id: str, asker: PrincipalDep, held: HouseDep) -> Thread:
    """Show a conversation."""
    return await held.factory.records.thread(thread_id, asker.tenant)


@router.post("/{thread_id}/messages", status_code=202)
async def send_message(thread_id: str, body: NewMessage, asker: UserDep, held: HouseDep) -> Accepted:
    """Say something. It is kept at once and worked on in its turn; listen to the thread's events for what comes of it."""
    longest = held.factory.settings.message_characters_max
    if len(body.text) > longest:
        raise TooLarge(f"The message has {len(body.text)} characters; {longest} are taken.", remedy="Say it shorter.")
    thread = await held.factory.records.thread(thread_id, asker.tenant)
    asks_for = who(asker)
    if thread.tenant is not None:
        asks_for.tenant = thread.tenant
    asks_for.project = await project_of(asker, asks_for.tenant, thread.project, held)
    message = UserMessage(id=body.message_id or uuid.uuid4().hex, text=body.text, who=asks_for)
    return await deliver(held, thread, message)


async def deliver(held: House, thread: Thread, message: UserMessage) -> Accepted:
    """Send an update to the thread's workflow, which starts with its first message; the update's id is the message's."""
    start = WithStartWorkflowOperation(
        ThreadWorkflow.run,
        ThreadInput(thread_id=thread.id, tenant=thread.tenant),
        id=thread.id,
        task_queue=held.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary="chat thread",
    )
    return await held.temporal.execute_update_with_start_workflow(
        ThreadWorkflow.send, message, id=message.id, start_workflow_operation=start
    )


def position(after: Annotated[int, Query(ge=0)] = 0, last_event_id: Annotated[int | None, Header(ge=0)] = None) -> int:
    """After which event to begin: the header of a resumed stream wins."""
    return last_event_id if last_event_id is not None else after


@router.get("/{thread_id}/events", response_model=list[Event])
async def read_events(
    request: Request, thread_id: str, asker: PrincipalDep, held: HouseDep, start: Annotated[int, Depends(position)]
) -> list[Event] | StreamingResponse:
    """Read what happened after an event: as a stream of server-sent events where the client accepts it, else as one page of JSON.

    A stream that broke is resumed with `Last-Event-ID`: nothing is lost or repeated.
    """
    records = held.factory.records
    await records.thread(thread_id, asker.tenant)
    if "text/event-stream" in request.headers.get("accept", ""):
        stream = event_stream(request, records, thread_id, start, partial(held.factory.tenants.principal_of, asker.key_id))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    return await records.read_events(thread_id, start)
