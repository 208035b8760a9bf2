"""The list of models: only what the key may use, with prices and abilities as further fields."""

from tests.api.gateway.house import KEY, gate

HEADERS = {"x-api-key": KEY}


async def test_each_model_tells_what_it_costs_and_can() -> None:
    doors = gate()
    body = (await doors.http.get("/v1/models", headers=HEADERS)).json()
    assert body["object"] == "list"
    card = body["data"][0]
    assert (card["id"], card["object"], card["owned_by"], card["context_tokens"]) == ("fast", "model", "lineshaft", 8192)
    assert card["abilities"] == ["chat", "stream", "tools"]
    assert card["created"] == 1_790_000_000
    assert (card["prices"][0]["million_tokens_in"], card["prices"][0]["currency"]) == ("0.2", "EUR")
    # It only chats, so it has no price of sound.
    assert not {"minute_of_audio", "million_characters"} & set(card["prices"][0])
    assert (await doors.http.get("/v1/models/fast", headers=HEADERS)).json() == card


async def test_anthropics_shape_tells_the_same_moment() -> None:
    doors = gate()
    card = (await doors.http.get("/v1/models/fast", headers={**HEADERS, "anthropic-version": "2023-06-01"})).json()
    assert (card["type"], card["created_at"]) == ("model", "2026-09-21T14:13:20Z")


async def test_what_the_key_may_not_use_is_not_there() -> None:
    doors = gate()
    doors.keys.models = frozenset({"other"})
    assert (await doors.http.get("/v1/models", headers=HEADERS)).json()["data"] == []
    for name in ("fast", "nobody", "a/b"):
        answer = await doors.http.get(f"/v1/models/{name}", headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (404, "model_not_found", "model")
