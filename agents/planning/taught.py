"""What a team's lessons say of a request: which playbook words like these mean, and which they do not."""

from collections.abc import Sequence

from pydantic import BaseModel

from agents.planning.interface import Draft, LessonFact, Outcome, Question, Ranking

NEAR = 0.6
SURE = 0.93
"""From here on the words are those that were taught, names and numbers apart."""
WEIGHT = 0.5


class Teaching(BaseModel):
    """Likeness to playbooks with what was taught, and who taught it."""

    similar: dict[str, float]
    used: dict[str, list[str]] = {}
    taught: list[str] = []


def teach(similar: dict[str, float], lessons: Sequence[LessonFact], nearness: Sequence[float]) -> Teaching:
    """Let examples draw a playbook nearer and lessons push it away. A lesson about a playbook that is gone says nothing."""
    teaching = Teaching(similar=dict(similar))
    for lesson, near in zip(lessons, nearness, strict=True):
        base = similar.get(lesson.playbook)
        sure = near >= SURE
        if base is None or near < NEAR:
            continue
        if lesson.kind == "lesson":
            pushed = sure
            teaching.similar[lesson.playbook] -= WEIGHT if sure else 0.0
        else:
            pushed = near > base
            teaching.similar[lesson.playbook] = max(teaching.similar[lesson.playbook], near + (WEIGHT if sure else 0.0))
            teaching.taught += [lesson.playbook] if sure else []
        if pushed:
            teaching.used.setdefault(lesson.playbook, []).append(lesson.id)
    return teaching


def is_taught(ranking: Ranking, playbook: str) -> bool:
    """Whether a promoted example says that these very words mean the playbook."""
    return playbook in (ranking.model_extra or {}).get("taught", [])


def credited(outcome: Outcome, ranking: Ranking) -> Outcome:
    """The outcome with the lessons that led to it, named in its words."""
    used = used_for(outcome, ranking)
    if not used:
        return outcome
    told = f"Understood with lesson {', '.join(used)}."
    if isinstance(outcome, Draft):
        return outcome.model_copy(update={"lessons": used, "notes": [*outcome.notes, told]})
    if isinstance(outcome, Question) and outcome.pending is not None:
        pending = outcome.pending.model_copy(update={"lessons": used})
        return outcome.model_copy(update={"text": f"{outcome.text} {told}", "pending": pending})
    return outcome


def used_for(outcome: Outcome, ranking: Ranking) -> list[str]:
    """Lessons about the playbook that the outcome is about, and those that an open question of the same playbook came from."""
    if isinstance(outcome, Draft):
        playbook = outcome.playbook
    elif isinstance(outcome, Question) and outcome.pending is not None:
        playbook = outcome.pending.playbook
    else:
        return []
    now = (ranking.model_extra or {}).get("used", {}).get(playbook, [])
    before = ranking.turn.pending
    carried = before.lessons if before is not None and before.playbook == playbook and not ranking.candidates else []
    return list(dict.fromkeys([*carried, *now]))
