"""What the conformance suite asks of any server by name, added to the product's own MCP server behind the product's own door."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import httpx
from fastapi import FastAPI
from mcp import types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from starlette.routing import Route

from api import errors
from api.deps import House
from api.mcp.door import Context, Door
from api.mcp.face import McpFace
from api.mcp.pages import Pages
from api.mcp.toolset import Toolset
from factory_infra.errors import Unauthenticated
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.settings import Settings

PIXEL = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000000d49484452")).decode()
SOUND = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt ").decode()
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
Result = types.CallToolResult
Act = Callable[[Context, dict[str, Any]], Awaitable[Result]]


def said(*parts: types.ContentBlock, failed: bool = False) -> Result:
    """A result of some parts."""
    return Result(content=list(parts), is_error=failed)


def words(text: str) -> types.TextContent:
    """A text."""
    return types.TextContent(type="text", text=text)


def embedded(uri: str) -> types.EmbeddedResource:
    """A resource inside a result."""
    return types.EmbeddedResource(type="resource", resource=types.TextResourceContents(uri=uri, mime_type="text/plain", text="embedded"))


IMAGE = types.ImageContent(type="image", data=PIXEL, mime_type="image/png")
AUDIO = types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav")


def fixed(result: Result) -> Act:
    """A tool that always says the same."""

    async def act(context: Context, arguments: dict[str, Any]) -> Result:
        return result

    return act


async def logging(context: Context, arguments: dict[str, Any]) -> Result:
    """Three log messages."""
    for text in ("started", "processing", "completed"):
        await context.session.send_log_message("info", f"Tool {text}", related_request_id=context.request_id)
        await anyio.sleep(0.05)
    return said(words("logged"))


async def progressing(context: Context, arguments: dict[str, Any]) -> Result:
    """Three steps of progress."""
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100)
        await anyio.sleep(0.05)
    return said(words("done"))


async def sampling(context: Context, arguments: dict[str, Any]) -> Result:
    """Ask the client's model."""
    message = types.SamplingMessage(role="user", content=words(str(arguments["prompt"])))
    told = await context.session.create_message([message], max_tokens=100, related_request_id=context.request_id)
    return said(words(f"LLM response: {told.content}"))


def asking(properties: dict[str, Any], required: list[str]) -> Act:
    """A tool that asks the client's user by a form."""

    async def act(context: Context, arguments: dict[str, Any]) -> Result:
        schema = {"type": "object", "properties": properties, "required": required}
        told = await context.session.elicit_form(str(arguments.get("message", "?")), schema, related_request_id=context.request_id)
        return said(words(f"Elicitation completed: action={told.action}, content={told.content}"))

    return act


async def reconnecting(context: Context, arguments: dict[str, Any]) -> Result:
    """Close the stream in the middle of a call, where the transport can resume it."""
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await anyio.sleep(0.1)
    return said(words("reconnected"))


def choices(*names: str) -> list[dict[str, str]]:
    """Titled values."""
    return [{"const": name, "title": name.title()} for name in names]


DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
OPTIONS = ["option1", "option2", "option3"]
ENUMS = {
    "untitledSingle": {"type": "string", "enum": OPTIONS},
    "titledSingle": {"type": "string", "oneOf": choices("value1", "value2", "value3")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": choices("value1", "value2", "value3")}},
}
WHO = {"username": {"type": "string"}, "email": {"type": "string"}}
RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}
TOOLS: dict[str, tuple[dict[str, Any], Act]] = {
    "test_simple_text": (NOTHING, fixed(said(words("This is a simple text response for testing.")))),
    "test_image_content": (NOTHING, fixed(said(IMAGE))),
    "test_audio_content": (NOTHING, fixed(said(AUDIO))),
    "test_embedded_resource": (NOTHING, fixed(said(embedded("test://embedded-resource")))),
    "test_multiple_content_types": (NOTHING, fixed(said(words("several"), IMAGE, embedded("test://mixed-content-resource")))),
    "test_error_handling": (NOTHING, fixed(said(words("This tool intentionally returns an error for testing"), failed=True))),
    "test_tool_with_logging": (NOTHING, logging),
    "test_tool_with_progress": (NOTHING, progressing),
    "test_sampling": ({"type": "object", "properties": {"prompt": {"type": "string"}}}, sampling),
    "test_elicitation": ({"type": "object", "properties": {"message": {"type": "string"}}}, asking(WHO, ["username", "email"])),
    "test_elicitation_sep1034_defaults": (NOTHING, asking(DEFAULTS, [])),
    "test_elicitation_sep1330_enums": (NOTHING, asking(ENUMS, [])),
    "test_reconnection": (NOTHING, reconnecting),
    "json_schema_2020_12_tool": (RICH_SCHEMA, fixed(said(words("kept")))),
}


def prompt_message(content: types.ContentBlock) -> types.PromptMessage:
    """What a user would say."""
    return types.PromptMessage(role="user", content=content)


PROMPTS: dict[str, tuple[list[str], Callable[[dict[str, str]], list[types.PromptMessage]]]] = {
    "test_simple_prompt": ([], lambda given: [prompt_message(words("This is a simple prompt for testing."))]),
    "test_prompt_with_arguments": (["arg1", "arg2"], lambda given: [prompt_message(words(f"Arguments: {given['arg1']}, {given['arg2']}"))]),
    "test_prompt_with_embedded_resource": (["resourceUri"], lambda given: [prompt_message(embedded(given["resourceUri"]))]),
    "test_prompt_with_image": ([], lambda given: [prompt_message(IMAGE), prompt_message(words("Look at it."))]),
}


class Suite:
    """The product's server with more in each list."""

    def __init__(self, door: Door) -> None:
        self._tools = Toolset(door)
        self._pages = Pages(door)

    async def tools(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """All tools."""
        more = [types.Tool(name=name, description=name, input_schema=schema) for name, (schema, _) in TOOLS.items()]
        return types.ListToolsResult(tools=[*(await self._tools.list(context, params)).tools, *more])

    async def call(self, context: Context, params: types.CallToolRequestParams) -> Result:
        """Call one."""
        if params.name in TOOLS:
            return await TOOLS[params.name][1](context, dict(params.arguments or {}))
        return await self._tools.call(context, params)

    async def resources(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        """All resources."""
        more = [types.Resource(name=name, uri=f"test://{name}") for name in ("static-text", "static-binary", "watched-resource")]
        return types.ListResourcesResult(resources=[*(await self._pages.resources(context, params)).resources, *more])

    async def templates(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        """All templates."""
        more = types.ResourceTemplate(name="template", uri_template="test://template/{id}/data")
        return types.ListResourceTemplatesResult(
            resource_templates=[*(await self._pages.templates(context, params)).resource_templates, more]
        )

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Read one."""
        uri = str(params.uri)
        if not uri.startswith("test://"):
            return await self._pages.read(context, params)
        if uri == "test://static-binary":
            return types.ReadResourceResult(contents=[types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)])
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type="text/plain", text=f"text of {uri}")])

    async def prompts(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        """All prompts."""
        more = [
            types.Prompt(name=name, description=name, arguments=[types.PromptArgument(name=each, required=True) for each in wanted])
            for name, (wanted, _) in PROMPTS.items()
        ]
        return types.ListPromptsResult(prompts=[*(await self._pages.prompts(context, params)).prompts, *more])

    async def prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """One prompt."""
        if params.name not in PROMPTS:
            return await self._pages.prompt(context, params)
        wanted, write = PROMPTS[params.name]
        if not set(wanted) <= set(params.arguments or {}):
            raise MCPError(types.INVALID_PARAMS, "arguments are missing")
        return types.GetPromptResult(messages=write(params.arguments or {}))

    async def nothing(self, context: Context, params: object) -> types.EmptyResult:
        """Accept a subscription or a level."""
        return types.EmptyResult()


class OneKey:
    """The keys of an installation that has one."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def authenticate(self, key: str) -> Principal:
        """Tell whom the key stands for. Raises Unauthenticated."""
        if key != self._key:
            raise Unauthenticated("The key is not valid.")
        return Principal(key_id="suite", name="suite", role=Role.APPROVER, tenant="vision")


def fixture_app(api: str, key: str) -> FastAPI:
    """An application with the product's door to MCP at `/mcp`, whose server also has what the suite asks for."""
    door = Door(httpx.AsyncClient(base_url=api, trust_env=False, timeout=60), lambda context: f"Bearer {key}")
    more = Suite(door)
    server: Server[Any] = Server(
        "lineshaft",
        version="0.1.0",
        on_list_tools=more.tools,
        on_call_tool=more.call,
        on_list_resources=more.resources,
        on_list_resource_templates=more.templates,
        on_read_resource=more.read,
        on_subscribe_resource=more.nothing,
        on_unsubscribe_resource=more.nothing,
        on_list_prompts=more.prompts,
        on_get_prompt=more.prompt,
        on_completion=Pages(door).complete,
        on_set_logging_level=more.nothing,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with app.state.mcp.manager.run():
            yield

    app = FastAPI(lifespan=lifespan)
    errors.install(app)
    app.state.house = cast("House", SimpleNamespace(factory=SimpleNamespace(tenants=OneKey(key))))
    app.state.mcp = McpFace(app, Settings(model="none"), server)
    app.router.routes.append(Route("/mcp", endpoint=app.state.mcp))
    return app
