"""Keeps the catalog: the index follows each change within a second, requests are followed, and what ships is listed."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from factory_infra.notices import Notices
from factory_infra.paas.catalog.access_models import AccessRequest, AccessState
from factory_infra.paas.catalog.service import CHANNEL
from workflows.access import AccessInput
from workflows.definitions.access import AccessWorkflow
from workflows.proposal import Starter

LOOK_SECONDS = 2.0
"""Without news; with them it is at once."""
SETTLE_SECONDS = 0.05
"""Changes that come together are indexed together."""
FOLLOW_SECONDS = 30.0
OPEN_MAX = 500
log = structlog.get_logger("catalog")


async def watch_catalog(factory: Factory) -> None:
    """Bring the index up to the catalog whenever something changes, for ever."""
    changed = asyncio.Event()
    notices = Notices(factory.database.engine.url.render_as_string(hide_password=False))
    notices.on(CHANNEL, lambda _: changed.set())
    await notices.start()
    try:
        await reworded(factory)
        while True:
            changed.clear()
            await follow_catalog(factory)
            try:
                await asyncio.wait_for(changed.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue
            await asyncio.sleep(SETTLE_SECONDS)
    finally:
        await notices.close()


async def reworded(factory: Factory) -> None:
    """Give words to what an older version listed; where the database is away, the next start does."""
    try:
        if count := await factory.catalog.reword():
            log.info("entries of an older version are found by words now", entries=count)
    except SQLAlchemyError as error:
        log.warning("entries not given words", error=type(error).__name__)


async def watch_access(starter: Starter) -> None:
    """See now and then that every open request has its workflow, for ever."""
    while True:
        await follow_open(starter)
        await asyncio.sleep(FOLLOW_SECONDS)


async def follow_catalog(factory: Factory) -> int:
    """Bring the index up to the catalog; what cannot be now is tried at the next look. Returns how many entries were behind."""
    try:
        return await factory.catalog_index.sync()
    except (LineshaftError, SQLAlchemyError) as error:
        log.warning("index not brought up", error=error.error_code if isinstance(error, LineshaftError) else type(error).__name__)
        return 0


async def follow_open(starter: Starter) -> None:
    """Have a workflow for every request that is open: a tool makes one, or Temporal was away when it was asked."""
    try:
        for state in (AccessState.ASKED, AccessState.GRANTED):
            for request in await starter.factory.access.list(None, state=state, limit=OPEN_MAX):
                await follow(starter, request)
    except (SQLAlchemyError, RPCError) as error:
        log.warning("requests not followed", error=type(error).__name__)


async def follow(starter: Starter, request: AccessRequest) -> None:
    """See to it that a workflow follows a request; one that does already goes on. Raises RPCError where Temporal is away."""
    left = max(timedelta(seconds=1), request.decide_by - utcnow())
    try:
        await starter.temporal.start_workflow(
            AccessWorkflow.run,
            AccessInput(request_id=request.id, decide_seconds=left.total_seconds()),
            id=request.id,
            task_queue=starter.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"access to {request.entry_id}"[:200],
        )
    except WorkflowAlreadyStartedError:
        return
