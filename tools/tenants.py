"""Tools over teams."""

from pydantic import Field

from factory_infra.errors import Conflict, NotFound, PostconditionFailed
from factory_infra.paas.tenants.models import NAME_PATTERN
from factory_infra.records.audit import AuditFilter
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, text_argument


class ShowArguments(Arguments):
    """Nothing is asked."""


class TeamUse(Result):
    """What a team may use and what it uses."""

    team: str
    quota_slots: int
    quota_slots_used: int
    budget: str
    spent: str
    reserved: str
    currency: str


async def show(context: ToolContext, arguments: ShowArguments) -> TeamUse:
    """Show the team's quota and budget, and how much of each is in use."""
    tenant = await context.factory.tenants.get(context.tenant)
    usage = await context.factory.leases.usage(context.tenant)
    cost = await context.factory.metering.cost(tenant=context.tenant)
    return TeamUse(
        team=tenant.name,
        quota_slots=tenant.quota_slots,
        quota_slots_used=usage.quota_slots_used,
        budget=f"{tenant.budget:.2f}",
        spent=f"{cost.spent:.6f}",
        reserved=f"{cost.reserved:.6f}",
        currency=cost.currency,
    )


class ProjectLine(Result):
    """One project."""

    project: str
    title: str


class ProjectList(Result):
    """A team's projects."""

    projects: list[ProjectLine]


async def list_projects(context: ToolContext, arguments: ShowArguments) -> ProjectList:
    """List the team's projects, which use is charged to."""
    found = await context.factory.organisations.projects(context.tenant, limit=200)
    return ProjectList(projects=[ProjectLine(project=each.name, title=each.title) for each in found])


class QuotaLine(Result):
    """What the team may hold in a pool."""

    pool: str
    accelerator: str
    slots_max: int


class QuotaList(Result):
    """A team's quotas by pool."""

    quota_slots: int = Field(description="Over all pools.")
    quotas: list[QuotaLine]


async def list_quotas(context: ToolContext, arguments: ShowArguments) -> QuotaList:
    """Show how many slots the team may hold: over all pools, in each pool, and of each accelerator there."""
    tenant = await context.factory.tenants.get(context.tenant)
    found = await context.factory.pool_quotas.list(context.tenant, limit=200)
    lines = [QuotaLine(pool=each.pool, accelerator=each.accelerator, slots_max=each.slots_max) for each in found]
    return QuotaList(quota_slots=tenant.quota_slots, quotas=lines)


class ChangesArguments(Arguments):
    """Which changes."""

    action: str = Field(default="", description="Only actions that begin so, such as keys: or tool:.")
    object: str = Field(default="", description="Only objects that begin so, such as key/ or project/.")
    after: int = Field(default=0, ge=0, description="Only rows after this one.")


class ChangeLine(Result):
    """One row of the audit log."""

    seq: int
    at: str
    actor: str
    action: str
    object: str


class ChangeList(Result):
    """Who changed what, oldest first."""

    changes: list[ChangeLine]


async def list_changes(context: ToolContext, arguments: ChangesArguments) -> ChangeList:
    """Tell who changed what of the team's, from the audit log, oldest first, fifty rows at most."""
    wanted = AuditFilter(action=arguments.action or None, object=arguments.object or None, after_seq=arguments.after)
    found = await context.factory.audit.find(context.tenant, wanted, limit=50)
    told = [each.model_dump(mode="json", include=set(ChangeLine.model_fields)) for each in found]
    return ChangeList(changes=[ChangeLine.model_validate(each) for each in told])


class ProjectArguments(Arguments):
    """A project that is wanted."""

    project: str = Field(pattern=NAME_PATTERN, description="Lower-case letters, digits and hyphens.")
    title: str = Field(default="", max_length=120, description="What people call it, in any script.")


async def add_project(context: ToolContext, arguments: ProjectArguments) -> ProjectLine:
    """Make a project of the team, which use can be charged to from then on. One that is there already stays as it is."""
    organisations = context.factory.organisations
    try:
        made = await organisations.create_project(context.tenant, arguments.project, arguments.title)
    except Conflict:
        made = await organisations.project(context.tenant, arguments.project)
    return ProjectLine(project=made.name, title=made.title)


async def dry_run_project(context: ToolContext, raw: Raw) -> DryRun:
    """The name must be free."""
    name = text_argument(raw, "project")
    if name is None:
        return DryRun()
    try:
        await context.factory.organisations.project(context.tenant, name)
    except NotFound:
        return DryRun(reason=f"project {name} is not there yet")
    reason = f"Project {name} is there already."
    return DryRun(feasible=False, code="project_taken", reason=reason, remedy="Use it, or take another name.")


async def verify_project(context: ToolContext, arguments: ProjectArguments, result: ProjectLine) -> None:
    """It is there."""
    try:
        await context.factory.organisations.project(context.tenant, arguments.project)
    except NotFound as error:
        raise PostconditionFailed(f"Project {arguments.project} is not there.") from error


async def undo_project(context: ToolContext, arguments: ProjectArguments, result: ProjectLine) -> str:
    """Remove it again."""
    try:
        await context.factory.organisations.delete_project(context.tenant, arguments.project)
    except NotFound:
        return f"project {arguments.project} was gone"
    return f"project {arguments.project} is removed"


TOOLS = (
    Tool("tenants.show", Effect.READ, ShowArguments, TeamUse, show),
    Tool("tenants.projects", Effect.READ, ShowArguments, ProjectList, list_projects),
    Tool("tenants.quotas", Effect.READ, ShowArguments, QuotaList, list_quotas),
    Tool("tenants.changes", Effect.READ, ChangesArguments, ChangeList, list_changes),
    Tool(
        "tenants.add_project",
        Effect.WRITE,
        ProjectArguments,
        ProjectLine,
        add_project,
        dry_run_project,
        None,
        verify_project,
        undo_project,
        undo_words="remove the project",
        postcondition="the project is there",
    ),
)
