"""From a schema to a request in the victim's name."""

import pytest
from pydantic import JsonValue

from factory_infra.surfaces.bait import Bait, Party
from factory_infra.surfaces.filling import Filler
from factory_infra.surfaces.rest import Call, calls, judged

IDS = {"plan_id": "plan-victim", "tenant": "victim"}
BAIT = Bait(Party("victim", "k", "ls_k_s"), IDS)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "audit"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["audit", "audit"]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"$ref": "#/components/schemas/Inner"}, {"plan_id": "plan-victim"}),
        (
            {"type": "object", "properties": {"tenant": {"type": "string"}, "more": {"type": "string"}}, "required": []},
            {"tenant": "victim"},
        ),
        ({"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]}, {"limit": 1}),
    ],
)
def test_a_value_fits_and_names_the_victim(schema: JsonValue, value: JsonValue) -> None:
    inner: JsonValue = {"type": "object", "properties": {"plan_id": {"type": "string"}}, "required": ["plan_id"]}
    assert Filler({"Inner": inner}, IDS).fill(schema) == value


def test_a_schema_that_holds_itself_ends() -> None:
    loop: JsonValue = {"type": "object", "properties": {"next": {"$ref": "#/x/Loop"}}, "required": ["next"]}
    assert Filler({"Loop": loop}, IDS).fill({"$ref": "#/x/Loop"})


def test_what_could_change_something_is_sent_only_in_the_victims_name() -> None:
    named: JsonValue = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    body: JsonValue = {"content": {"application/json": {"schema": named}}}
    tenant: JsonValue = {"in": "query", "name": "tenant", "schema": {"type": "string"}}
    keys: JsonValue = {"post": {"requestBody": body}, "get": {"parameters": [tenant]}}
    document: dict[str, JsonValue] = {"paths": {"/v1/keys": keys, "/v1/plans/{plan_id}/approve": {"post": {}}}}
    assert [call.words for call in calls(document, BAIT)] == [
        "GET /v1/keys",
        "GET /v1/keys?tenant=victim",
        "POST /v1/plans/plan-victim/approve",
    ]


@pytest.mark.parametrize(
    ("method", "path", "code", "text", "refused"),
    [
        ("GET", "/v1/plans", 200, "[]", True),
        ("GET", "/v1/plans", 200, '["quokkabait"]', False),
        ("GET", "/v1/plans", 200, '["plan-victim"]', False),
        ("GET", "/v1/plans/plan-victim", 404, '{"reason": "There is no plan plan-victim."}', True),
        ("GET", "/v1/plans/plan-victim", 404, '{"reason": "It belongs to quokkabait."}', False),
        ("POST", "/v1/plans/plan-victim/approve", 200, "{}", False),
        ("POST", "/v1/plans/plan-victim/approve", 403, "{}", True),
    ],
)
def test_an_answer_is_a_refusal_where_nothing_came_through(method: str, path: str, code: int, text: str, refused: bool) -> None:
    call = Call(method, path, {}, None, f"{method} {path}")
    assert judged(call, code, text, BAIT, opened=False).refused is refused
