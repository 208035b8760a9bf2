"""A client that outlives the API: what did not arrive is sent again under the same ids, as a careful program does."""

import time
from collections.abc import Iterator

import httpx
from pydantic import JsonValue

from api.client import ApiClient, ApiRefusal, JsonObject
from factory_infra.errors import Unavailable

PAUSE_SECONDS = 0.4
SERVER_ERRORS = 500


class PatientClient(ApiClient):
    """Tries again while the API, or what stands behind it, does not answer.

    Args:
        patience_seconds: how long one call is tried before Unavailable is raised.
    """

    def __init__(self, url: str, key: str, *, patience_seconds: float = 180.0) -> None:
        super().__init__(url, key, timeout_seconds=20.0)
        self._patience = patience_seconds
        self.retries = 0

    def _request(self, method: str, path: str, body: JsonObject | None, query: JsonObject | None) -> JsonValue:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return super()._request(method, path, body, query)
            except (Unavailable, ApiRefusal) as error:
                refused = isinstance(error, ApiRefusal) and error.status < SERVER_ERRORS
                if refused or time.monotonic() > deadline:
                    raise
                self.retries += 1
                time.sleep(PAUSE_SECONDS)

    def events(self, thread_id: str, after: int = 0, *, seconds_max: float = 600.0) -> Iterator[JsonObject]:
        """As of any client; a server that refuses because a part of it is away is asked again."""
        position, deadline = after, time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            try:
                for event in super().events(thread_id, position, seconds_max=max(deadline - time.monotonic(), 0.1)):
                    position = int(str(event["id"]))
                    yield event
            except (ApiRefusal, httpx.HTTPError, ValueError) as error:
                if isinstance(error, ApiRefusal) and error.status < SERVER_ERRORS:
                    raise
                self.retries += 1
                time.sleep(PAUSE_SECONDS)
