"""Calls, and ways to read what comes of them."""

from collections.abc import AsyncGenerator

from pydantic import JsonValue

from factory_infra.errors import LineshaftError
from factory_infra.saas.models.backend import ChatBackend
from factory_infra.saas.models.calls import Call, JsonObject, Kind, Piece

MESSAGES: JsonValue = [{"role": "system", "content": "You look up."}, {"role": "user", "content": "What colour is the sky?"}]
SCALE: JsonObject = {
    "type": "function",
    "function": {
        "name": "scale",
        "description": "Scale a cluster.",
        "parameters": {"type": "object", "properties": {"nodes": {"type": "integer"}}, "required": ["nodes"]},
    },
}
SCHEMA: JsonObject = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
}


def asking(text: str) -> JsonValue:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


def call(model: str = "m", kind: Kind = "chat", deadline: float = 20.0, identity: str = "call/1", **body: JsonValue) -> Call:
    """A call; a chat has messages unless it says others."""
    held: JsonObject = {"messages": MESSAGES, **body} if kind == "chat" else dict(body)
    return Call(identity, kind, model, held, deadline)


def chat(body: JsonObject, model: str = "m") -> Call:
    """A chat call with that body; its messages are the usual ones unless it has others."""
    return Call("call/1", "chat", model, {"messages": MESSAGES, **body}, 20.0)


async def read(pieces: AsyncGenerator[Piece, None]) -> tuple[list[Piece], LineshaftError | None]:
    """All pieces of a stream, and the error that it ended in."""
    found: list[Piece] = []
    try:
        async for piece in pieces:
            found.append(piece)
    except LineshaftError as error:
        return found, error
    return found, None


async def said(backend: ChatBackend, asked: Call) -> tuple[str, list[Piece]]:
    """The words of a stream, and its pieces."""
    pieces, error = await read(backend.stream(asked))
    assert error is None, error
    return words(pieces), pieces


def deltas(pieces: list[Piece]) -> list[JsonObject]:
    """Every delta of a stream, in order."""
    found: list[JsonObject] = []
    for piece in pieces:
        for chunk in piece.chunks:
            choices = chunk["choices"]
            assert isinstance(choices, list)
            found += [choice["delta"] for choice in choices if isinstance(choice, dict) and isinstance(choice["delta"], dict)]
    return found


def words(pieces: list[Piece]) -> str:
    """The content of a stream."""
    return "".join(str(delta.get("content") or "") for delta in deltas(pieces))


def finishes(pieces: list[Piece]) -> list[JsonValue]:
    """Why each choice of a stream ended."""
    choices = [choice for piece in pieces for chunk in piece.chunks if isinstance(held := chunk["choices"], list) for choice in held]
    return [choice["finish_reason"] for choice in choices if isinstance(choice, dict) and choice.get("finish_reason")]


def message(body: JsonObject) -> JsonObject:
    """The message of a whole answer."""
    choices = body["choices"]
    assert isinstance(choices, list)
    assert isinstance(choices[0], dict)
    found = choices[0]["message"]
    assert isinstance(found, dict)
    return found
