"""Tools over features: define, read, join into training sets, and watch for drift."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError, NotFound, PostconditionFailed
from factory_infra.paas.features.models import FeatureView, Spine, StoredView, TrainingSetSpec
from factory_infra.paas.features.rows import checked_view
from tools.monitors import (
    LINES_MAX,
    MonitorArguments,
    MonitorLine,
    NameArguments,
    RebaseArguments,
    dry_run_rebase,
    dry_run_unwatch,
    dry_run_watch,
    invalid,
    monitor_line,
    spec_of,
    undo_rebase,
    undo_unwatch,
    undo_watch,
    verify_rebase,
    verify_unwatch,
    verify_watch,
)
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused


class KeyArgument(Arguments):
    """What names an entity."""

    name: str
    kind: Literal["int", "text"] = "text"


class FeatureArgument(Arguments):
    """One value that is known of an entity."""

    name: str
    kind: Literal["int", "float", "text", "flag", "vector"] = "float"
    dimensions: int | None = None


class DefineArguments(Arguments):
    """A feature view: its keys, its features, and the column that says since when a row is true."""

    name: str
    keys: list[KeyArgument]
    features: list[FeatureArgument] = Field(max_length=500)
    timestamp: str = ""
    ttl_seconds: int | None = None
    description: str = ""

    def view(self) -> FeatureView:
        """As the factory takes it. Raises InvalidInput."""
        try:
            return checked_view(FeatureView.model_validate(self.model_dump()))
        except ValidationError as error:
            raise invalid("feature view", error) from error


class ViewLine(Result):
    """A version of a view."""

    view: str
    version: int
    keys: list[str]
    features: list[str]
    ttl_seconds: int | None
    provider: str
    created: bool = False


def view_line(view: StoredView, *, created: bool = False) -> ViewLine:
    """Shape a view for a reader."""
    return ViewLine(
        view=view.name,
        version=view.version,
        keys=[key.name for key in view.keys],
        features=[each.name for each in view.features],
        ttl_seconds=view.ttl_seconds,
        provider=view.provider,
        created=created,
    )


async def define(context: ToolContext, arguments: DefineArguments) -> ViewLine:
    """Define a feature view; an equal definition is the version that is there, another one becomes the next version."""
    view = arguments.view()
    before = await newest(context, view.name)
    kept = await context.factory.features.define(context.tenant, view, context.actor)
    return view_line(kept, created=before != kept.version)


async def newest(context: ToolContext, name: str) -> int:
    """The newest version in use; 0 where there is none."""
    try:
        return (await context.factory.features.get(context.tenant, name)).version
    except NotFound:
        return 0


async def dry_run_define(context: ToolContext, raw: Raw) -> DryRun:
    """The definition must be one; tell which version it becomes."""
    try:
        view = DefineArguments.model_validate(dict(raw)).view()
    except ValidationError as error:
        return refused(invalid("feature view", error))
    except LineshaftError as error:
        return refused(error)
    version = await newest(context, view.name)
    same = version and (await context.factory.features.get(context.tenant, view.name)).digest() == view.digest()
    return DryRun(reason=f"is version {version} already" if same else f"becomes version {version + 1} of {view.name}, without rows")


async def verify_define(context: ToolContext, arguments: DefineArguments, result: ViewLine) -> None:
    """The version is there with this definition."""
    kept = await context.factory.features.get(context.tenant, result.view, result.version)
    if kept.digest() != arguments.view().digest() or kept.retired_at is not None:
        raise PostconditionFailed(f"Feature view {kept.title} is another definition, or retired.")


async def undo_define(context: ToolContext, arguments: DefineArguments, result: ViewLine) -> str:
    """Retire the version if it was made by this."""
    if not result.created:
        return f"{result.view}@{result.version} was there before and stays"
    await context.factory.features.retire(context.tenant, result.view, result.version)
    return f"{result.view}@{result.version} retired"


class ListArguments(Arguments):
    """Nothing is asked."""


class ViewList(Result):
    """Views with their newest versions."""

    views: list[ViewLine]


async def list_views(context: ToolContext, arguments: ListArguments) -> ViewList:
    """List the team's feature views with their keys and features."""
    return ViewList(views=[view_line(each) for each in await context.factory.features.views.list(context.tenant, limit=LINES_MAX)])


class ReadArguments(Arguments):
    """Of which view, about whom."""

    view: str
    entities: list[dict[str, JsonValue]] = Field(min_length=1, max_length=100, description="The values of the view's keys, by name.")


class Readings(Result):
    """The newest that is known of each, in the order asked for."""

    view: str
    rows: list[dict[str, JsonValue]]


async def read(context: ToolContext, arguments: ReadArguments) -> Readings:
    """Read the newest features of some entities, as a model in service would get them now."""
    view = await context.factory.features.get(context.tenant, arguments.view)
    rows = await context.factory.features.read(view, arguments.entities)
    return Readings(view=view.title, rows=[row.model_dump(mode="json") for row in rows])


class SetArguments(Arguments):
    """Which features of whom, as they were known when."""

    features: list[str] = Field(min_length=1, max_length=500, description="VIEW for all of a view, or VIEW:FEATURE.")
    spine: str = Field(description="The view whose events are the rows, most often that of the labels.")
    label: str = Field(default="", description="VIEW:FEATURE of the spine that a model is to name.")
    seconds: int = Field(default=0, ge=0, description="Only events of the last so many seconds; 0 for all.")

    def spec(self, now: datetime) -> TrainingSetSpec:
        """As the factory takes it. Raises InvalidInput."""
        start = now - timedelta(seconds=self.seconds) if self.seconds else None
        try:
            spine = Spine(view=self.spine, start=start, end=now)
            return TrainingSetSpec(features=tuple(self.features), spine=spine, label=self.label or None)
        except ValidationError as error:
            raise invalid("training set", error) from error


class SetLine(Result):
    """A training set."""

    set_id: str
    dataset: str
    digest: str
    rows: int
    features: list[str]
    complete: float


async def training_set(context: ToolContext, arguments: SetArguments) -> SetLine:
    """Join features into a training set, each row as it was known at its moment, kept under the digest of its rows."""
    # The window is fixed by the first attempt: a later one under the same key is given the set that was made.
    sets = context.factory.training_sets
    made = await sets.of_key(context.tenant, context.key)
    made = made or await sets.make(context.tenant, arguments.spec(utcnow()), context.key, context.actor)
    return SetLine(set_id=made.id, dataset=made.dataset, digest=made.digest, rows=made.rows, features=made.features, complete=made.complete)


async def dry_run_set(context: ToolContext, raw: Raw) -> DryRun:
    """The views and features must be there."""
    try:
        arguments = SetArguments.model_validate(dict(raw))
        await context.factory.training_sets.foresee(context.tenant, arguments.spec(utcnow()))
    except ValidationError as error:
        return refused(invalid("training set", error))
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"joined from {', '.join(arguments.features[:5])} for the events of {arguments.spine}")


async def verify_set(context: ToolContext, arguments: SetArguments, result: SetLine) -> None:
    """The set is there with this digest."""
    if (await context.factory.training_sets.get(context.tenant, result.set_id)).digest != result.digest:
        raise PostconditionFailed(f"Training set {result.set_id} holds other rows.")


async def watch(context: ToolContext, arguments: MonitorArguments) -> MonitorLine:
    """Watch a feature view or an endpoint's predictions for drift, on a schedule; drift is told as an event."""
    book, before = context.factory.drift.book, None
    try:
        before = await book.get(context.tenant, arguments.name)
    except NotFound:
        before = None
    kept = await context.factory.drift.define(context.tenant, arguments.spec(), context.actor, before.revision if before else None)
    changed = before is not None and before.revision != kept.revision
    line = await monitor_line(context, kept.name)
    return line.model_copy(update={"before": spec_of(before.model_dump(mode="json")) if before and changed else {}})


class MonitorList(Result):
    """Monitors with their verdicts."""

    monitors: list[MonitorLine]


async def list_monitors(context: ToolContext, arguments: ListArguments) -> MonitorList:
    """List what the team watches for drift, with the last verdict of each and its open alert."""
    names = [each.name for each in await context.factory.drift.book.list(context.tenant, limit=LINES_MAX)]
    return MonitorList(monitors=[await monitor_line(context, name) for name in names])


class DriftFound(Result):
    """What a comparison finds now."""

    monitor: str
    verdict: str
    reason: str
    rows_before: int
    rows_now: int
    features: list[dict[str, JsonValue]]


async def check(context: ToolContext, arguments: NameArguments) -> DriftFound:
    """Compare what a monitor watches with its past now; nothing is kept and nobody is told."""
    monitor = await context.factory.drift.book.get(context.tenant, arguments.monitor)
    report = await context.factory.drift.compared(monitor, utcnow())
    features = [each.model_dump(mode="json") for each in report.features if each.drifted][:20]
    return DriftFound(
        monitor=monitor.name,
        verdict=report.verdict,
        reason=report.reason,
        rows_before=report.rows_before,
        rows_now=report.rows_now,
        features=features,
    )


async def rebase(context: ToolContext, arguments: RebaseArguments) -> MonitorLine:
    """Compare a monitor with another training set from now on, once a model of it answers; its open alert is closed."""
    before = await context.factory.drift.book.get(context.tenant, arguments.monitor)
    because = f"A model trained on {arguments.set_id} answers now."
    await context.factory.drift.rebase(context.tenant, arguments.monitor, arguments.set_id, because)
    line = await monitor_line(context, arguments.monitor)
    return line.model_copy(update={"before": before.past.model_dump(mode="json")})


async def unwatch(context: ToolContext, arguments: NameArguments) -> MonitorLine:
    """Watch no more: the monitor is removed, what it found stays."""
    line = await monitor_line(context, arguments.monitor)
    monitor = await context.factory.drift.book.get(context.tenant, arguments.monitor)
    await context.factory.drift.book.remove(context.tenant, arguments.monitor)
    return line.model_copy(update={"before": spec_of(monitor.model_dump(mode="json"))})


TOOLS = (
    Tool("features.list", Effect.READ, ListArguments, ViewList, list_views),
    Tool("features.read", Effect.READ, ReadArguments, Readings, read),
    Tool("features.monitors", Effect.READ, ListArguments, MonitorList, list_monitors),
    Tool("features.check", Effect.READ, NameArguments, DriftFound, check),
    Tool(
        "features.define",
        Effect.WRITE,
        DefineArguments,
        ViewLine,
        define,
        dry_run_define,
        None,
        verify_define,
        undo_define,
        undo_words="retire the version",
        postcondition="the version is there with this definition",
    ),
    Tool(
        "features.training_set",
        Effect.WRITE,
        SetArguments,
        SetLine,
        training_set,
        dry_run_set,
        None,
        verify_set,
        undo_words="nothing to undo: the set stays as a record",
        postcondition="the set is kept under the digest of its rows",
    ),
    Tool(
        "features.watch",
        Effect.WRITE,
        MonitorArguments,
        MonitorLine,
        watch,
        dry_run_watch,
        None,
        verify_watch,
        undo_watch,
        undo_words="watch as before, or no more",
        postcondition="the monitor is there",
    ),
    Tool(
        "features.rebase",
        Effect.WRITE,
        RebaseArguments,
        MonitorLine,
        rebase,
        dry_run_rebase,
        None,
        verify_rebase,
        undo_rebase,
        undo_words="compare with the past of before",
        postcondition="the monitor is compared with this training set, and its alert is closed",
    ),
    Tool(
        "features.unwatch",
        Effect.DESTRUCTIVE,
        NameArguments,
        MonitorLine,
        unwatch,
        dry_run_unwatch,
        None,
        verify_unwatch,
        undo_unwatch,
        undo_words="watch again as before",
        postcondition="no monitor has the name",
    ),
)
