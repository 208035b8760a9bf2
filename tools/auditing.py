"""The audit of a plan: its record against what the journal, the ledger, the leases and the approvals say. Code only, no model."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.iaas.jobs.models import Job
from factory_infra.iaas.leases.models import Lease
from factory_infra.records.approvals import Approval
from factory_infra.records.journal import Effect
from factory_infra.records.models import Event, PlanRecord
from tools.plan import Plan, PlanState

ENDED = frozenset({"done", "gated", "failed", "cancelled", "refused", "expired", "escalated", "undone"})
RELEASING = "leases.release"
ORDERED = (
    "plan.proposed",
    "plan.approved",
    "plan.started",
    "step.started",
    "step.done",
    "step.failed",
    "step.undone",
    "step.undo_failed",
    "plan.ended",
)
"""The kinds of events whose order is checked."""
EVIDENCE_MAX = 12


class Finding(BaseModel):
    """One check: whether it holds, and what was looked at."""

    check: Literal["ended", "digest", "effects", "approval", "ledger", "leases", "jobs", "price", "order"]
    verdict: Literal["ok", "violation", "not_recorded", "open"] = Field(
        description="`not_recorded` where there is nothing to check by, `open` while the plan has not ended."
    )
    words: str
    evidence: list[str] = []


class Books(BaseModel):
    """Everything that one audit looks at, read at one time."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    record: PlanRecord
    plan: Plan
    effects: list[Effect]
    approvals: list[Approval]
    events: list[Event]
    leases: list[Lease]
    jobs: list[Job]
    open_reservations: list[str]
    spent: Decimal = Field(description="What the plan's steps cost; the thinking before it is not in a plan's price.")
    currency: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen under the plan."""
        return self.record.state in ENDED

    @property
    def began(self) -> bool:
        """Whether any of it was carried out."""
        return bool(self.effects or self.jobs) or any(event.kind == "plan.started" for event in self.events)


def audit_books(books: Books) -> list[Finding]:
    """Make every check, in a fixed order."""
    checks = (check_end, check_digest, check_effects, check_approval, check_ledger, check_leases, check_jobs, check_price, check_order)
    return [check(books) for check in checks]


def finding(check: str, problems: list[str], fine: str, wrong: str) -> Finding:
    """A violation that lists its problems, or a check that holds."""
    words, verdict = (wrong, "violation") if problems else (fine, "ok")
    return Finding.model_validate({"check": check, "verdict": verdict, "words": words, "evidence": problems[:EVIDENCE_MAX]})


def check_end(books: Books) -> Finding:
    """The plan has ended."""
    state = books.record.state
    if books.ended:
        return Finding(check="ended", verdict="ok", words=f"The plan has ended: {state}.")
    return Finding(check="ended", verdict="open", words=f"The plan has not ended yet: {state}.")


def check_digest(books: Books) -> Finding:
    """The document that is kept is the one that its digest names."""
    actual, kept = books.plan.digest(), books.record.digest
    problems = [] if actual == kept else [f"digest kept {kept[:16]}, digest of the document {actual[:16]}"]
    return finding("digest", problems, "The plan is unchanged since it was kept.", "The plan was changed after it was kept.")


def check_effects(books: Books) -> Finding:
    """Every effect under the plan's key is one of its steps, by the step's own tool, for the plan's team."""
    tools = {step.id: step.tool for step in books.plan.steps}
    problems = []
    for effect in books.effects:
        step = effect.key.removeprefix(f"{books.plan.id}/").split("/")[0]
        if step not in tools:
            problems.append(f"{effect.key}: {effect.tool} belongs to no step")
        elif tools[step] != effect.tool:
            problems.append(f"{effect.key}: {effect.tool} was done, the plan says {tools[step]}")
        elif effect.tenant != books.plan.tenant:
            problems.append(f"{effect.key}: done for another team")
    fine = f"{len(books.effects)} effects, each of a step of the plan."
    return finding("effects", problems, fine, "There are effects that the plan does not have.")


def check_approval(books: Books) -> Finding:
    """What was carried out was approved before it began, by its exact digest, by enough people who may."""
    if not books.began or not books.plan.has_effects:
        return Finding(check="approval", verdict="ok", words="Nothing was carried out that needs an approval.")
    verdict = books.plan.verdict
    if verdict is not None and verdict.decision == "run":
        return Finding(check="approval", verdict="ok", words="The policy let it run without a person.", evidence=[verdict.policy])
    if not books.approvals:
        return told_approval(books)
    yes = [each for each in books.approvals if each.approve and each.digest == books.record.digest]
    people, needed = {each.actor for each in yes}, max(verdict.approvals if verdict else 1, 1)
    problems = [] if len(people) >= needed else [f"{len(people)} of {needed} approvals name digest {books.record.digest[:16]}"]
    problems += [f"approved by {each.actor}, who asked for it" for each in yes if own_forbidden(books, each.actor)]
    first_yes = min((each.at for each in books.approvals if each.approve), default=None)
    problems += [f"the first approval came {moment(first_yes)}, after the first effect"] if first_yes and late(books, first_yes) else []
    problems += [f"{each.actor}'s approval had expired at {moment(each.expires_at)}" for each in yes if expired(each)]
    problems += [f"{each.actor}'s approval is of another team" for each in yes if each.tenant != books.plan.tenant]
    fine = f"Approved by {', '.join(sorted(people))}, naming digest {books.record.digest[:16]}."
    return finding("approval", problems, fine, "It was carried out without the approvals that it needs.")


def told_approval(books: Books) -> Finding:
    """Without rows of approvals: what the event of the approval says."""
    told = next((event for event in books.events if event.kind == "plan.approved"), None)
    if told is None:
        return Finding(check="approval", verdict="not_recorded", words="No approval is recorded.")
    if told.payload.get("digest") != books.record.digest:
        return finding("approval", [f"event {told.id} names another digest"], "", "The approval names another version of the plan.")
    words = "No approval is recorded; an event tells of one that names this digest."
    return Finding(check="approval", verdict="not_recorded", words=words, evidence=[f"event {told.id}"])


def own_forbidden(books: Books, actor: str) -> bool:
    """Whether somebody approved their own request though the policy forbids it."""
    verdict = books.plan.verdict
    return verdict is not None and not verdict.requester_may_approve and actor == books.plan.requested_by


def late(books: Books, at: datetime) -> bool:
    """Whether a moment is after the first effect."""
    first = min((effect.at for effect in books.effects), default=None)
    return first is not None and at > first


def expired(approval: Approval) -> bool:
    """Whether an approval was used after its end."""
    return approval.used_at is not None and approval.used_at > approval.expires_at


def moment(at: datetime) -> str:
    """A moment to the second."""
    return at.isoformat(timespec="seconds")


def check_ledger(books: Books) -> Finding:
    """Nothing is reserved any more once the plan has ended, but for leases that the plan was to leave to the team."""
    left = {f"lease/{lease.id}" for lease in standing(books)}
    problems = [name for name in books.open_reservations if name not in left]
    if problems and not books.ended:
        return Finding(check="ledger", verdict="open", words="Money is still reserved.", evidence=problems[:EVIDENCE_MAX])
    return finding("ledger", problems, "Nothing is left reserved.", "Money is still reserved under the ended plan.")


def standing(books: Books) -> list[Lease]:
    """Leases that stay with the team after the plan, as the plan said: those that it acquires and never releases."""
    releases = any(step.tool == RELEASING for step in books.plan.steps)
    kept = books.record.state == PlanState.DONE and not releases
    return [lease for lease in books.leases if kept and lease.state.open]


def check_leases(books: Books) -> Finding:
    """Every lease of the plan has ended, but for those that the plan was to leave to the team."""
    left = {lease.id for lease in standing(books)}
    problems = [f"{lease.id} is {lease.state}" for lease in books.leases if lease.state.open and lease.id not in left]
    if problems and not books.ended:
        return Finding(check="leases", verdict="open", words="Leases are still held.", evidence=problems[:EVIDENCE_MAX])
    fine = f"{len(books.leases)} leases, {len(left)} of them left to the team as planned."
    return finding("leases", problems, fine, "Leases of the ended plan are still held.")


def check_jobs(books: Books) -> Finding:
    """No job of the plan runs on after its end."""
    problems = [f"{job.id} is {job.state}" for job in books.jobs if not job.state.final]
    if problems and not books.ended:
        return Finding(check="jobs", verdict="open", words="Jobs still run.", evidence=problems[:EVIDENCE_MAX])
    return finding("jobs", problems, f"{len(books.jobs)} jobs, none of them runs.", "Jobs of the ended plan still run.")


def check_price(books: Books) -> Finding:
    """The plan's steps cost no more than the highest price on its card."""
    high, spent = books.plan.price.high, books.spent
    problems = [] if spent <= high else [f"{spent:.6f} spent, {high:.6f} {books.currency} at most on the card"]
    fine = f"{spent:.6f} of at most {high:.6f} {books.currency} were spent."
    return finding("price", problems, fine, "More was spent than the card said.")


def check_order(books: Books) -> Finding:
    """Events tell of it in an order that can be: proposed, approved, started, each step begun before it is done, ended last."""
    problems: list[str] = []
    seen: set[str] = set()
    begun: set[str] = set()
    over = False
    for event in books.events:
        step = str(event.payload.get("step", ""))
        wrong = misplaced(event.kind, step, seen, begun, over=over) or unapproved(books, event.kind, seen)
        problems += [f"event {event.id}: {event.kind} {step}".rstrip() + f" {wrong}"] if wrong else []
        seen.add(event.kind)
        begun |= {step} if event.kind == "step.started" else set()
        over = event.kind == "plan.ended" if event.kind.startswith("plan.") else over
    return finding("order", problems, f"{len(books.events)} events in order.", "Events are out of order.")


def misplaced(kind: str, step: str, seen: set[str], begun: set[str], *, over: bool) -> str:
    """What is wrong with a step's event after those that were seen; empty where nothing is."""
    if not kind.startswith("step."):
        return ""
    if "plan.started" not in seen:
        return "before the plan began"
    if kind in {"step.done", "step.failed"} and step not in begun:
        return "though it had not begun"
    return "after the end" if over and kind in {"step.started", "step.done", "step.failed"} else ""


def unapproved(books: Books, kind: str, seen: set[str]) -> str:
    """Whether the plan began without the event of its approval, where a person had to approve it."""
    verdict = books.plan.verdict
    needed = books.plan.has_effects and (verdict is None or verdict.decision == "approve")
    return "before it was approved" if kind == "plan.started" and needed and "plan.approved" not in seen else ""
