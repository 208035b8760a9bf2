"""Tools over studies: searches for the parameters with which a program does best."""

import asyncio
import time

from pydantic import Field

from factory_infra.errors import Conflict, LineshaftError, PostconditionFailed, Unavailable
from factory_infra.paas.training.studies.models import Study, StudyReport, StudySpec, StudyState
from factory_infra.paas.training.studies.service import check, study_id
from factory_infra.paas.training.studies.space import Scalar, combinations
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused, text_argument

POLL_SECONDS = 0.5
LIST_MAX = 200


class StartArguments(Arguments):
    """What is searched, on a lease that the team holds, or waits for: then it begins when the lease does."""

    study: StudySpec
    lease_id: str


class StudyIdArguments(Arguments):
    """Which study."""

    study_id: str


class WaitArguments(StudyIdArguments):
    """Which study, and for how long it is waited for at one time."""

    seconds_max: float = Field(default=480.0, gt=0, le=540, description="A plan waits again, for some hours; any other caller asks again.")


class ListArguments(Arguments):
    """Which studies."""

    name: str = ""
    open_only: bool = False
    limit: int = Field(default=50, ge=1, le=LIST_MAX)
    offset: int = Field(default=0, ge=0)


class StudyLine(Result):
    """A study as it stands."""

    study_id: str
    name: str
    state: str
    trials: dict[str, int] = Field(default={}, description="How many are in which state.")
    value: float | None = Field(default=None, description="The best one's.")
    parameters: dict[str, Scalar] = Field(default={}, description="The best one's.")
    run_id: str = Field(default="", description="The best one's run in MLflow, which can be registered where it left a model.")
    slot_hours: float = 0.0
    code: str = ""
    reason: str = ""
    passed: bool = Field(default=False, description="It ended, and found something.")


class StudyList(Result):
    """Studies, newest first."""

    studies: list[StudyLine]


def line(study: Study, report: StudyReport | None = None) -> StudyLine:
    """Shape a study for a reader."""
    best = report.best if report is not None else None
    return StudyLine(
        study_id=study.id,
        name=study.name,
        state=study.state.value,
        trials=report.trials if report is not None else {},
        value=study.best_value,
        parameters=best.parameters if best is not None else {},
        run_id=best.run_id if best is not None else "",
        slot_hours=report.slot_hours if report is not None else 0.0,
        code=study.code,
        reason=study.reason,
        passed=study.state in {StudyState.FINISHED, StudyState.STOPPED} and study.best_number is not None,
    )


async def start(context: ToolContext, arguments: StartArguments) -> StudyLine:
    """Start a search for the best parameters of a program: trials are jobs on the slots of a lease, the worst are ended early.

    It returns at once; wait for its end with studies.wait before the lease is given back.
    """
    study = await context.factory.studies.start(
        context.tenant, arguments.study, arguments.lease_id, context.key, by=context.actor, plan_id=context.plan_id
    )
    return line(study)


async def dry_run_start(context: ToolContext, raw: Raw) -> DryRun:
    """The program takes these parameters, and a lease that is named must be held or waited for."""
    try:
        spec = StartArguments.model_validate({"study": raw.get("study"), "lease_id": "-"}, strict=False).study
        check(spec)
        name = text_argument(raw, "lease_id")
        lease = await context.factory.leases.get(context.tenant, name) if name is not None else None
    except LineshaftError as error:
        return refused(error)
    if lease is not None and not lease.state.open:
        return refused(Conflict(f"Lease {lease.id} is {lease.state}.", remedy="Ask for a new one.", code="lease_ended"))
    bounds, total = spec.bounds, combinations(spec.space)
    trials = min(bounds.trials_max, total) if total is not None else bounds.trials_max
    return DryRun(
        reason=f"at most {trials} trials, {bounds.parallel} at one time, at most {bounds.seconds_max} s in all; "
        f"{spec.sampler} asks, {spec.pruner.kind} ends the worst early"
    )


async def price_start(context: ToolContext, raw: Raw) -> Price:
    """Nothing beyond the slots that it runs on."""
    return Price(currency=context.factory.metering.prices.currency, basis="paid by the lease that it runs on")


async def verify_start(context: ToolContext, arguments: StartArguments, result: StudyLine) -> None:
    """The study is there, on this lease."""
    found = await context.factory.studies.get(result.study_id, context.tenant)
    if found.lease_id != arguments.lease_id or found.id != study_id(context.tenant, context.key):
        raise PostconditionFailed(f"Study {found.id} runs on lease {found.lease_id}.")


async def undo_start(context: ToolContext, arguments: StartArguments, result: StudyLine) -> str:
    """End it, and its jobs before the lease goes."""
    found = await context.factory.studies.stop(result.study_id, context.tenant, "The plan was undone.")
    while not found.state.ended:
        await asyncio.sleep(POLL_SECONDS)
        found = await context.factory.studies.get(found.id, context.tenant)
    return f"study {found.id} is {found.state.value}; its runs stay in MLflow as a record"


async def wait(context: ToolContext, arguments: WaitArguments) -> StudyLine:
    """Wait for the end of a study and tell its best trial: parameters, value and run. What is not over in time is asked for again."""
    deadline = time.monotonic() + arguments.seconds_max
    while not (found := await context.factory.studies.get(arguments.study_id, context.tenant)).state.ended:
        if time.monotonic() > deadline:
            raise Unavailable(f"Study {found.id} is {found.state}.", remedy="Ask again.", code="study_running")
        await asyncio.sleep(POLL_SECONDS)
    report = await context.factory.studies.report(found.id, context.tenant)
    return line(report.study, report)


async def show(context: ToolContext, arguments: StudyIdArguments) -> StudyLine:
    """Show a study with its best trial and how many trials are in which state."""
    report = await context.factory.studies.report(arguments.study_id, context.tenant)
    return line(report.study, report)


async def list_studies(context: ToolContext, arguments: ListArguments) -> StudyList:
    """List the team's studies, newest first."""
    found = await context.factory.studies.list(
        context.tenant, name=arguments.name or None, open_only=arguments.open_only, limit=arguments.limit, offset=arguments.offset
    )
    return StudyList(studies=[line(each) for each in found])


async def stop(context: ToolContext, arguments: StudyIdArguments) -> StudyLine:
    """End a study: its jobs are ended, what it found stays."""
    return line(await context.factory.studies.stop(arguments.study_id, context.tenant, f"Ended by {context.actor}."))


async def dry_run_stop(context: ToolContext, raw: Raw) -> DryRun:
    """It has not ended."""
    name = text_argument(raw, "study_id")
    if name is None:
        return DryRun()
    try:
        found = await context.factory.studies.get(name, context.tenant)
    except LineshaftError as error:
        return refused(error)
    if found.state.ended:
        return refused(Conflict(f"Study {found.id} is {found.state}.", remedy="Nothing is left to end.", code="study_ended"))
    return DryRun(reason=f"ends the jobs of study {found.name}; its best value so far is {found.best_value}")


async def verify_stop(context: ToolContext, arguments: StudyIdArguments, result: StudyLine) -> None:
    """It asks for no trial any more."""
    found = await context.factory.studies.get(arguments.study_id, context.tenant)
    if found.state is StudyState.RUNNING:
        raise PostconditionFailed(f"Study {found.id} still runs.")


TOOLS = (
    Tool("studies.list", Effect.READ, ListArguments, StudyList, list_studies),
    Tool("studies.show", Effect.READ, StudyIdArguments, StudyLine, show),
    Tool("studies.wait", Effect.READ, WaitArguments, StudyLine, wait),
    Tool(
        "studies.start",
        Effect.COSTLY,
        StartArguments,
        StudyLine,
        start,
        dry_run_start,
        price_start,
        verify_start,
        undo_start,
        undo_words="end the study and its jobs; its runs stay in MLflow as a record",
        postcondition="the study is there, on this lease",
    ),
    Tool(
        "studies.stop",
        Effect.DESTRUCTIVE,
        StudyIdArguments,
        StudyLine,
        stop,
        dry_run_stop,
        None,
        verify_stop,
        undo_words="cannot be undone: start it again",
        postcondition="the study asks for no trial any more",
    ),
)
