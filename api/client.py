"""A client of the API, for the command line, evaluations and tests: the same doors that any program has."""

import json
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import httpx
from pydantic import JsonValue

from factory_infra.errors import LineshaftError, Unavailable

JsonObject = dict[str, JsonValue]
RESUME_SECONDS = 0.3


class ApiRefusal(LineshaftError):
    """What the API refused, in its own words."""

    def __init__(self, status: int, body: JsonObject) -> None:
        super().__init__(
            str(body.get("reason", f"The API answered {status}.")),
            remedy=str(body.get("remedy", "")),
            code=str(body.get("code", "http_error")),
        )
        self.status = status


class ApiClient:
    """Speaks to one API under one key. Every wait has a limit."""

    def __init__(self, url: str, key: str, *, timeout_seconds: float = 60.0) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self._http.close()

    def _request(self, method: str, path: str, body: JsonObject | None, query: JsonObject | None) -> JsonValue:
        response = self._send(method, path, body, query)
        return response.json() if response.content else None

    def _send(self, method: str, path: str, body: JsonObject | None, query: JsonObject | None) -> httpx.Response:
        parameters = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            response = self._http.request(method, path, json=body, params=parameters or None)
        except httpx.TransportError as error:
            raise Unavailable(f"The API at {self.url} does not answer.", remedy="Start it with 'lineshaft up'.") from error
        if response.is_success:
            return response
        try:
            told = response.json()
        except json.JSONDecodeError:
            told = {}
        raise ApiRefusal(response.status_code, told if isinstance(told, dict) else {})

    def get(self, path: str, **query: JsonValue) -> JsonValue:
        """GET; raises ApiRefusal or Unavailable."""
        return self._request("GET", path, None, query)

    def get_text(self, path: str, **query: JsonValue) -> str:
        """GET what is no JSON; raises ApiRefusal or Unavailable."""
        return self._send("GET", path, None, query).text

    def get_bytes(self, path: str, **query: JsonValue) -> bytes:
        """GET a file; raises ApiRefusal or Unavailable."""
        return self._send("GET", path, None, query).content

    def get_object(self, path: str, **query: JsonValue) -> JsonObject:
        """GET what is one object."""
        found = self.get(path, **query)
        return found if isinstance(found, dict) else {}

    def get_list(self, path: str, **query: JsonValue) -> list[JsonObject]:
        """GET what is a list of objects."""
        found = self.get(path, **query)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """POST; raises ApiRefusal or Unavailable."""
        found = self._request("POST", path, body or {}, None)
        return found if isinstance(found, dict) else {}

    def post_list(self, path: str, body: JsonObject | None = None) -> list[JsonObject]:
        """POST what answers with a list of objects; raises ApiRefusal or Unavailable."""
        found = self._request("POST", path, body or {}, None)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def patch(self, path: str, body: JsonObject) -> JsonObject:
        """PATCH; raises ApiRefusal or Unavailable."""
        found = self._request("PATCH", path, body, None)
        return found if isinstance(found, dict) else {}

    def put(self, path: str, body: JsonObject) -> JsonObject:
        """Replace something and return what it is now."""
        found = self._request("PUT", path, body, None)
        return found if isinstance(found, dict) else {}

    def delete(self, path: str) -> None:
        """DELETE; raises ApiRefusal or Unavailable."""
        self._request("DELETE", path, None, None)

    def events(self, thread_id: str, after: int = 0, *, seconds_max: float = 600.0) -> Iterator[JsonObject]:
        """Yield a thread's events as they come, each once: a stream that breaks is resumed after the last event seen.

        Ends when the time is over. Raises ApiRefusal when the thread may not be seen.
        """
        position, deadline = after, time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            try:
                for event in self._stream(thread_id, position, deadline):
                    position = int(str(event["id"]))
                    yield event
            except httpx.TransportError:
                time.sleep(RESUME_SECONDS)

    def _stream(self, thread_id: str, position: int, deadline: float) -> Iterator[JsonObject]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(position)}
        timeout = httpx.Timeout(20.0, read=max(deadline - time.monotonic(), 0.1))
        with self._http.stream("GET", f"/v1/threads/{thread_id}/events", headers=headers, timeout=timeout) as response:
            if not response.is_success:
                response.read()
                raise ApiRefusal(response.status_code, response.json())
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])
                if time.monotonic() > deadline:
                    return
