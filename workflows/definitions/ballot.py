"""Who has approved one revision of a plan, and who may: deterministic, for the plan's workflow."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from tools.approval import may_approve
    from tools.plan import Plan, Verdict
    from workflows.messages import Decision

BY_DEFAULT = Verdict(decision="approve", approvals=1)
"""A plan that nobody judged needs one approver."""


def refusal(code: str, reason: str, remedy: str = "") -> ApplicationError:
    """Build the error with which a workflow refuses an update."""
    return ApplicationError(reason, {"code": code, "reason": reason, "remedy": remedy}, type=code, non_retryable=True)


class Ballot:
    """The decisions on exactly one digest. A refusal by one person ends it; approvals run out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digest = plan.digest()
        self.verdict = plan.verdict or BY_DEFAULT
        self.refused: Decision | None = None
        self._given: list[tuple[datetime, Decision]] = []

    @property
    def needed(self) -> int:
        """How many different people must approve."""
        return max(self.verdict.approvals, 1)

    def approvers(self, now: datetime) -> list[str]:
        """Whose approvals are good now."""
        lasting = timedelta(seconds=self.verdict.expires_seconds)
        return [each.who.actor for at, each in self._given if at + lasting > now]

    def complete(self, now: datetime) -> bool:
        """Whether enough people have approved."""
        return self.refused is None and len(self.approvers(now)) >= self.needed

    def check(self, decision: Decision, now: datetime) -> None:
        """Raise ApplicationError where a decision does not count. Changes nothing."""
        if decision.who.tenant not in (None, self.plan.tenant):
            raise refusal("not_found", f"There is no plan {self.plan.id}.")
        if decision.digest != self.digest:
            raise refusal("digest_mismatch", "The decision names another version of the plan.", "Read the plan again.")
        if not decision.approve:
            return
        who, given = decision.who, self.approvers(now)
        against = may_approve(self.verdict, requester=self.plan.requested_by, approver=who.actor, role=who.role, already=given)
        if against is not None:
            raise refusal("approval_refused", against, "Ask another approver.")

    def add(self, decision: Decision, at: datetime) -> None:
        """Count a decision that was checked."""
        if decision.approve:
            self._given.append((at, decision))
        else:
            self.refused = decision
