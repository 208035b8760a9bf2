"""`GET /v1/models` and `/v1/models/{id}`: what the key may use, with prices and abilities, in the shape of whoever asks."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson
from pydantic import JsonValue

from api.gateway.auth import caller_of
from api.gateway.exchange import Exchange
from api.gateway.service import Service
from factory_infra.errors import NotFound
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.saas.models.calls import Ability, JsonObject
from factory_infra.saas.models.routing.answers import CardPrice, ModelCard

PATH = "/v1/models"
PRICED: dict[str, tuple[Ability, ...]] = {
    "million_tokens_in": ("chat", "embeddings"),
    "million_tokens_out": ("chat",),
    "million_tokens_cached": ("chat",),
    "minute_of_audio": ("transcription",),
    "million_characters": ("speech",),
}
"""Which abilities a price is for: a model that only chats has none of sound."""


async def listed(exchange: Exchange, service: Service) -> None:
    """List the models."""
    cards = service.models.cards(await caller_of(exchange, service.keys))
    if is_anthropic(exchange):
        ends: JsonObject = {"has_more": False, "first_id": cards[0].id if cards else None, "last_id": cards[-1].id if cards else None}
        body: JsonObject = {"data": [anthropic_card(card) for card in cards], **ends}
    else:
        body = {"object": "list", "data": [openai_card(card) for card in cards]}
    await exchange.answer(200, orjson.dumps(body), [])


async def one(exchange: Exchange, service: Service) -> None:
    """Show one model."""
    caller = await caller_of(exchange, service.keys)
    card = known(service, caller, exchange.path.removeprefix(f"{PATH}/"))
    await exchange.answer(200, orjson.dumps(anthropic_card(card) if is_anthropic(exchange) else openai_card(card)), [])


def is_anthropic(exchange: Exchange) -> bool:
    """Whether Anthropic's client asks: both kinds ask at the same path."""
    return b"anthropic-version" in exchange.headers


def known(service: Service, caller: Caller, name: str) -> ModelCard:
    """The card of a model that the caller may use. Raises NotFound, alike for one that is not there."""
    found = next((card for card in service.models.cards(caller) if card.id == name), None)
    if found is None:
        reason = f"The model '{name[:200]}' does not exist, or the key may not use it."
        raise NotFound(reason, remedy="List the models with GET /v1/models.", code="model_not_found")
    return found


def openai_card(card: ModelCard) -> JsonObject:
    """A model in OpenAI's shape, with fields of ours that its clients pass on."""
    return {"id": card.id, "object": "model", "created": card.created_at, "owned_by": "lineshaft", **_ours(card)}


def anthropic_card(card: ModelCard) -> JsonObject:
    """A model in Anthropic's shape."""
    bounds: JsonObject = {"max_input_tokens": card.context_tokens, "max_tokens": card.tokens_out_max, "lifecycle": "active"}
    created = datetime.fromtimestamp(card.created_at, UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": card.id, "display_name": card.id, "created_at": created, **bounds, **_ours(card)}


def _ours(card: ModelCard) -> JsonObject:
    prices: list[JsonValue] = [_price(price, card) for price in card.prices]
    return {
        "abilities": list(card.abilities),
        "fields": list(card.fields),
        "context_tokens": card.context_tokens,
        "tokens_out_max": card.tokens_out_max,
        "prices": prices,
    }


def _price(price: CardPrice, card: ModelCard) -> JsonObject:
    """What one target costs, by what the model can do; amounts are decimal numbers in texts, so that no client rounds them."""
    amounts = {
        "million_tokens_in": price.million_in,
        "million_tokens_out": price.million_out,
        "million_tokens_cached": price.million_cached,
        "minute_of_audio": price.minute,
        "million_characters": price.million_characters,
    }
    told: JsonObject = {"subject": price.subject, "currency": price.currency, "version": price.version}
    return told | {name: _plain(amount) for name, amount in amounts.items() if set(PRICED[name]) & set(card.abilities)}


def _plain(amount: Decimal) -> str:
    """A number without zeros at its end."""
    return f"{amount.normalize():f}"
