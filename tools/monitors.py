"""What the tools over drift monitors take and give, and how they are foreseen, checked and undone."""

from pydantic import Field, JsonValue, ValidationError

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, LineshaftError, NotFound, PostconditionFailed
from factory_infra.paas.features.drift_models import MonitorSpec, Past
from tools.plan import DryRun
from tools.spec import Arguments, Raw, Result, ToolContext, reference, refused, text_argument

LINES_MAX = 200


class MonitorArguments(Arguments):
    """What is watched for drift, compared with what, how often; what follows is set by the API or the command line."""

    name: str
    view: str = ""
    endpoint: str = ""
    features: list[str] = Field(default=[], max_length=500)
    set_id: str = Field(default="", description="The training set that the present is compared with.")
    window_seconds: int = Field(ge=60)
    every_seconds: int = Field(default=3600, ge=10)

    def spec(self) -> MonitorSpec:
        """As the factory takes it. Raises InvalidInput."""
        wanted = {
            **self.model_dump(include={"name", "window_seconds", "every_seconds", "features"}),
            "view": self.view or None,
            "endpoint": self.endpoint or None,
            "past": {"set_id": self.set_id},
        }
        try:
            return MonitorSpec.model_validate(wanted)
        except ValidationError as error:
            raise invalid("monitor", error) from error


class MonitorLine(Result):
    """A monitor as it stands."""

    monitor: str
    watches: str
    revision: int
    verdict: str
    checked_at: str
    alert_id: str = ""
    before: dict[str, JsonValue] = Field(default={}, description="What it was before this.")


class NameArguments(Arguments):
    """Which monitor."""

    monitor: str


class RebaseArguments(Arguments):
    """Which monitor is compared with which training set from now on."""

    monitor: str
    set_id: str


def invalid(what: str, error: ValidationError) -> InvalidInput:
    """Say what of a definition cannot be."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or what
    return InvalidInput(f"The {what} cannot be so: {field}: {first['msg']}.", remedy="Correct it and plan again.")


def spec_of(monitor: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What of a monitor is its definition."""
    return {name: value for name, value in monitor.items() if name in MonitorSpec.model_fields}


async def monitor_line(context: ToolContext, name: str) -> MonitorLine:
    """Shape a monitor for a reader."""
    monitor = await context.factory.drift.book.get(context.tenant, name)
    alerts = await context.factory.drift.book.alerts(context.tenant, limit=LINES_MAX)
    return MonitorLine(
        monitor=monitor.name,
        watches=monitor.view or f"predictions of {monitor.endpoint}",
        revision=monitor.revision,
        verdict=monitor.verdict or "not checked yet",
        checked_at=monitor.checked_at.isoformat() if monitor.checked_at else "",
        alert_id=next((each.id for each in alerts if each.monitor == name), ""),
    )


async def dry_run_watch(context: ToolContext, raw: Raw) -> DryRun:
    """What is watched must be there."""
    try:
        arguments = MonitorArguments.model_validate(dict(raw))
        await context.factory.drift.compared(arguments.spec(), utcnow(), context.tenant)
    except ValidationError as error:
        return refused(invalid("monitor", error))
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"compared every {arguments.every_seconds} s")


async def verify_watch(context: ToolContext, arguments: MonitorArguments, result: MonitorLine) -> None:
    """The monitor is there."""
    await context.factory.drift.book.get(context.tenant, arguments.name)


async def undo_watch(context: ToolContext, arguments: MonitorArguments, result: MonitorLine) -> str:
    """Watch as before, or no more."""
    if result.before:
        now = await context.factory.drift.book.get(context.tenant, arguments.name)
        await context.factory.drift.define(context.tenant, MonitorSpec.model_validate(result.before), context.actor, now.revision)
        return f"monitor {arguments.name} is as it was"
    await context.factory.drift.book.remove(context.tenant, arguments.name)
    return f"monitor {arguments.name} removed"


async def dry_run_rebase(context: ToolContext, raw: Raw) -> DryRun:
    """The monitor must be there, and the set if it is named."""
    try:
        monitor = await context.factory.drift.book.get(context.tenant, text_argument(raw, "monitor") or "")
        if reference(raw.get("set_id")) is None:
            await context.factory.training_sets.get(context.tenant, text_argument(raw, "set_id") or "")
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"{monitor.name} was compared with {monitor.past.set_id or 'a window of the past'}")


async def verify_rebase(context: ToolContext, arguments: RebaseArguments, result: MonitorLine) -> None:
    """The monitor is compared with the set, and nothing is open."""
    monitor = await context.factory.drift.book.get(context.tenant, arguments.monitor)
    if monitor.past.set_id != arguments.set_id:
        raise PostconditionFailed(f"Monitor {monitor.name} is compared with {monitor.past.set_id or 'a window'}.")


async def undo_rebase(context: ToolContext, arguments: RebaseArguments, result: MonitorLine) -> str:
    """Compare with what it was compared with before."""
    past = Past.model_validate(result.before)
    await context.factory.drift.book.rebase(context.tenant, arguments.monitor, past, "Compared with the past of before again.")
    return f"monitor {arguments.monitor} is compared with {past.set_id or 'a window of the past'} again"


async def dry_run_unwatch(context: ToolContext, raw: Raw) -> DryRun:
    """The monitor must be there."""
    try:
        monitor = await context.factory.drift.book.get(context.tenant, text_argument(raw, "monitor") or "")
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"watches {monitor.view or monitor.endpoint}; its checks are kept")


async def verify_unwatch(context: ToolContext, arguments: NameArguments, result: MonitorLine) -> None:
    """No monitor has the name."""
    try:
        await context.factory.drift.book.get(context.tenant, arguments.monitor)
    except NotFound:
        return
    raise PostconditionFailed(f"Monitor {arguments.monitor} still watches.")


async def undo_unwatch(context: ToolContext, arguments: NameArguments, result: MonitorLine) -> str:
    """Watch again as before."""
    await context.factory.drift.book.define(context.tenant, MonitorSpec.model_validate(result.before), context.actor)
    return f"monitor {arguments.monitor} watches again"
