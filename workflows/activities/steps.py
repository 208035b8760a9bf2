"""Activities over a plan's steps: foresee, run, verify, undo, and the reads of agents."""

from temporalio import activity

from agents.scope import within
from factory_infra.errors import Forbidden, InvalidInput, LineshaftError
from factory_infra.factory import Factory
from factory_infra.records.audit import NewEntry
from tools.plan import Effect
from tools.spec import Observation, ToolContext, observe, reference, refused
from tools.toolbox import AnyTool, resolve_tool
from workflows.activities.beating import beating
from workflows.activities.context import effect_key, telling, tool_context, translated
from workflows.messages import JsonObject, StepCall, ToolCall


class StepActivities:
    """Calls tools for workflows. The tool, not the plan, says what its effect is."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="foresee_step")
    @translated
    @telling
    async def foresee(self, request: StepCall) -> JsonObject:
        """Return the step with its dry run and its price; nothing is done. What the tool knows better than the plan is set right."""
        step, context = request.step, tool_context(self._factory, request, request.key)
        try:
            tool = await resolve_tool(self._factory, step.tool, request.tenant)
            if not any(reference(value) for value in step.arguments.values()):
                tool.parse(step.arguments)
        except LineshaftError as error:
            return step.model_copy(update={"dry_run": refused(error)}).model_dump(mode="json")
        foreseen = {
            "effect": tool.effect,
            "runs_as": tool.runs_as,
            "undo": tool.undo_words or step.undo,
            "postcondition": tool.postcondition or step.postcondition,
            "dry_run": await tool.dry_run(context, step.arguments) if tool.dry_run else None,
            "price": await tool.price(context, step.arguments) if tool.price else None,
        }
        return step.model_copy(update=foreseen).model_dump(mode="json")

    @activity.defn(name="run_step")
    @translated
    async def run(self, request: StepCall) -> JsonObject:
        """Do the step, once under its key, and return the tool's result. Raises EffectsStopped, and Forbidden outside the plan's scope."""
        tool = await checked_tool(self._factory, request)
        key = effect_key(self._factory, request.key)
        arguments = tool.parse(request.arguments)
        if tool.effect is not Effect.READ:
            await self._factory.switch.check()

        async def effect() -> JsonObject:
            result = await tool.call(tool_context(self._factory, request, key), arguments)
            dumped: JsonObject = result.model_dump(mode="json")
            return dumped

        async with beating():
            if tool.effect is Effect.READ:
                return await effect()
            return await self._factory.records.once(key, tool.name, request.tenant, effect)

    @activity.defn(name="verify_step")
    @translated
    async def verify(self, request: StepCall) -> JsonObject:
        """Check the postcondition against the factory. Raises PostconditionFailed."""
        tool = await checked_tool(self._factory, request)
        if tool.verify is not None:
            context = tool_context(self._factory, request, request.key)
            await tool.verify(context, tool.parse(request.arguments), tool.result.model_validate(request.result))
        return {"verified": tool.verify is not None}

    @activity.defn(name="undo_step")
    @translated
    async def undo(self, request: StepCall) -> JsonObject:
        """Undo what the step did; a step whose tool has no undo is left, and that is told. Raises EffectsStopped."""
        tool = await checked_tool(self._factory, request)
        if tool.undo is None:
            return {"undone": False, "told": tool.undo_words}
        await self._factory.switch.check()
        async with beating():
            context = tool_context(self._factory, request, request.key)
            told = await tool.undo(context, tool.parse(request.arguments), tool.result.model_validate(request.result))
            entry = NewEntry(action=f"undo:{tool.name}", object=f"effect/{request.key}", tenant=request.tenant, actor="agents")
            await self._factory.audit.add(entry)
        return {"undone": True, "told": told}

    @activity.defn(name="call_tool")
    @translated
    async def call(self, request: ToolCall) -> JsonObject:
        """Make a read-only call for an agent and return the observation; an effect is refused here, whatever was planned."""
        try:
            tool = await resolve_tool(self._factory, request.name, request.tenant)
            if tool.effect is not Effect.READ:
                raise Forbidden(f"{tool.name} changes the world.", code="needs_approval", remedy="Propose a plan.")
            context = ToolContext(
                factory=self._factory,
                tenant=request.tenant,
                actor=request.actor,
                key="",
                plan_id=request.plan_id,
                thread_id=request.thread_id,
                agent=request.agent,
            )
            result = await tool.call(context, tool.parse(request.arguments))
        except LineshaftError as error:
            if error.retryable:
                raise
            return observe(error).model_dump(mode="json")
        return Observation(outcome="ok", result=result.model_dump(mode="json")).model_dump(mode="json")


async def checked_tool(factory: Factory, request: StepCall) -> AnyTool:
    """Return the step's tool. Raises InvalidInput when the plan calls its effect something else, Forbidden outside the plan's scope."""
    step = request.step
    tool = await resolve_tool(factory, step.tool, request.tenant)
    if tool.effect is not step.effect:
        raise InvalidInput(f"{tool.name} is {tool.effect}, the plan says {step.effect}.", remedy="Plan again.")
    if request.scope is not None and (against := within(step, request.scope, request.arguments)) is not None:
        raise Forbidden(against, code="out_of_scope", remedy="Ask for it in words of your own.")
    return tool
