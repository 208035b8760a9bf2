"""The comparison of what exists with what the ledger owns, pool by pool: on a schedule, and on demand."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.reconciling import PoolQuestion, PoolReport, Pools, ReconcileInput, ReconcileReport

LIMIT = timedelta(minutes=15)
"""Removing what is stray waits until its machines are gone."""
HEARTBEAT = timedelta(seconds=30)
RETRY = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(seconds=30), maximum_attempts=5)


@workflow.defn(name="reconcile")
class ReconcileWorkflow:
    """One comparison. A pool that does not answer is told, and does not hold the others up."""

    @workflow.run
    async def run(self, request: ReconcileInput) -> ReconcileReport:
        """Compare every pool and return what was found and done."""
        names = (
            request.pools
            or (
                await workflow.execute_activity(
                    "pools_of_machines", start_to_close_timeout=timedelta(seconds=30), retry_policy=RETRY, result_type=Pools
                )
            ).names
        )
        return ReconcileReport(pools=[await self._compared(name) for name in names])

    async def _compared(self, pool: str) -> PoolReport:
        try:
            found: PoolReport = await workflow.execute_activity(
                "reconcile_pool",
                PoolQuestion(pool=pool),
                start_to_close_timeout=LIMIT,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRY,
                summary=pool,
                result_type=PoolReport,
            )
        except ActivityError as error:
            cause = error.cause
            return PoolReport(pool=pool, error=cause.message if isinstance(cause, ApplicationError) else str(cause or error))
        return found
