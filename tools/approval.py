"""Who may approve a plan: pure, and light enough for workflow files."""

from collections.abc import Sequence

from tools.plan import Verdict

ROLES = ("viewer", "user", "operator", "approver", "admin")
"""From the least to the most; the tenants' roles in their order."""


def person(actor: str) -> str:
    """Who acts, whichever of their keys they use: 'ann (k1)' and 'Ann (k2)' are one."""
    name, bracket, _ = actor.rpartition(" (")
    return (name if bracket else actor).strip().casefold()


def reaches(role: str, needed: str) -> bool:
    """Whether a role may do what another may; an unknown role reaches nothing, and nothing reaches an unknown one."""
    return role in ROLES and needed in ROLES and ROLES.index(role) >= ROLES.index(needed)


def may_approve(verdict: Verdict, *, requester: str, approver: str, role: str, already: Sequence[str] = ()) -> str | None:
    """Return why this person may not approve the plan now, or None where they may.

    Args:
        verdict: what the policy said of exactly this plan.
        requester: the actor who asked for the plan, 'NAME (KEY)'.
        approver: the actor who approves.
        role: the approver's role.
        already: actors whose approval of this plan counts.
    """
    if verdict.decision == "refuse":
        return "The policy refuses this plan: nobody can approve it."
    if not reaches(role, verdict.role):
        return f"The policy asks for the role {verdict.role}; {approver} has {role}."
    if not verdict.requester_may_approve and person(approver) == person(requester):
        return "The policy asks for two people: who asked for a plan may not approve it."
    if person(approver) in {person(each) for each in already}:
        return f"{approver} has approved it already; the policy asks for {verdict.approvals} different people."
    return None
