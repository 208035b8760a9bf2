"""Turns a finding into the plan that mends it: typed steps, foreseen, priced and judged like any other, and approved by a person."""

from factory_infra.errors import Forbidden, NotFound
from factory_infra.factory import Factory
from factory_infra.paas.optimization.finding_book import Attempt
from factory_infra.paas.optimization.findings import Finding, ReleaseCluster, ReleaseLease, ReplaceLease, SleepEndpoint
from factory_infra.paas.optimization.service import Owner
from factory_infra.paas.tenants.models import Principal
from factory_infra.records.models import PlanRecord
from tools.plan import Plan, Step
from workflows.messages import JsonObject
from workflows.proposal import Starter, propose


def plan_for(attempt: Attempt, requested_by: str, role: str) -> Plan:
    """The plan of an attempt at a finding; the same attempt gives the same plan."""
    found = attempt.finding
    return Plan(
        id=attempt.plan_id,
        tenant=found.team,
        project=found.project,
        thread_id=f"thread-{found.id}-{attempt.number}",
        requested_by=requested_by,
        requester_role=role,
        request=f"{found.title}. {found.evidence}",
        title=found.title[:200],
        steps=steps_of(found),
        notes=(f"Finding {found.id}: {found.evidence}", saving_in_words(found)),
        planner="costs",
    )


def saving_in_words(found: Finding) -> str:
    """What the card says of the money."""
    if not found.saving_hourly:
        return "The ledger does not price it: it frees the host, and saves no charge."
    return f"It saves {found.saving_hourly:f} an hour by the price book, {found.saving_left:f} until it would end by itself."


def steps_of(found: Finding) -> tuple[Step, ...]:
    """The steps that mend it."""
    match found.remedy:
        case ReleaseLease():
            return (release(found.remedy.lease_id),)
        case ReplaceLease():
            return (lease(found.remedy), release(found.remedy.lease_id, after=("lease",)))
        case SleepEndpoint():
            arguments: JsonObject = {**found.remedy.model_dump(mode="json", exclude={"fix"})}
            told = f"Let {found.remedy.endpoint} sleep after {found.remedy.idle_seconds:.0f} s without a question"
            return (Step(id="sleep", tool="deployments.scale", agent="deployer", summary=told, arguments=arguments),)
        case ReleaseCluster():
            name: JsonObject = {"cluster_id": found.remedy.cluster_id}
            told = f"Release cluster {found.remedy.cluster_id}"
            return (Step(id="release", tool="clusters.release", agent="provisioner", summary=told, arguments=name),)


def release(lease_id: str, after: tuple[str, ...] = ()) -> Step:
    """Give a lease back."""
    arguments: JsonObject = {"lease_id": lease_id}
    summary = f"Release {lease_id}"
    return Step(id="release", tool="leases.release", agent="provisioner", summary=summary, arguments=arguments, after=after)


def lease(remedy: ReplaceLease) -> Step:
    """Lease what is needed, before what is not is given back."""
    arguments: JsonObject = {
        "slots": remedy.slots,
        "seconds": remedy.seconds,
        "pool": remedy.pool,
        "accelerator": remedy.accelerator,
        "purpose": remedy.purpose,
    }
    given: JsonObject = {name: value for name, value in arguments.items() if value != ""}
    summary = f"Lease {remedy.slots} slots in pool {remedy.pool}"
    return Step(id="lease", tool="leases.acquire", agent="provisioner", summary=summary, arguments=given)


async def fix(starter: Starter, finding_id: str, asker: Principal) -> PlanRecord:
    """Propose the plan that mends a finding, and keep which it is. While that plan is open, asking again returns it.

    Raises NotFound, Conflict `finding_blocked`, Forbidden for a key of another project, and what `propose` does.
    """
    factory = starter.factory
    await settled(factory, finding_id, asker)
    attempt = await factory.findings.attempt(finding_id, Owner(asker.tenant))
    if asker.project and attempt.finding.project != asker.project:
        reason = f"This key is of the project '{asker.project}', and the finding is of another."
        raise Forbidden(reason, remedy="Use another key.", code="project_other")
    record = await propose(starter, plan_for(attempt, asker.actor, asker.role.value), asker.role.value)
    await factory.findings.fixing(attempt, asker.actor)
    return record


async def settled(factory: Factory, finding_id: str, asker: Principal) -> None:
    """Open a finding again whose plan has ended without mending it: it is found still, so another plan may be proposed."""
    found = await factory.findings.get(finding_id, Owner(asker.tenant))
    if found.plan_id:
        try:
            record = await factory.records.plan(found.plan_id, asker.tenant)
        except NotFound:
            return
        await factory.findings.reopened(finding_id, record.state)
