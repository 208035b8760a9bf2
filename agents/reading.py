"""The reading tools of the loop: every call is an activity, every result is labelled data, and texts are asked about, not read."""

from pydantic import BaseModel, ConfigDict

from agents.desk import Desk
from agents.loop import AnyLoopTool, LoopTool, parameters
from agents.quarantine import UNKNOWN, ReadText, reader_call, typed_answer
from agents.scope import gated, plain
from agents.specialists import ROSTER
from agents.state import OfferedTool
from factory_infra.errors import LineshaftError
from tools.plan import Effect
from tools.ports import JsonObject
from tools.spec import observe
from tools.toolbox import AnyTool, tool_named

READ_TEXT = (
    "Ask one question about a text that is shown to you as a handle <text:N ...>. Another model reads it and answers yes, no, "
    "a number, one of the names that are known, or unknown."
)


class OpenArguments(BaseModel):
    """Arguments of another's tool: its own server checks them."""

    model_config = ConfigDict(extra="allow")


def readers(desk: Desk) -> list[AnyLoopTool]:
    """What an agent may read with: the reading tools of its roster file, those of others, and the quarantined reader."""
    own = [tool_named(name) for name in ROSTER[desk.agent].tools]
    found = [reading_tool(tool, desk) for tool in own if tool.effect is Effect.READ and tool.runs_as == "activity"]
    found += [foreign_reader(tool, desk) for tool in desk.situation.foreign if plain(tool.name)]
    return [*found, text_reader(desk)] if gated() else found


def reading_tool(tool: AnyTool, desk: Desk) -> AnyLoopTool:
    """Make a read-only tool callable by the loop. A dot is not allowed in the field's tool names."""

    async def call(arguments: BaseModel) -> str:
        return await observed(tool.name, arguments.model_dump(mode="json", exclude_unset=True), desk)

    return LoopTool(called(tool.name), tool.description, tool.arguments, call)


def foreign_reader(tool: OfferedTool, desk: Desk) -> AnyLoopTool:
    """Make another's tool callable. What its server says of it is not shown: names of arguments and their types are enough to call it."""

    async def call(arguments: OpenArguments) -> str:
        return await observed(tool.name, arguments.model_dump(mode="json"), desk)

    if not gated():
        return LoopTool(called(tool.name), tool.description, OpenArguments, call, tool.parameters or parameters(OpenArguments))
    words = f"The tool {tool.name} of another's server. Its own description: {desk.vault.hold(tool.name, tool.description)}"
    return LoopTool(called(tool.name), words, OpenArguments, call, bare_schema(tool.parameters))


def bare_schema(schema: JsonObject) -> JsonObject:
    """Of a stranger's schema: the names and types of its top fields."""
    properties = schema.get("properties")
    fields = properties if isinstance(properties, dict) else {}
    kinds = {name: each.get("type") if isinstance(each, dict) else None for name, each in fields.items() if plain(name)}
    typed: JsonObject = {name: {"type": kind} if isinstance(kind, str) and plain(kind) else {} for name, kind in kinds.items()}
    return {"type": "object", "properties": typed}


def called(name: str) -> str:
    """A tool's name as the loop offers it."""
    return name.replace(".", "_")


async def observed(name: str, arguments: JsonObject, desk: Desk) -> str:
    """Call a tool as an activity; what it says, its errors too, is labelled data."""
    request: JsonObject = {
        "name": name,
        "agent": desk.agent,
        "arguments": arguments,
        "tenant": desk.team,
        "actor": desk.turn.who.actor,
        "plan_id": desk.turn.plan_id,
        "thread_id": desk.turn.thread_id,
    }
    found = await desk.ports.call("call_tool", request)
    await desk.ports.emit("tool.returned", {"tool": name, "agent": desk.agent, "outcome": found["outcome"]})
    return desk.vault.shown(name, {key: value for key, value in found.items() if value not in ("", {}, None)})


def text_reader(desk: Desk) -> AnyLoopTool:
    """The quarantined reader as a tool: the text goes to a model without tools, and only a typed answer comes back."""

    async def call(asked: ReadText) -> str:
        try:
            reading = reader_call(asked, desk.vault.text(asked.handle), desk.vault.names)
        except LineshaftError as error:
            return observe(error).model_dump_json()
        answer = await desk.ask(reading, "text")
        typed: JsonObject = {"answer": UNKNOWN} if answer is None else typed_answer(reading, answer.content)
        return desk.vault.shown("read_text", typed)

    return LoopTool("read_text", READ_TEXT, ReadText, call)
