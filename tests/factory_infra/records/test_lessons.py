"""Lessons: kept once, walled by team, removed for good."""

import pytest
from pydantic import JsonValue

from factory_infra.database import Database
from factory_infra.errors import Conflict, NotFound
from factory_infra.records.lessons import Lesson, Lessons, LessonState, Rating, lesson_id

pytestmark = pytest.mark.stack


@pytest.fixture
def lessons(database: Database) -> Lessons:
    return Lessons(database)


def lesson(tenant: str = "vision", words: str = "kick off it", **changed: JsonValue) -> Lesson:
    known = {
        "id": lesson_id(tenant, "example", "train-only", words),
        "tenant": tenant,
        "request": words,
        "anchor": words,
        "playbook": "train-only",
        "evidence": {"plan_id": f"plan-{tenant}"},
        "by": "verification",
    }
    return Lesson.model_validate({**known, **changed})


async def test_the_same_words_are_one_lesson_of_each_team(lessons: Lessons) -> None:
    first = await lessons.propose(lesson())
    await lessons.move(first, LessonState.PROMOTED, reason="good")
    again = await lessons.propose(lesson())
    assert again.id == first.id and again.state is LessonState.PROMOTED and again.reason == "good"
    assert (await lessons.propose(lesson("language"))).id != first.id
    assert len(await lessons.find("vision")) == 1 and len(await lessons.find(None)) == 2


async def test_only_the_teams_own_promoted_lessons_teach(lessons: Lessons) -> None:
    mine, theirs = await lessons.propose(lesson()), await lessons.propose(lesson("language"))
    await lessons.propose(lesson(words="another"))
    for each in (mine, theirs):
        await lessons.move(each, LessonState.PROMOTED)
    assert [each.id for each in await lessons.promoted("vision")] == [mine.id]
    assert await lessons.promoted(None) == [] and await lessons.promoted("speech") == []


async def test_another_teams_lesson_is_absent(lessons: Lessons) -> None:
    theirs = await lessons.propose(lesson("language"))
    told = []
    for identity in (theirs.id, "L-none"):
        with pytest.raises(NotFound) as refused:
            await lessons.get(identity, "vision")
        told.append((refused.value.error_code, refused.value.reason.replace(identity, "")))
    assert told[0] == told[1]
    assert await lessons.of_plan("plan-language", "vision") == []
    assert [each.id for each in await lessons.of_plan("plan-language", "language")] == [theirs.id]
    with pytest.raises(NotFound):
        await lessons.move(theirs.model_copy(update={"tenant": "vision"}), LessonState.REMOVED)


async def test_what_was_removed_stays_removed(lessons: Lessons) -> None:
    kept = await lessons.propose(lesson())
    await lessons.move(kept, LessonState.REMOVED)
    with pytest.raises(Conflict):
        await lessons.move(kept, LessonState.PROMOTED)
    assert (await lessons.propose(lesson())).state is LessonState.REMOVED
    assert await lessons.promoted("vision") == []


async def test_a_persons_latest_rating_counts(lessons: Lessons) -> None:
    for actor, score in (("ann", 1), ("ann", -1), ("bob", 1)):
        rating = {"plan_id": "p", "actor": actor, "tenant": "vision", "thread_id": "t", "score": score}
        await lessons.rate(Rating.model_validate(rating))
    assert {each.actor: each.score for each in await lessons.ratings("p", "vision")} == {"ann": -1, "bob": 1}
    assert await lessons.ratings("p", "language") == []
