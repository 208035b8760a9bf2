"""The worker: composition root of the process that runs workflows and activities."""

import asyncio
import gc
import os
import signal
from datetime import timedelta

import structlog
import uvloop
from sqlalchemy.exc import OperationalError
from temporalio.client import Client
from temporalio.worker import Worker

from agents.graph import dispatch, dispatch_graph
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory, connect
from factory_infra.iaas.leases.upkeep import Upkeep
from factory_infra.logs import configure
from factory_infra.saas.metering.checks import check_books, forget_windows
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.settings import Settings
from factory_infra.surfaces.schedule import audit_walls
from workflows import graphs
from workflows.activities.access import AccessActivities
from workflows.activities.audit import AuditActivities
from workflows.activities.drift import DriftActivities
from workflows.activities.jobs import JobActivities
from workflows.activities.lessons import LessonActivities
from workflows.activities.planning import PlanningActivities
from workflows.activities.policy import PolicyActivities
from workflows.activities.reconcile import ReconcileActivities
from workflows.activities.records import RecordActivities
from workflows.activities.revising import RevisingActivities
from workflows.activities.steps import StepActivities
from workflows.cataloguing import watch_access, watch_catalog
from workflows.definitions.access import AccessWorkflow
from workflows.definitions.drift import DriftWorkflow
from workflows.definitions.job import JobWorkflow
from workflows.definitions.lesson import LessonWorkflow
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.reconcile import ReconcileWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.definitions.undo import UndoWorkflow
from workflows.interruptions import watch as watch_interruptions
from workflows.kpis import watch as watch_kpis
from workflows.looking import watch_costs
from workflows.names import TASK_QUEUE
from workflows.pipeline_starting import pipeline_activities
from workflows.pipeline_starting import watch as watch_pipelines
from workflows.proposal import Starter
from workflows.queueing import keep_queue
from workflows.repair import watch as watch_nodes
from workflows.rollouts import watch as watch_rollouts
from workflows.sandbox import sandbox
from workflows.schedules import ensure_drift, ensure_reconciling
from workflows.seed import seed
from workflows.studies import watch as watch_studies
from workflows.temporal import connect_temporal

BEAT_SECONDS = 2.0
BOOKS_SECONDS = 30.0
AUDIT_SECONDS = 3600.0
"""It reads the whole ledger, so it is done seldom; `GET /v1/books` does it now."""
WORKFLOWS = (
    *(ThreadWorkflow, PlanWorkflow, JobWorkflow, UndoWorkflow, LessonWorkflow, ReconcileWorkflow, DriftWorkflow, AccessWorkflow),
    *(PipelineWorkflow, PipelineFiringWorkflow),
)
log = structlog.get_logger("worker")


def build_worker(client: Client, factory: Factory, task_queue: str = TASK_QUEUE) -> Worker:
    """Register graphs, workflows and activities."""
    dispatch_graph()  # compiled now: the first turn must not spend its workflow task on it
    graphs.register("dispatch", dispatch)
    planner = PlaybookPlanner(load_playbooks(), factory.embeddings)
    steps, jobs, records = StepActivities(factory), JobActivities(factory), RecordActivities(factory)
    planning = PlanningActivities(factory, planner)
    lessons = LessonActivities(factory, planner, planning.facts)
    reconciling = ReconcileActivities(factory)
    access = AccessActivities(factory)
    drift = DriftActivities(Starter(factory, client, task_queue))
    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(WORKFLOWS),
        activities=[
            steps.foresee,
            steps.run,
            steps.verify,
            steps.undo,
            steps.call,
            RevisingActivities(factory).revise,
            jobs.run,
            jobs.cancel,
            planning.read_situation,
            planning.rank,
            planning.settle,
            planning.ask_model,
            lessons.propose,
            lessons.evaluate,
            lessons.settle,
            PolicyActivities(factory).judge_plan,
            records.write_events,
            records.save_plan,
            records.move_plan,
            records.save_approval,
            records.report_plan,
            AuditActivities(factory).audit,
            reconciling.pools,
            reconciling.reconcile,
            drift.due,
            drift.check,
            drift.answer,
            access.open,
            access.move,
            access.remind,
            *pipeline_activities(Starter(factory, client, task_queue)),
        ],
        workflow_runner=sandbox(),
        max_cached_workflows=factory.settings.worker_max_cached_workflows,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        graceful_shutdown_timeout=timedelta(seconds=2),
    )


async def tell_alive(settings: Settings) -> None:
    """Write the file by which the stack sees that this worker lives."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    path = settings.run_dir / "worker.ready"
    partial = path.with_suffix(".partial")
    while True:
        partial.write_text(f"{os.getpid()}\n")
        partial.replace(path)
        await asyncio.sleep(BEAT_SECONDS)


async def warm_model(factory: Factory) -> None:
    """Have a small model read the planner's fixed prompt once, in the background, so that the first request does not wait for it."""
    model, question = factory.chat_model, PlaybookPlanner(load_playbooks()).first_question()
    if model is None or model.size != "small":
        return
    messages = [ChatMessage(role="system", content=question.system), ChatMessage(role="user", content=question.user)]
    try:
        await model.answer(ChatCall(messages=messages, choices=question.choices, tokens_max=8))
    except LineshaftError as error:
        log.warning("model not warmed", code=error.error_code)


async def keep_books(factory: Factory) -> None:
    """Tend the leases and compare the inventory with the ledger now and then: what ran out is ended and settled, strays are told."""
    upkeep = Upkeep(factory.database, factory.pools, factory.leases, factory.jobs)
    while True:
        try:
            tended = await upkeep.tend()
            if tended.anything:
                log.warning("leases tended", **tended.model_dump())
            found = await factory.metering.reconcile()
        except (LineshaftError, OperationalError) as error:
            log.warning("books not compared", error=type(error).__name__)
        else:
            if not found.equal or found.settled_late:
                log.warning("books", **found.model_dump())
        await asyncio.sleep(BOOKS_SECONDS)


async def audit_books(factory: Factory) -> None:
    """Compare every derived number of the ledger with its entries once an hour, and forget what need not be kept any more."""
    while True:
        await asyncio.sleep(AUDIT_SECONDS)
        try:
            found = await check_books(factory.database)
            await factory.transcripts.expire()
            await forget_windows(factory.database)
        except OperationalError as error:
            log.warning("ledger not checked", error=type(error).__name__)
        else:
            if not found.equal:
                log.error("the ledger's sums differ from its entries", **found.model_dump(mode="json"))


def spare_collector() -> None:
    """Take what start-up made out of the garbage collector's sight: going over it again and again costs each step a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    factory = connect(settings)
    client = await connect_temporal(settings)
    await seed(factory)
    await ensure_reconciling(client)
    await ensure_drift(client)
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    worker = build_worker(client, factory)
    spare_collector()
    async with worker:
        beside = [
            asyncio.create_task(warm_model(factory)),
            asyncio.create_task(tell_alive(settings)),
            asyncio.create_task(keep_books(factory)),
            asyncio.create_task(keep_queue(factory)),
            asyncio.create_task(audit_books(factory)),
            asyncio.create_task(audit_walls(factory)),
            asyncio.create_task(watch_interruptions(factory)),
            asyncio.create_task(watch_nodes(Starter(factory, client))),
            asyncio.create_task(watch_rollouts(factory)),
            asyncio.create_task(watch_costs(factory)),
            asyncio.create_task(watch_kpis(factory, client)),
            asyncio.create_task(watch_catalog(factory)),
            asyncio.create_task(watch_access(Starter(factory, client))),
            asyncio.create_task(watch_studies(factory)),
            asyncio.create_task(watch_pipelines(Starter(factory, client))),
        ]
        log.info("worker ready", task_queue=TASK_QUEUE, model=settings.model)
        await stop.wait()
        for task in beside:
            task.cancel()
    await factory.close()


if __name__ == "__main__":
    configure()
    uvloop.run(serve(Settings()))  # its loop passes work between Temporal's core and Python in less time
