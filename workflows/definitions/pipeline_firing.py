"""One firing of a trigger by the clock: its own name makes it one, however often it is tried."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.definitions.pipeline_calls import ask
    from workflows.pipelining import FiringInput, Told


@workflow.defn(name="pipeline_firing")
class PipelineFiringWorkflow:
    """Starts a run, or tells why it started none."""

    @workflow.run
    async def run(self, asked: FiringInput) -> Told:
        """Fire."""
        named = asked.model_copy(update={"key": workflow.info().workflow_id})
        return await ask("fire_pipeline_trigger", named, Told, asked.trigger_id)
