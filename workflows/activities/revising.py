"""The activity over a person's edit of a plan: checked, foreseen, priced and judged like a plan of its own."""

from datetime import timedelta

from pydantic import JsonValue
from temporalio import activity

from agents.composition import total
from agents.scope import scope_of
from factory_infra.database import utcnow
from factory_infra.errors import Conflict, Forbidden
from factory_infra.factory import Factory
from tools.plan import Plan, Step
from workflows.activities.context import translated
from workflows.activities.policy import explained
from workflows.messages import JsonObject, RevisionCall
from workflows.proposal import checked, foresee

SEEN = {"dry_run", "price", "effect", "runs_as", "undo", "postcondition"}
"""What the factory says of a step, whatever was written."""


class RevisingActivities:
    """Makes revisions."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="revise_plan")
    @translated
    async def revise(self, request: RevisionCall) -> JsonObject:
        """Return the plan with other steps: who edits answers for it from here on, and its scope is what they wrote.

        Raises Conflict where a step that is done was changed or a new one cannot work, Forbidden where the policy refuses.
        """
        known = {step.id: step for step in request.plan.steps}
        steps = [known[step.id] if step.id in request.kept and step.id in known else step for step in request.steps]
        unchanged(request, known)
        draft = request.plan.model_copy(update={"steps": tuple(steps), "verdict": None})
        draft = draft.model_copy(update={"requested_by": request.who.actor, "requester_role": request.who.role})
        await checked(self._factory, draft)
        seen = {step.id: step for step in await foresee(self._factory, without(draft, request.kept))}
        whole = [seen.get(step.id, step) for step in steps]
        against = next((step.dry_run for step in seen.values() if step.dry_run is not None and not step.dry_run.feasible), None)
        if against is not None:
            raise Conflict(against.reason, code=against.code or None, remedy=against.remedy)
        draft = draft.model_copy(update={"steps": tuple(whole), "price": total(whole), "scope": scope_of(whole)})
        verdict = (await explained(self._factory, draft, request.who.role)).verdict
        if verdict.decision == "refuse":
            raise Forbidden(" ".join(verdict.reasons), code=verdict.code or "policy_refused", remedy=verdict.remedy)
        seconds = min(verdict.expires_seconds, self._factory.settings.approval_seconds_max)
        whole_plan = draft.model_copy(update={"verdict": verdict, "expires_at": utcnow() + timedelta(seconds=seconds)})
        return {"plan": whole_plan.model_dump(mode="json")}


def without(plan: Plan, kept: list[str]) -> Plan:
    """The plan's steps that are still to come."""
    return plan.model_copy(update={"steps": tuple(step for step in plan.steps if step.id not in kept)})


def unchanged(request: RevisionCall, known: dict[str, Step]) -> None:
    """Raise Conflict unless every step that began is there as it was."""
    written = {step.id: step for step in request.steps}
    for name in request.kept:
        if name not in written or essence(written[name]) != essence(known[name]):
            raise Conflict(f"Step '{name}' has begun and cannot be changed.", code="step_has_begun", remedy="Leave it as it was.")


def essence(step: Step) -> dict[str, JsonValue]:
    """A step without what the factory says of it."""
    return step.model_dump(mode="json", exclude=SEEN)
