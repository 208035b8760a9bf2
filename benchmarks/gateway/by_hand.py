"""What no client's suite sends: broken streams, refusals of every status, forms of sound; seen by a witness, judged by the document."""

import io
import json
import wave
from collections.abc import Iterator

import httpx
from pydantic import JsonValue

from benchmarks.gateway.script import MARK, JsonObject

TOOL: JsonObject = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


def by_hand(url: str, key: str) -> None:
    """Send each of them; what comes back is for the witness."""
    with httpx.Client(base_url=f"{url}/v1", headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        for path, body in (*chats(), *responses(), *refused()):
            client.post(path, json=body)
        client.post("/chat/completions", content=b'{"model": ', headers={"content-type": "application/json"})
        client.post("/chat/completions", json=scripted(), headers={"authorization": "Bearer sk-wrong"})
        for path in ("/models", "/models/nobody", "/models/fast"):
            client.get(path)
        client.post("/audio/speech", json={"model": "voice", "voice": "alloy", "input": "the line", "response_format": "pcm", "speed": 1.5})
        for form in ("json", "verbose_json", "text", "srt"):
            fields = {"model": "ear", "response_format": form, "temperature": "0.5", "language": "en"}
            client.post("/audio/transcriptions", data=fields, files={"file": ("a.wav", silence(), "audio/wav")})


def scripted(stream: bool = False, model: str = "frail", **script: JsonValue) -> JsonObject:
    """A chat whose upstream keeps to a script."""
    text = f"Say something.\n{MARK}" + json.dumps({"prompt": 20, "out": 6, **script})
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}


def chats() -> Iterator[tuple[str, JsonObject]]:
    """Chats: whole and streamed, sound and broken at each point."""
    path = "/chat/completions"
    for stream in (False, True):
        for fault in ("", "refuse", "throttle", "cut", "error", "silent", "garbled"):
            yield path, scripted(stream, fault=fault, fault_at=3)
        more: JsonObject = {"logprobs": True, "top_logprobs": 2, "n": 2, "seed": 7, "stop": ["."], "user": "somebody"}
        yield path, {**scripted(stream), **more}
        tools: JsonObject = {
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "lookup"}},
            "parallel_tool_calls": True,
        }
        yield path, {**scripted(stream), **tools}
        yield path, {**scripted(stream), "max_completion_tokens": 2, "temperature": 0, "presence_penalty": 0.5}
    yield path, {**scripted(stream=True), "stream_options": {"include_usage": True}}


def responses() -> Iterator[tuple[str, JsonObject]]:
    """The same in the newer shape."""
    for stream in (False, True):
        for fault in ("", "cut", "error", "refuse"):
            text = scripted(fault=fault, fault_at=3)["messages"]
            yield "/responses", {"model": "frail", "input": text, "stream": stream, "instructions": "Be brief.", "metadata": {"a": "b"}}
        yield "/responses", {"model": "fast", "input": "Hello", "stream": stream, "max_output_tokens": 16, "user": "somebody"}
        function: JsonObject = {"type": "function", "name": "lookup", "parameters": {"type": "object", "properties": {}}, "strict": False}
        yield "/responses", {"model": "fast", "input": "Hello", "stream": stream, "tools": [function], "tool_choice": "required"}
    yield "/responses", {"model": "fast", "input": "Hello", "store": True}


def refused() -> Iterator[tuple[str, JsonObject]]:
    """What is refused: by name, by number, by size, by ability."""
    path, asked = "/chat/completions", scripted()
    wrong: tuple[JsonObject, ...] = (
        {"n": 1000},
        {"api_base": "http://127.0.0.1:9"},
        {"messages": []},
        {"max_tokens": -1},
        {"model": "nobody"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "part", "schema": {"type": 7}}}},
    )
    for each in wrong:
        yield path, {**asked, **each}
    yield path, {"model": "fast", "messages": [{"role": "user", "content": "word " * 1_000_000}]}
    yield "/embeddings", {"model": "nobody", "input": "x"}
    yield "/embeddings", {"model": "embed", "input": ["one", "two"], "encoding_format": "float", "user": "somebody"}
    yield "/audio/speech", {"model": "fast", "voice": "alloy", "input": ""}


def silence(seconds: float = 0.5) -> bytes:
    """A WAV file of nothing."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * int(seconds * 8000))
    return held.getvalue()
