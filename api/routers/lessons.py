"""Lessons: what the team's own runs taught; rate, list, show, decide, remove."""

import uuid

from fastapi import APIRouter

from api.deps import ApproverDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.schemas.lessons import NewRating, Word
from factory_infra.errors import Conflict
from factory_infra.records.lessons import Lesson, LessonState, Rating
from tools.plan import PlanState
from workflows.definitions.lesson import LessonWorkflow
from workflows.learning import LessonDecision, LessonInput

router = APIRouter(prefix="/v1", tags=["lessons"])
OPEN = {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING, PlanState.PAUSED}


@router.get("/lessons")
async def list_lessons(held: HouseDep, tenant: ScopeDep, page: PageDep, state: LessonState | None = None) -> list[Lesson]:
    """List lessons, newest first."""
    return await held.factory.lessons.find(tenant, state, page.limit, page.offset)


@router.get("/lessons/{lesson_id}")
async def get_lesson(lesson_id: str, asker: PrincipalDep, held: HouseDep) -> Lesson:
    """Show a lesson with its evidence and its scores."""
    return await held.factory.lessons.get(lesson_id, asker.tenant)


@router.delete("/lessons/{lesson_id}")
async def remove_lesson(lesson_id: str, asker: ApproverDep, held: HouseDep) -> Lesson:
    """Remove a lesson: the next turn is planned without it, and the same words do not bring it back."""
    lesson = await held.factory.lessons.get(lesson_id, asker.tenant)
    return await held.factory.lessons.move(lesson, LessonState.REMOVED, by=asker.actor, reason=f"Removed by {asker.actor}.")


@router.post("/lessons/{lesson_id}/decide")
async def decide_lesson(lesson_id: str, body: Word, asker: ApproverDep, held: HouseDep) -> Lesson:
    """Promote or drop a lesson that waits for a person."""
    lesson = await held.factory.lessons.get(lesson_id, asker.tenant)
    if lesson.state is not LessonState.EVALUATING or not lesson.workflow_id:
        raise Conflict(f"Lesson {lesson.id} is {lesson.state.value}.", remedy="Only one that waits for a person can be decided.")
    handle = held.temporal.get_workflow_handle_for(LessonWorkflow.run, lesson.workflow_id)
    decision = LessonDecision(promote=body.promote, by=asker.actor, reason=body.reason)
    await handle.execute_update(LessonWorkflow.decide, decision)
    return lesson


@router.post("/plans/{plan_id}/rating")
async def rate_plan(plan_id: str, body: NewRating, asker: UserDep, held: HouseDep) -> Rating:
    """Say what you think of a plan that is over. Your latest word counts; what it teaches is evaluated in the background."""
    record = await held.factory.records.plan(plan_id, asker.tenant)
    if record.state in OPEN:
        raise Conflict(f"Plan {plan_id} is {record.state}.", remedy="Rate it when it is over.")
    rating = Rating(
        plan_id=record.id,
        actor=asker.actor,
        tenant=record.tenant,
        thread_id=record.thread_id,
        score=body.score,
        comment=body.comment,
    )
    await held.factory.lessons.rate(rating)
    whose = LessonInput(tenant=record.tenant, plan_id=record.id)
    name = f"lesson-{record.id}-{uuid.uuid4().hex[:8]}"
    await held.temporal.start_workflow(LessonWorkflow.run, whose, id=name, task_queue=held.task_queue, static_summary="lesson")
    return rating
