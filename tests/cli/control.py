"""An API that answers the command line from a table, and notes what it was asked."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from pydantic import JsonValue

from api.client import JsonObject


class Answers:
    """Stands in for the client: paths → answers, whatever the method."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, JsonObject]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def _answer(self, method: str, path: str, body: JsonObject) -> JsonValue:
        self.asked.append((method, path, {name: value for name, value in body.items() if value is not None}))
        answer: JsonValue = self.answers[path]
        return answer

    def get_object(self, path: str, **query: JsonValue) -> JsonObject:
        found = self._answer("GET", path, query)
        return found if isinstance(found, dict) else {}

    def get_text(self, path: str, **query: JsonValue) -> str:
        return str(self._answer("GET", path, query))

    def get_bytes(self, path: str, **query: JsonValue) -> bytes:
        return str(self._answer("GET", path, query)).encode()

    def get_list(self, path: str, **query: JsonValue) -> list[JsonObject]:
        found = self._answer("GET", path, query)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        found = self._answer("POST", path, body or {})
        return found if isinstance(found, dict) else {}

    def delete(self, path: str) -> None:
        self._answer("DELETE", path, {})

    def put(self, path: str, body: JsonObject) -> JsonObject:
        found = self._answer("PUT", path, body)
        return found if isinstance(found, dict) else {}
