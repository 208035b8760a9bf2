"""A chat stream as the events of OpenAI's responses: each item is added, filled and done before the next begins."""

from pydantic import JsonValue

from api.gateway.chunks import Choice, ToolPiece, protocol_broken, read
from api.gateway.errors import param_of, told
from api.gateway.responses_answer import CUT, Envelope, call_item, message_item, refusal_part, text_part
from api.gateway.sse import event
from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.answers import Streamed


class ResponseEvents:
    """Writes the events, numbered from 0. At most one item is open: a message with one open part, or a function call."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._number = 0
        self._output: list[JsonValue] = []
        self._content: list[JsonValue] = []
        self._kind = ""
        """What is open: `output_text`, `refusal`, `call`, or nothing."""
        self._text: list[str] = []
        self._tokens: list[JsonValue] = []
        self._call = ToolPiece()
        self._last = Choice()
        self._usage = Usage()

    def begin(self) -> bytes:
        """The response without items."""
        now = self._envelope.at("in_progress", [])
        return self._event("response.created", {"response": now}) + self._event("response.in_progress", {"response": now})

    def add(self, item: Streamed) -> bytes:
        """What an item adds."""
        self._usage = item.usage or self._usage
        found: list[bytes] = []
        for chunk in item.chunks:
            choice = read(chunk)
            if choice is not None:
                found += self._said("output_text", choice.delta.content, choice.tokens)
                found += self._said("refusal", choice.delta.refusal, [])
                for piece in choice.delta.tool_calls or []:
                    found += self._called(piece)
                self._last = choice if choice.finish_reason else self._last
        return b"".join(found)

    def end(self) -> bytes:
        """Close what is open, and give the whole response."""
        reason = CUT.get(self._last.finish_reason or "")
        status = "incomplete" if reason else "completed"
        closing = self._close_item(status)
        whole = self._envelope.at(status, self._output, self._usage, reason=reason)
        return b"".join([*closing, self._event(f"response.{status}", {"response": whole})])

    def error(self, error: LineshaftError) -> bytes:
        """The error, and the response that failed; after it the stream ends."""
        code = told(error, "openai").code or error.error_code
        said = self._event("error", {"code": code, "message": str(error), "param": param_of(error)})
        failed = self._envelope.at("failed", self._output)
        failed["error"] = {"code": "server_error", "message": str(error)}
        return said + self._event("response.failed", {"response": failed})

    def _event(self, kind: str, fields: JsonObject) -> bytes:
        written = event(kind, {"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return written

    @property
    def _place(self) -> int:
        return len(self._output)

    @property
    def _item_id(self) -> str:
        return self._envelope.item_id("fc" if self._kind == "call" else "msg", self._place)

    def _where(self, **more: JsonValue) -> JsonObject:
        return {"item_id": self._item_id, "output_index": self._place, **more}

    def _in_part(self, **more: JsonValue) -> JsonObject:
        return self._where(content_index=len(self._content), **more)

    def _said(self, kind: str, text: str | None, tokens: list[JsonValue]) -> list[bytes]:
        if not text:
            return []
        opened = [] if self._kind == kind else self._open_part(kind)
        self._text.append(text)
        self._tokens += tokens
        more: JsonObject = {"delta": text, **({"logprobs": tokens} if kind == "output_text" else {})}
        return [*opened, self._event(f"response.{kind}.delta", self._in_part(**more))]

    def _open_part(self, kind: str) -> list[bytes]:
        """Open a part of a message, and the message itself where none is open."""
        found = self._close_item("completed") if self._kind == "call" else self._close_part()
        fresh = not self._content
        self._kind, self._text, self._tokens = kind, [], []
        if fresh:
            item = message_item(self._item_id, "in_progress", [])
            found.append(self._event("response.output_item.added", {"output_index": self._place, "item": item}))
        part = text_part("") if kind == "output_text" else refusal_part("")
        return [*found, self._event("response.content_part.added", self._in_part(part=part))]

    def _close_part(self) -> list[bytes]:
        if self._kind not in {"output_text", "refusal"}:
            return []
        text = "".join(self._text)
        plain = self._kind == "output_text"
        part = text_part(text, self._tokens) if plain else refusal_part(text)
        more: JsonObject = {"text": text, "logprobs": self._tokens} if plain else {"refusal": text}
        found = [
            self._event(f"response.{self._kind}.done", self._in_part(**more)),
            self._event("response.content_part.done", self._in_part(part=part)),
        ]
        self._content.append(part)
        return found

    def _called(self, piece: ToolPiece) -> list[bytes]:
        opened: list[bytes] = []
        if piece.function.name and (self._kind != "call" or piece.index != self._call.index):
            opened = self._close_item("completed")
            self._kind, self._text = "call", []
            self._call = piece.model_copy(deep=True)
            item = call_item(
                self._item_id, "in_progress", ToolPiece(id=piece.id, function=piece.function.model_copy(update={"arguments": ""}))
            )
            opened.append(self._event("response.output_item.added", {"output_index": self._place, "item": item}))
        if self._kind != "call" or piece.index != self._call.index:
            raise protocol_broken("its tool calls mixed up")
        arguments = piece.function.arguments
        if not arguments:
            return opened
        self._text.append(arguments)
        return [*opened, self._event("response.function_call_arguments.delta", self._where(delta=arguments))]

    def _close_item(self, status: str) -> list[bytes]:
        """Close the open item and keep it."""
        if not self._kind:
            return []
        if self._kind == "call":
            self._call.function.arguments = "".join(self._text)
            item = call_item(self._item_id, status, self._call)
            done = self._where(name=self._call.function.name, arguments=self._call.function.arguments)
            found = [self._event("response.function_call_arguments.done", done)]
        else:
            found = self._close_part()
            item = message_item(self._item_id, status, self._content)
        found.append(self._event("response.output_item.done", {"output_index": self._place, "item": item}))
        self._output.append(item)
        self._kind, self._content = "", []
        return found
