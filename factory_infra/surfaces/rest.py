"""The REST door: every route of the OpenAPI document, asked by the attacker for what is the victim's."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
from pydantic import JsonValue

from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.surfaces.bait import Bait, Party
from factory_infra.surfaces.filling import Filler, JsonObject

METHODS = ("get", "post", "put", "patch", "delete")
STREAMS = "text/event-stream"
UNKNOWN = "audit-none"
STOPPING = re.compile(r"cancel|kill|pause|stop|revoke|release|undo|switch")
SPENDING = re.compile(r"limits|invoices|budget|cost|ledger|keys|rotate|tenants|leases|predict|plans|tools")
READING_LOGS = re.compile(r"logs|events|transcripts|threads")
SECONDS = 20.0


@dataclass(frozen=True)
class Call:
    """One request as it will be sent."""

    method: str
    path: str
    query: dict[str, str]
    body: JsonValue
    route: str

    @property
    def door(self) -> Door:
        """What it would be, if it went through."""
        if self.method == "DELETE" or (self.method != "GET" and STOPPING.search(self.route)):
            return "stop"
        if READING_LOGS.search(self.route):
            return "read_logs"
        if SPENDING.search(self.route):
            return "spend" if self.method != "GET" else "see"
        return "see" if self.method == "GET" else "use_data"

    @property
    def words(self) -> str:
        """The request in a line."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}{'?' if query else ''}{query}"


class RestDoor:
    """Attacks over HTTP, as any client would.

    Args:
        http: a client of the API; its base address is the API's.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def attack(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        """Ask every route for the victim's objects; requests that could change something are only sent where they name one of them."""
        document = (await self._http.get("/openapi.json", timeout=SECONDS)).raise_for_status().json()
        for call in calls(document, bait):
            yield await self._attempt(call, attacker, bait)
        forged = f"ls_{bait.victim.key_id}_{attacker.key.rpartition('_')[2]}"
        yield await self._forged(forged, bait)

    async def _attempt(self, call: Call, attacker: Party, bait: Bait) -> Attempt:
        headers = {"authorization": f"Bearer {attacker.key}"}
        try:
            async with self._http.stream(
                call.method, call.path, params=call.query, json=call.body, headers=headers, timeout=SECONDS
            ) as answer:
                streaming = answer.headers.get("content-type", "").startswith(STREAMS)
                text = "" if streaming else (await answer.aread()).decode(errors="replace")
                code, opened = answer.status_code, streaming and answer.is_success
        except httpx.HTTPError as error:
            return Attempt(door=call.door, through="api", tried=call.words, refused=True, by=f"no answer ({type(error).__name__})")
        return judged(call, code, "an open stream of events" if opened else text, bait, opened=opened)

    async def _forged(self, key: str, bait: Bait) -> Attempt:
        answer = await self._http.get("/v1/me", headers={"authorization": f"Bearer {key}"}, timeout=SECONDS)
        refused = answer.status_code in {401, 403}
        tried = "act under the victim's key id with the attacker's secret"
        return Attempt(
            door="spend", through="api", tried=tried, refused=refused, by=told(answer.status_code, answer.text) if refused else ""
        )


def judged(call: Call, code: int, text: str, bait: Bait, *, opened: bool) -> Attempt:
    """Decide whether a request was refused: an error that shows nothing, or an answer in which nothing of the victim is."""
    shown = text
    for echoed in (call.path, *call.query.values()):
        shown = shown.replace(echoed, "")
    asked = f"{call.words} {json.dumps(call.body)}"
    # A refusal may name what it was asked for; the word itself never.
    marks = [mark for mark in bait.marks if mark in shown and not (code >= 400 and mark in asked)]
    went_through = code < 400 and (call.method not in {"GET", "DELETE"} or opened) and names(call, bait)
    refused = not marks and not went_through
    by = told(code, text) if code >= 400 else "the answer holds nothing of the other team"
    return Attempt(door=call.door, through="api", tried=call.words, refused=refused, by=by if refused else "")


def names(call: Call, bait: Bait) -> bool:
    """Whether a request itself names something of the victim's."""
    filler = Filler({}, bait.ids)
    in_path = any(value in call.path for name, value in bait.ids.items() if name != "digest")
    return in_path or filler.names_victim(list(call.query.values())) or filler.names_victim(call.body)


def told(code: int, text: str) -> str:
    """The refusal in its own words: the code of the problem where there is one."""
    match = re.search(r'"code"\s*:\s*"([a-z_]+)"', text)
    return f"{code} {match.group(1)}" if match else str(code)


def calls(document: JsonObject, bait: Bait) -> Iterator[Call]:
    """Every route with what is the victim's filled in: as it is, and once more with the victim's team in the query where it takes one."""
    components = document.get("components", {})
    definitions = components.get("schemas", {}) if isinstance(components, dict) else {}
    filler = Filler(definitions if isinstance(definitions, dict) else {}, bait.ids)
    paths = document.get("paths", {})
    for path, operations in sorted(paths.items()) if isinstance(paths, dict) else []:
        for method in METHODS:
            operation = operations.get(method) if isinstance(operations, dict) else None
            if isinstance(operation, dict):
                yield from requests(path, method, operation, filler, bait)


def requests(path: str, method: str, operation: JsonObject, filler: Filler, bait: Bait) -> Iterator[Call]:
    """The requests for one operation."""
    filled = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: bait.ids.get(match.group(1), UNKNOWN), path)
    body = body_of(operation, filler)
    listed = operation.get("parameters", [])
    parameters = [each for each in listed if isinstance(each, dict) and each.get("in") == "query"] if isinstance(listed, list) else []
    needed = {str(each["name"]): text_of(filler, each) for each in parameters if each.get("required")}
    named = {str(each["name"]): bait.ids[str(each["name"])] for each in parameters if str(each["name"]) in bait.ids}
    route = f"{method.upper()} {path}"
    for query in [needed, *([{**needed, **named}] if named.keys() - needed.keys() else [])]:
        call = Call(method.upper(), filled, query, body, route)
        if method == "get" or names(call, bait):
            yield call


def text_of(filler: Filler, parameter: JsonObject) -> str:
    """A parameter of the query as text."""
    return str(filler.fill(parameter.get("schema", {}), str(parameter["name"])))


def body_of(operation: JsonObject, filler: Filler) -> JsonValue:
    """The JSON body of an operation, None where it takes none."""
    asked = operation.get("requestBody")
    content = asked.get("content") if isinstance(asked, dict) else None
    media = content.get("application/json") if isinstance(content, dict) else None
    return filler.fill(media.get("schema", {})) if isinstance(media, dict) else None
