"""A small factory for the planner's tests, and a way to talk to the planner in it."""

from agents.planning.interface import DatasetFact, EndpointFact, Facts, JobFact, LeaseFact, ModelFact, Outcome, Pending, TeamFact, Turn
from agents.planning.planner import PlaybookPlanner


def facts(home: str | None = "vision", *, slot_kind: str = "cpu", teams: tuple[str, ...] = ("vision", "speech")) -> Facts:
    """Team vision with two models, two endpoints, a lease and a job; team speech with nothing."""
    vision = TeamFact(
        name="vision",
        quota_slots=3,
        quota_slots_used=1,
        models=[
            ModelFact(model_name="digits-classifier", version=1, dataset="digits", accuracy=0.91),
            ModelFact(model_name="digits-classifier", version=2, dataset="digits", accuracy=0.97),
            ModelFact(model_name="iris-classifier", version=1, dataset="iris", accuracy=0.95),
        ],
        endpoints=[
            EndpointFact(name="digits", model_name="digits-classifier", version=2, previous_version=1),
            EndpointFact(name="flowers-api", model_name="iris-classifier", version=1),
        ],
        leases=[LeaseFact(id="lease-7f3a91", slots=1, purpose="training")],
        jobs=[JobFact(id="job-ab12cd", name="train-digits", state="running")],
    )
    speech = TeamFact(name="speech", quota_slots=2, quota_slots_used=0)
    return Facts(
        home_team=home,
        teams=[team for team in (vision, speech) if team.name in teams and home in {None, team.name}],
        datasets=[
            DatasetFact(name="digits", aliases=["digit", "handwritten digits", "handwriting"]),
            DatasetFact(name="iris", aliases=["flowers", "flower"]),
            DatasetFact(name="wine", aliases=["wines", "grapes"]),
            DatasetFact(name="breast_cancer", aliases=["breast cancer", "tumour"]),
        ],
        slot_kind="gpu" if slot_kind == "gpu" else "cpu",
        slots_total=4,
        slots_free=3,
    )


async def say(
    planner: PlaybookPlanner, text: str, state: Facts, pending: Pending | None = None, answers: dict[str, str] | None = None
) -> Outcome:
    """One message through both halves of the planner."""
    ranking = await planner.rank(Turn(text=text, pending=pending), state)
    return planner.settle(ranking, answers or {}, state)


async def talk(planner: PlaybookPlanner, texts: list[str], state: Facts) -> Outcome:
    """Several messages of one thread: what is open is carried as the thread does."""
    pending: Pending | None = None
    outcome = None
    for text in texts:
        outcome = await say(planner, text, state, pending)
        if outcome.type == "draft":
            pending = Pending(playbook=outcome.playbook, slots=outcome.slots, request=text, plan_id="plan-1")
        else:
            pending = outcome.pending
    assert outcome is not None
    return outcome
