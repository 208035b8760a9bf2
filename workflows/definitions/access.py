"""Access to what another team owns: asked, decided by its owners or lapsed, granted until it expires or is taken back."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.access import ENDING_SECONDS, REMINDERS_MAX, AccessInput, AccessMove, AccessReminder, AccessStands
    from workflows.definitions.ballot import refusal
    from workflows.failures import explain

QUICK = timedelta(seconds=20)
RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))
"""What is due is done as soon as the database answers again, however long that takes."""
WORD = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_attempts=5)


@workflow.defn(name="access")
class AccessWorkflow:
    """One request. Its row is the truth: this only sees to it that nothing that is due is forgotten."""

    @workflow.init
    def __init__(self, asked: AccessInput) -> None:
        self._asked = asked
        self._stands = AccessStands(request_id=asked.request_id, state="asked")

    @workflow.run
    async def run(self, asked: AccessInput) -> AccessStands:
        """Tell the owners, wait for their word, then for the end of what they granted."""
        await self._opened()
        await self._decided(asked)
        if self._stands.state == "granted":
            await self._ended()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._stands

    async def _opened(self) -> None:
        """What is true already: a request that was shared is granted from its start."""
        self._stands = await workflow.execute_activity(
            "open_access", self._asked.request_id, start_to_close_timeout=QUICK, retry_policy=RETRY, result_type=AccessStands
        )

    async def _decided(self, asked: AccessInput) -> None:
        deadline = workflow.now() + timedelta(seconds=asked.decide_seconds)
        reminders = 0
        while self._stands.state == "asked":
            left = (deadline - workflow.now()).total_seconds()
            pause = left if reminders >= REMINDERS_MAX else min(left, asked.remind_seconds)
            if await self._changed("asked", pause):
                return
            if workflow.now() >= deadline:
                await self._go(AccessMove(act="lapsed", reason="Nobody decided in time."))
                return
            reminders += 1
            await self._remind(reminders, ending=False)

    async def _ended(self) -> None:
        ends = workflow.now() + timedelta(seconds=max(self._stands.seconds_left or 0.0, 0.0))
        left = (ends - workflow.now()).total_seconds()
        if left > 2 * ENDING_SECONDS:
            if await self._changed("granted", left - ENDING_SECONDS):
                return
            await self._remind(1, ending=True)
        if not await self._changed("granted", (ends - workflow.now()).total_seconds()):
            await self._go(AccessMove(act="expired", reason="Its time is over."))

    async def _changed(self, state: str, seconds: float) -> bool:
        """Wait so long for another state; False where there is none."""
        try:
            await workflow.wait_condition(lambda: self._stands.state != state, timeout=timedelta(seconds=max(seconds, 0.001)))
        except TimeoutError:
            return False
        return True

    async def _go(self, move: AccessMove) -> None:
        """What time does. Where a person was quicker, theirs stands."""
        self._stands = await workflow.execute_activity(
            "move_access", self._of(move), start_to_close_timeout=QUICK, retry_policy=RETRY, summary=move.act, result_type=AccessStands
        )

    async def _remind(self, number: int, *, ending: bool) -> None:
        told = AccessReminder(request_id=self._asked.request_id, number=number, ending=ending)
        await workflow.execute_activity("remind_access", told, start_to_close_timeout=QUICK, retry_policy=RETRY)

    @workflow.update
    async def move(self, move: AccessMove) -> AccessStands:
        """A person's word: grant, refuse, withdraw, revoke. Again changes nothing."""
        try:
            stands: AccessStands = await workflow.execute_activity(
                "move_access", self._of(move), start_to_close_timeout=QUICK, retry_policy=WORD, summary=move.act, result_type=AccessStands
            )
        except ActivityError as error:
            raise refusal(*explain(error)) from error
        self._stands = stands
        return stands

    @move.validator
    def _may_move(self, move: AccessMove) -> None:
        if move.act in {"lapsed", "expired"}:
            raise refusal("conflict", "Only time does that.")

    @workflow.query
    def stands(self) -> AccessStands:
        """Where it stands."""
        return self._stands

    def _of(self, move: AccessMove) -> AccessMove:
        return move.model_copy(update={"request_id": self._asked.request_id})
