"""The model server's HTTP face: the OpenAI shapes for chat and embeddings behind one key."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models import minilm
from factory_infra.saas.models.backends.counts import tokens_of_prompt, usage_told
from factory_infra.saas.models.llama import Llama
from factory_infra.saas.models.minilm import MiniLM
from factory_infra.saas.models.server_guard import Guard, problem
from factory_infra.saas.models.server_usage import StreamCounter, UsageBook

TEXTS_MAX = 256
TOKENS_MAX = 2048

Text = Annotated[str, StringConstraints(max_length=20_000)]
WATCH_SECONDS = 0.5
CALL_ID = "x-request-id"


@dataclass
class Chat:
    """The chat model that is served."""

    name: str
    llama: Llama
    timeout_seconds: float
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.llama.client(self.timeout_seconds)


@dataclass(frozen=True)
class ChatOff:
    """Why no chat model is served."""

    code: str
    reason: str
    remedy: str


class EmbeddingsRequest(BaseModel):
    """What OpenAI's clients send; only floats are given back."""

    model_config = ConfigDict(extra="ignore")

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=TEXTS_MAX)]
    encoding_format: Literal["float"] = "float"


class ChatRequest(BaseModel):
    """The fields that go on to the engine; others are left out."""

    model_config = ConfigDict(extra="ignore")

    messages: list[dict[str, JsonValue]] = Field(min_length=1, max_length=512)
    max_tokens: int = Field(default=512, ge=1, le=TOKENS_MAX)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, ge=0.0, le=1.0)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: dict[str, JsonValue] | None = None
    response_format: dict[str, JsonValue] | None = None
    grammar: Annotated[str, StringConstraints(max_length=100_000)] | None = None
    tools: list[dict[str, JsonValue]] | None = None
    tool_choice: str | dict[str, JsonValue] | None = None


def build_app(key: str, embedder: MiniLM, chat: Chat | ChatOff) -> FastAPI:
    """Join the parts. Everything but `/health` wants `Authorization: Bearer KEY`; no CORS header is ever sent."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if isinstance(chat, Chat):
            await chat.client.aclose()
            chat.llama.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, key=key)
    _add_errors(app)
    _add_health(app, chat)
    book = UsageBook()
    _add_embeddings(app, embedder, book)
    _add_chat(app, chat, book)
    _add_usage(app, book)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(LineshaftError)
    async def lineshaft_error(_: Request, error: LineshaftError) -> JSONResponse:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(InvalidInput(f"{place}: {first['msg']}.", remedy="Send the OpenAI shape."))


def _add_health(app: FastAPI, chat: Chat | ChatOff) -> None:
    @app.get("/health")
    async def health() -> dict[str, JsonValue]:
        state: dict[str, JsonValue] = {"status": "ready", "embeddings": minilm.NAME, "chat": None}
        if isinstance(chat, Chat):
            return state | {"chat": chat.name}
        return state | {"code": chat.code, "reason": chat.reason, "remedy": chat.remedy}

    @app.get("/v1/models")
    async def models() -> dict[str, JsonValue]:
        names = [minilm.NAME] + ([chat.name] if isinstance(chat, Chat) else [])
        return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "lineshaft"} for name in names]}


def _add_embeddings(app: FastAPI, embedder: MiniLM, book: UsageBook) -> None:
    # One thread: the model takes one batch at a time anyway, and every further thread would keep memory of its own.
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")

    @app.post("/v1/embeddings")
    async def embeddings(request: EmbeddingsRequest, connection: Request) -> JSONResponse:
        texts = [request.input] if isinstance(request.input, str) else request.input
        embedded = await asyncio.get_running_loop().run_in_executor(executor, embedder.embed, texts)
        book.remember(connection.headers.get(CALL_ID), Usage(tokens_in=embedded.tokens), final=True)
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(embedded.vectors.tolist())]
        usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
        return JSONResponse({"object": "list", "model": minilm.NAME, "data": data, "usage": usage})


def _add_usage(app: FastAPI, book: UsageBook) -> None:
    @app.get("/v1/usage/{call_id:path}")
    async def usage(call_id: str) -> dict[str, JsonValue]:
        told = book.tell(call_id)
        if told is None:
            raise NotFound("This server does not know that call, or not any more.", code="call_unknown")
        return told


def _add_chat(app: FastAPI, chat: Chat | ChatOff, book: UsageBook) -> None:
    @app.post("/v1/chat/completions", response_model=None)
    async def completions(request: ChatRequest, connection: Request) -> Response:
        if isinstance(chat, ChatOff):
            raise Unavailable(chat.reason, remedy=chat.remedy, code=chat.code)
        # Until the engine tells what it counts, the prompt is what the call has used.
        counted = Counted(book, connection.headers.get(CALL_ID), Usage(tokens_in=tokens_of_prompt(request.model_dump()), estimated=True))
        counted.note(counted.at_least, final=False)
        try:
            response = await _asked(chat, request, connection)
        except LineshaftError:
            counted.note(counted.at_least, final=True)
            raise
        if request.stream and response.status_code == httpx.codes.OK:
            told = bool((request.stream_options or {}).get("continuous_usage_stats"))
            counter = StreamCounter(chat.name, counted.at_least.tokens_in, told_to_caller=told)
            chunks = _chunks(response, counter, counted)
            return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return await _passed_on(chat, response, counted)


@dataclass(frozen=True)
class Counted:
    """Where the usage of one call is noted."""

    book: UsageBook
    call_id: str | None
    at_least: Usage

    def note(self, usage: Usage, *, final: bool) -> None:
        """Note what the call used so far, or in all."""
        self.book.remember(self.call_id, usage, final=final)


async def _asked(chat: Chat, request: ChatRequest, connection: Request) -> httpx.Response:
    """The engine's answer, as soon as it begins."""
    body = request.model_dump(exclude_none=True) | {"cache_prompt": True, "model": chat.name}
    if request.stream:
        body["timings_per_token"] = True
    upstream = chat.client.build_request("POST", "/v1/chat/completions", json=body)
    try:
        return await _while_connected(connection, chat.client.send(upstream, stream=True))
    except httpx.TimeoutException as error:
        raise Unavailable(f"{chat.name} did not answer in time.", remedy="Ask again, or for less.", code="model_timeout") from error
    except httpx.TransportError as error:
        raise EffectFailed(f"The engine of {chat.name} broke off: {error}", remedy="Ask again.", code="model_failed") from error


async def _while_connected(connection: Request, sending: Coroutine[None, None, httpx.Response]) -> httpx.Response:
    """Wait for the engine, and stop it when nobody waits for its answer any more: it has one slot."""
    task = asyncio.create_task(sending)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=WATCH_SECONDS)
            if not task.done() and await connection.is_disconnected():
                raise Unavailable("The caller is gone.", code="caller_gone")
        return await task
    except asyncio.CancelledError as error:
        raise Unavailable("The model server is stopping.", remedy="Ask again once it is back.", code="model_unavailable") from error
    finally:
        task.cancel()


async def _passed_on(chat: Chat, response: httpx.Response, counted: Counted) -> Response:
    """Hand the engine's whole answer on under the model's public name, or its refusal."""
    try:
        await response.aread()
    finally:
        await response.aclose()
    if response.status_code != httpx.codes.OK:
        counted.note(Usage(), final=True)
        message = response.json().get("error", {}).get("message", f"HTTP {response.status_code}")
        refused = EffectFailed if response.is_server_error else InvalidInput
        raise refused(f"{chat.name} refuses: {message}", remedy="Send a shorter prompt or a simpler constraint.", code="model_call_refused")
    body = response.json()
    counted.note(usage_told(body.get("usage")) or counted.at_least, final=True)
    return JSONResponse(body | {"model": chat.name})


async def _chunks(response: httpx.Response, counter: StreamCounter, counted: Counted) -> AsyncIterator[bytes]:
    """Hand the stream on, counted. However it ends, what was said until then is remembered: the engine stops with it."""
    try:
        async for data in response.aiter_bytes():
            passed_on = counter.take(data)
            counted.note(counter.usage, final=False)
            if passed_on:
                yield passed_on
    finally:
        counted.note(counter.usage, final=True)
        await response.aclose()
