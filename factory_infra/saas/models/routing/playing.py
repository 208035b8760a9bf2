"""Answers in the shape that the client sees: the virtual model's name, the usage that is charged, vectors as they were asked for."""

import base64
from array import array
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import cast

import orjson
from pydantic import JsonValue

from factory_infra.errors import EffectFailed
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.counts import usage_to_wire
from factory_infra.saas.models.calls import JsonObject, Piece
from factory_infra.saas.models.routing.answers import CardPrice, Head, ModelCard, Streamed
from factory_infra.saas.models.routing.cache import Kept
from factory_infra.saas.models.routing.targets import Live, Virtual

MILLION = Decimal(1_000_000)
MINUTE = Decimal(60)


class Player:
    """One streamed answer on its way to the client."""

    __slots__ = ("_include_usage", "_keep", "_last", "_model", "played")

    def __init__(self, model: str, *, include_usage: bool, keep: bool) -> None:
        self._model = model
        self._include_usage = include_usage
        self._last: JsonObject = {}
        self.played: list[bytes] = []
        """What has been played, for the cache; empty where it keeps nothing."""
        self._keep = keep

    def play(self, pieces: Sequence[Piece]) -> list[JsonObject]:
        """The chunks of some pieces. The upstream's own usage is taken out: ours comes at the end, and is what is charged."""
        return [self._shown(chunk) for piece in pieces for chunk in piece.chunks if chunk.get("choices") or not chunk.get("usage")]

    def _shown(self, chunk: JsonObject) -> JsonObject:
        chunk["model"] = self._model
        if self._include_usage:
            chunk["usage"] = None
        else:
            chunk.pop("usage", None)
        self._last = chunk
        if self._keep:
            self.played.append(orjson.dumps(chunk))
        return chunk

    def end(self, usage: Usage) -> list[JsonObject]:
        """The last chunk, with the usage, where the client asked for it."""
        if not self._include_usage:
            return []
        chunk: JsonObject = {name: self._last.get(name) for name in ("id", "created", "system_fingerprint") if name in self._last}
        chunk |= {"object": "chat.completion.chunk", "model": self._model, "choices": [], "usage": usage_to_wire(usage)}
        if self._keep:
            self.played.append(orjson.dumps(chunk))
        return [chunk]


def played_again(kept: Kept, head: Head) -> Iterator[Streamed]:
    """A stream from the cache, chunk by chunk as it came."""
    for number, piece in enumerate(kept.pieces):
        yield Streamed([orjson.loads(piece)], head if number == 0 else None)
    yield Streamed([], None if kept.pieces else head, kept.usage, Decimal(0))


def shown(body: JsonObject, model: str, usage: Usage) -> JsonObject:
    """A whole answer under the virtual model's name, with the usage that is charged where the upstream told none."""
    body["model"] = model
    if not isinstance(body.get("usage"), dict):
        body["usage"] = usage_to_wire(usage)
    return body


def vectors(body: JsonObject, *, as_base64: bool) -> JsonObject:
    """Embeddings as floats, or as Base64 of 32-bit floats in little-endian order. Raises EffectFailed for what is no vector."""
    data = body.get("data")
    if as_base64 and isinstance(data, list):
        for item in data:
            if isinstance(item, dict):
                item["embedding"] = _base64(item.get("embedding"))
    return body


def _base64(vector: JsonValue) -> JsonValue:
    if isinstance(vector, str):
        return vector
    try:
        numbers = array("f", cast(list[float], vector))
    except TypeError as error:
        raise EffectFailed("The backend answers with what is no vector.", code="model_protocol") from error
    return base64.b64encode(numbers.tobytes()).decode()


def card_of(virtual: Virtual) -> ModelCard:
    """What a virtual model can do and costs."""
    lives = virtual.lives
    return ModelCard(
        id=virtual.name,
        abilities=tuple(sorted({ability for live in lives for ability in live.abilities.can})),
        context_tokens=max(live.abilities.context_tokens for live in lives),
        tokens_out_max=max(live.abilities.tokens_out_max for live in lives),
        prices=tuple({live.target.subject: _price(live) for live in lives}.values()),
        fields=tuple(sorted({name for live in lives for name in live.abilities.fields})),
        created_at=virtual.created_at,
    )


def _price(live: Live) -> CardPrice:
    rate = live.rate()
    return CardPrice(
        subject=rate.subject,
        currency=live.rates.currency,
        version=rate.version,
        million_in=rate.into * MILLION,
        million_out=rate.out * MILLION,
        million_cached=rate.cached * MILLION,
        minute=rate.audio_second * MINUTE,
        million_characters=rate.character * MILLION,
    )
