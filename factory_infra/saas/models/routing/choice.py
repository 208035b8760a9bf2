"""In which order a virtual model's targets are tried."""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import orjson

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.config import Choose
from factory_infra.saas.models.routing.targets import Live

PREFIX_BYTES = 4096
TOKENS_OUT_ASSUMED = 256
HASH_SPAN = 2.0**64

Expected = Callable[[Live], Decimal]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the order depends on besides the targets."""

    choose: Choose
    stream: bool
    tokens_in: int
    tokens_out_max: int
    sticky_key: bytes | None = None
    """Whose calls stay together; None where they need not."""


def ordered(lives: Sequence[Live], wish: Wish, chance: random.Random) -> list[Live]:
    """Return the targets, the one to be tried first in front. With a sticky key the same key leads to the same order, by the weights."""
    if len(lives) == 1:
        return list(lives)
    if wish.sticky_key is not None:
        key = wish.sticky_key
        return sorted(lives, key=lambda live: rendezvous(key, live), reverse=True)
    match wish.choose:
        case "weighted":
            return sorted(lives, key=lambda live: chance.random() ** (1 / live.target.weight), reverse=True)
        case "latency":
            return _quickest(lives, stream=wish.stream)
        case "cost":
            return sorted(lives, key=lambda live: expected_cost(live, wish))
        case _:
            return list(lives)


def rendezvous(key: bytes, live: Live) -> float:
    """A target's score for a key: the highest wins, in proportion to the weights; a target that goes moves only its own keys."""
    digest = hashlib.blake2b(live.id.encode(), key=key, digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / (HASH_SPAN + 1)
    return live.target.weight / -math.log(share)


def _quickest(lives: Sequence[Live], *, stream: bool) -> list[Live]:
    """By the mean of the time to the first piece. One of which nothing is known goes first, once, and counts as the worst until read."""
    known = [mean for live in lives if (mean := live.pulse.waiting(stream=stream).value) is not None]
    found = sorted(lives, key=lambda live: live.pulse.waiting(stream=stream).value or 0.0)
    found[0].pulse.waiting(stream=stream).assume(max(known, default=1.0))
    return found


def expected_cost(live: Live, wish: Wish) -> Decimal:
    """What the call will probably cost at a target: the prompt as counted, and as much out as it said lately."""
    said = live.pulse.tokens_out.value
    tokens_out = min(wish.tokens_out_max, TOKENS_OUT_ASSUMED if said is None else math.ceil(said))
    return live.rate().cost(Usage(tokens_in=wish.tokens_in, tokens_out=tokens_out))


def sticky_key(key_id: str, sent: JsonObject) -> bytes:
    """Whose calls stay together: the same key with the same beginning of the prompt, which is what an upstream's cache holds.

    The beginning is `prompt_cache_key` where the client named one, else the tools and the messages up to the user's first.
    """
    named = sent.get("prompt_cache_key")
    beginning = [named] if named else [sent.get("tools"), *_opening(sent)]
    said = orjson.dumps(beginning)[:PREFIX_BYTES]
    return hashlib.blake2b(said, person=hashlib.blake2b(key_id.encode(), digest_size=16).digest(), digest_size=32).digest()


def _opening(sent: JsonObject) -> list[JsonObject]:
    messages = sent.get("messages")
    found: list[JsonObject] = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            found.append(message)
            if message.get("role") == "user":
                break
    return found
