"""What if: the installation as it is now, run on in virtual time by its own scheduler, with and without changes. Nothing real changes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import BoundedSemaphore, Event
from typing import NamedTuple

from pydantic import ValidationError

from factory_infra.errors import BoundReached, Conflict, InvalidInput, NotFound, RateLimited
from factory_infra.foundation.pools.book import told as first_wrong
from factory_infra.iaas.leases.granting import team_limits
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.scheduling.live import Claim, Layout, with_team_limits, workload_of
from factory_infra.iaas.scheduling.placement.registry import POLICIES
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.rules import queue_of
from factory_infra.iaas.scheduling.service import Scheduling, Seen
from factory_infra.iaas.twin import question_words, snapshot
from factory_infra.iaas.twin.arrivals import Arrival
from factory_infra.iaas.twin.engine import Progress, compare
from factory_infra.iaas.twin.questions import (
    Change,
    MoreNodes,
    MoreWork,
    NodeFails,
    OtherLimit,
    OtherPolicy,
    StartsThen,
    WhatIf,
    WhatIfAnswer,
    Without,
)
from factory_infra.iaas.twin.results import Comparison, JobOutcome
from factory_infra.iaas.twin.scenario import Past, Scenario

AS_IT_IS, CHANGED = "as it is", "with the changes"
WALL_SECONDS_MAX = 45.0
AT_ONCE_MAX = 2
"""So many simulations run at one time in a process: they take a core each."""
LISTED_MAX = 200
LATER_SECONDS = 1.0
METRICS = ("occupancy", "queue_mean", "queue_p95", "completion_mean", "cost", "lost")


_room = BoundedSemaphore(AT_ONCE_MAX)


class Asker(NamedTuple):
    """Who asks: a team sees its own leases; without one, all."""

    tenant: str | None


class WhatIfs:
    """Answers questions about the installation from now on.

    Args:
        scheduling: who sees what waits and what is held.
        leases: whose rules and quotas are in force.
    """

    def __init__(self, scheduling: Scheduling, leases: Leases) -> None:
        self._scheduling, self._leases = scheduling, leases

    async def ask(self, question: WhatIf, asker: Asker, progress: Progress | None = None) -> WhatIfAnswer:
        """Answer a question. Ends when it is cancelled, within the time of one event of the simulation.

        Raises:
            InvalidInput: a change cannot be, or its words cannot be read (`what_if_unclear`).
            NotFound: a pool, node or lease is not there, or another team's.
            BoundReached: it takes too long (`twin_too_long`).
            Conflict: `progress` ended it (`twin_cancelled`).
            RateLimited: others ask at this moment (`twin_busy`).
        """
        changes = list(question.changes) or question_words.read(question.words)
        pool = question.pool or next(iter(self._leases.granting.rules.pools()), "")
        seen = await self._scheduling.seen(pool)
        scene = Scene(seen, pool, self._quotas(seen), asker, seen.now)
        before = replace(snapshot.snapshot(seen.scheduler, scene.now, scene.quotas, name=AS_IT_IS), past=past_of(scene))
        after = replace(changed(before, changes, scene), name=CHANGED)
        comparison = await simulated([before, after], progress)
        return answer(comparison, scene, changes, before)

    def _quotas(self, seen: Seen) -> QuotaTree:
        """The tree in force: the file's, with the teams' limits of slots."""
        return with_team_limits(self._leases.granting.rules.quotas(), team_limits(seen.standing, None))


class Scene(NamedTuple):
    """What a question is asked about."""

    seen: Seen
    pool: str
    quotas: QuotaTree
    asker: Asker
    now: float
    """The moment from which it is simulated."""

    def layout(self, pool: str) -> Layout:
        """A pool's slots. Raises NotFound."""
        found = self.seen.ground.layouts.get(pool or self.pool)
        if found is None:
            reason = f"The pool '{(pool or self.pool)[:40]}' is not scheduled together with '{self.pool[:40]}', or does not answer."
            raise NotFound(reason, remedy=f"Pools: {', '.join(sorted(self.seen.ground.layouts))}.", code="pool_unknown")
        return found


def past_of(scene: Scene) -> tuple[Past, ...]:
    """The leases that have ended, as far as their pools are known: who had how much lately counts in a fair share."""
    layouts, now = scene.seen.ground.layouts, scene.now
    return tuple(
        Past(workload_of(claim, [layouts[claim.pool]], now), claim.since, min(claim.until, now))
        for claim in scene.seen.standing.past
        if claim.pool in layouts and claim.since < min(claim.until, now)
    )


async def simulated(scenarios: Sequence[Scenario], progress: Progress | None) -> Comparison:
    """Run scenarios in a thread, no longer than the bound; ends when the caller is cancelled. Raises BoundReached, Conflict."""
    ended, until = Event(), time.monotonic() + WALL_SECONDS_MAX

    def go_on(share: float) -> bool:
        return not ended.is_set() and time.monotonic() < until and (progress is None or progress(share) is not False)

    try:
        return await asyncio.to_thread(held_room, scenarios, go_on)
    except Conflict as error:
        if time.monotonic() < until:
            raise
        reason = f"The simulation takes longer than {WALL_SECONDS_MAX:.0f} s."
        raise BoundReached(reason, remedy="Ask about fewer leases, or write a scenario file.", code="twin_too_long") from error
    finally:
        ended.set()


def held_room(scenarios: Sequence[Scenario], go_on: Progress) -> Comparison:
    """Simulate, in a thread, where there is room; one whose caller has gone keeps its room until it has ended. Raises RateLimited."""
    if not _room.acquire(blocking=False):
        reason = f"{AT_ONCE_MAX} simulations run here already."
        raise RateLimited(reason, remedy="Ask again in a moment.", code="twin_busy", retry_after_seconds=5.0)
    try:
        return compare(scenarios, (0,), go_on)
    finally:
        _room.release()


def changed(scenario: Scenario, changes: Sequence[Change], scene: Scene) -> Scenario:
    """The scenario with all changes made, in order."""
    for number, change in enumerate(changes, 1):
        scenario = one_changed(scenario, change, scene, number)
    return scenario


def one_changed(scenario: Scenario, change: Change, scene: Scene, number: int) -> Scenario:
    """The scenario with one change made."""
    match change:
        case MoreNodes():
            return snapshot.with_machines(scenario, CHANGED, change.pool or scene.pool, change.more)
        case NodeFails():
            return snapshot.without_node(
                scenario, CHANGED, change.pool or scene.pool, node_named(scenario, change.pool or scene.pool, change.node)
            )
        case OtherPolicy():
            return snapshot.with_policy(scenario, CHANGED, policy_with(scenario.policy, change))
        case MoreWork():
            return snapshot.with_work(scenario, CHANGED, work_of(change, scene, number))
        case Without():
            return snapshot.without_work(scenario, CHANGED, [own_lease(change.lease_id, scene)])
        case OtherLimit():
            return snapshot.with_quotas(scenario, CHANGED, limited(scenario.quotas or scene.quotas, change))


def node_named(scenario: Scenario, pool: str, node: str) -> str:
    """The machine of this name in the scenario: a node whose slots are of several kinds has one for each. Raises NotFound."""
    names = [spec.name for spec in snapshot.specs_of(scenario, pool)]
    return next((name for name in names if node in (name, name.rpartition("/")[0])), node)


def policy_with(policy: SchedulingPolicy, change: OtherPolicy) -> SchedulingPolicy:
    """The policy with some fields different. Raises InvalidInput `scheduling_invalid`."""
    try:
        found = SchedulingPolicy.model_validate({**policy.model_dump(), **change.fields})
    except ValidationError as error:
        raise InvalidInput(
            f"The policy cannot be so: {first_wrong(error)}.", remedy="docs/scheduling.md has every field.", code="scheduling_invalid"
        ) from error
    if found.placement and found.placement not in POLICIES:
        remedy = f"Placements: {', '.join(sorted(POLICIES))}."
        raise InvalidInput(f"There is no placement '{found.placement}'.", remedy=remedy, code="scheduling_invalid")
    return found


def work_of(change: MoreWork, scene: Scene, number: int) -> list[Arrival]:
    """The leases that a change adds, as arrivals of this moment. Raises InvalidInput, NotFound for another team's."""
    pool, now = change.pool or scene.pool, scene.now
    team = whose(change.team, scene.asker)
    layout = scene.layout(pool)
    request = LeaseRequest(
        tenant=team,
        slots=change.slots,
        seconds=change.seconds,
        key="what-if",
        pool=pool,
        topology=change.topology,
        priority=change.priority,
    )
    queue = queue_of(team, change.queue, scene.quotas)
    claims = [
        Claim(f"what-if-{number}-{each}", queue, pool, layout.pool.kind, change.slots, request, now) for each in range(1, change.times + 1)
    ]
    works = [workload_of(claim, [layout], now) for claim in claims]
    return [Arrival(work, work.seconds) for work in works]


def whose(team: str, asker: Asker) -> str:
    """The team of added work. Raises NotFound for another's, the same as for one that is not there."""
    if asker.tenant is None:
        return team or "what-if"
    if team and team != asker.tenant:
        raise NotFound(f"There is no team '{team[:64]}'.", remedy="Leave the team out for your own.", code="team_unknown")
    return asker.tenant


def own_lease(lease: str, scene: Scene) -> str:
    """A lease that the asker may name. Raises NotFound, the same for another team's."""
    row = scene.seen.standing.rows.get(lease)
    if row is None or (scene.asker.tenant is not None and row.tenant != scene.asker.tenant):
        raise NotFound(f"No lease {lease[:64]} waits or is held.", remedy="List them with 'lineshaft leases list'.", code="lease_unknown")
    return lease


def limited(quotas: QuotaTree, change: OtherLimit) -> QuotaTree:
    """The tree with one limit different. Where a queue is guaranteed more than that, its guarantee goes down to it."""
    listed = {spec.name: spec for spec in quotas.queues}
    spec = listed.get(change.queue) or QuotaSpec.model_construct(name=change.queue, parent=None)
    guaranteed = {**spec.guaranteed}
    if change.resource in guaranteed:
        guaranteed[change.resource] = min(guaranteed[change.resource], change.amount)
    update = {"limit": {**spec.limit, change.resource: change.amount}, "guaranteed": guaranteed}
    listed[change.queue] = spec.model_copy(update=update)
    return QuotaTree.model_construct(queues=tuple(listed.values()))


def answer(comparison: Comparison, scene: Scene, changes: list[Change], before: Scenario) -> WhatIfAnswer:
    """Shape the two runs for who asked."""
    as_is, then = ({each.id: each for each in result.jobs} for result in comparison.results)
    held = {each.running.workload.id for each in before.running}
    waiting = [name for name in {**as_is, **then} if name not in held]
    rows = [row_of(name, as_is.get(name), then.get(name), scene) for name in waiting]
    own = [row for row in rows if row.hypothetical or may_see(row.lease_id, scene)]
    others = [row for row in rows if not row.hypothetical and not may_see(row.lease_id, scene)]
    return WhatIfAnswer(
        as_of=datetime.fromtimestamp(scene.now, UTC),
        pools=sorted(before.pools),
        changes=changes,
        told=[in_words(change, scene.pool) for change in changes],
        leases=sorted(own, key=lambda row: (row.starts_then is None, row.starts_then or datetime.max.replace(tzinfo=UTC)))[:LISTED_MAX],
        others=len(others),
        others_delayed=sum((row.sooner_seconds or 0.0) < -LATER_SECONDS for row in others),
        figures=comparison.rows(METRICS),
    )


def may_see(lease: str, scene: Scene) -> bool:
    """Whether the asker may see a lease's line."""
    row = scene.seen.standing.rows.get(lease)
    return scene.asker.tenant is None or (row is not None and row.tenant == scene.asker.tenant)


def row_of(name: str, as_is: JobOutcome | None, then: JobOutcome | None, scene: Scene) -> StartsThen:
    """One that waits, in both runs."""
    known = then or as_is
    before, after = (each.started_at if each is not None else None for each in (as_is, then))
    workload = scene.seen.scheduler.pending.get(name)
    return StartsThen(
        lease_id=name,
        queue=known.queue if known is not None else "",
        slots=workload.members if workload is not None else round(known.gpus) if known is not None else 0,
        hypothetical=name not in scene.seen.standing.rows,
        starts_as_it_is=moment(before),
        starts_then=moment(after),
        sooner_seconds=round(before - after, 1) if before is not None and after is not None else None,
    )


def moment(at: float | None) -> datetime | None:
    """A moment of the scheduler's clock."""
    return None if at is None else datetime.fromtimestamp(at, UTC)


def in_words(change: Change, pool: str) -> str:
    """A change as it was understood."""
    match change:
        case MoreNodes():
            return f"{abs(change.more)} {'more' if change.more >= 0 else 'fewer'} nodes in pool {change.pool or pool}"
        case NodeFails():
            return f"node {change.node} of pool {change.pool or pool} fails"
        case OtherPolicy():
            return ", ".join(f"{name} {value}" for name, value in change.fields.items())
        case MoreWork():
            times = f", {change.times} times" if change.times > 1 else ""
            return f"{change.team or 'the team'} asks for {change.slots} slots for {change.seconds} s in pool {change.pool or pool}{times}"
        case Without():
            return f"without {change.lease_id}"
        case OtherLimit():
            return f"{change.queue} may have {change.amount:g} {change.resource}"
