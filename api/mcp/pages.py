"""What MCP's clients can read and start from: plans, conversations and documents as resources, and two prompts."""

import json
from pathlib import Path

from mcp import types
from mcp.shared.exceptions import MCPError

from api.client import ApiRefusal
from api.mcp.door import Context, Door

DOCUMENTS = {path.stem: path for path in sorted((Path(__file__).parents[2] / "docs").glob("*.md"))}
SCHEME = "lineshaft://"
PLANS_MAX = 50
COMPLETIONS_MAX = 100

ASK = types.Prompt(
    name="ask_factory",
    title="Ask the factory",
    description="Have something done by the platform: ask, read the plan, let a person approve it, wait for its end.",
    arguments=[types.PromptArgument(name="request", description="What is wanted, in plain words.", required=True)],
)
REVIEW = types.Prompt(
    name="review_plan",
    title="Review a plan",
    description="Read a proposed plan critically before a person decides.",
    arguments=[types.PromptArgument(name="plan_id", description="The plan's id.", required=True)],
)
WORDS = {
    "ask_factory": "Use chat_send with this request, word for word: {request}\n"
    "If a plan comes back, show me every step, its price and what undoes it, and ask me. Only if I say yes, call plans_approve "
    "with the plan's digest, then plans_wait, and tell me how it ended. If it is refused, tell me the reason and the remedy.",
    "review_plan": "Read the plan {plan_id} with plans_show. Tell me what each step changes, what it may cost, what undoes it, what the "
    "dry run and the policy said, and what you would ask before approving. Do not approve it.",
}


class Pages:
    """Resources, prompts and completions, under the caller's own key."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def resources(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        """The newest plans and the documents."""
        plans = await self._door.list(context, "/v1/plans", limit=PLANS_MAX)
        found = [resource("plans", str(plan["id"]), "application/json", f"plan, {plan['state']}") for plan in plans]
        found += [resource("docs", name, "text/markdown", "document") for name in DOCUMENTS]
        return types.ListResourcesResult(resources=found)

    async def templates(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        """How other resources are named."""
        kinds = {"plans/{plan_id}": "One plan.", "threads/{thread_id}": "The first events of a conversation.", "docs/{name}": "A document."}
        found = [
            types.ResourceTemplate(name=path.partition("/")[0], uri_template=f"{SCHEME}{path}", description=words)
            for path, words in kinds.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=found)

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Read one. What the key may not see is not there."""
        uri = str(params.uri)
        kind, _, name = uri.removeprefix(SCHEME).partition("/")
        path = {"plans": f"/v1/plans/{name}", "threads": f"/v1/threads/{name}/events"}.get(kind)
        if kind == "docs" and name in DOCUMENTS:
            return page(uri, "text/markdown", DOCUMENTS[name].read_text())
        if not uri.startswith(SCHEME) or path is None or not name.replace("-", "").replace("_", "").isalnum():
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri[:200]})
        try:
            told = await self._door.ask(context, "GET", path)
        except ApiRefusal as error:
            raise MCPError(types.INVALID_PARAMS, str(error), {"uri": uri[:200]}) from error
        return page(uri, "application/json", json.dumps(told, ensure_ascii=False))

    async def prompts(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        """The prompts that there are."""
        return types.ListPromptsResult(prompts=[ASK, REVIEW])

    async def prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """One prompt with its argument filled in."""
        given = params.arguments or {}
        prompt = next((each for each in (ASK, REVIEW) if each.name == params.name), None)
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name[:80]}")
        wanted = [argument.name for argument in prompt.arguments or []]
        if missing := [name for name in wanted if not given.get(name)]:
            raise MCPError(types.INVALID_PARAMS, f"The prompt needs: {', '.join(missing)}")
        text = WORDS[prompt.name].format(**{name: given[name] for name in wanted})
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=prompt.description, messages=[message])

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Complete a plan's id or a document's name."""
        typed, names = params.argument.value, list[str]()
        if params.argument.name == "plan_id":
            names = [str(plan["id"]) for plan in await self._door.list(context, "/v1/plans", limit=COMPLETIONS_MAX)]
        elif params.argument.name == "name":
            names = list(DOCUMENTS)
        values = [name for name in names if name.startswith(typed)][:COMPLETIONS_MAX]
        return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


def resource(kind: str, name: str, mime: str, words: str) -> types.Resource:
    """One line of the list."""
    return types.Resource(name=name, uri=f"{SCHEME}{kind}/{name}", mime_type=mime, description=words)


def page(uri: str, mime: str, text: str) -> types.ReadResourceResult:
    """One text."""
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=mime, text=text)])
