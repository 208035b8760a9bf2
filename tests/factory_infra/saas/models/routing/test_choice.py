"""The order of the targets: as written, by weight, by speed, by price, by whose conversation it is."""

import random
from collections import Counter
from decimal import Decimal
from typing import cast

import pytest

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.prices import Rate
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.choice import Wish, ordered, sticky_key
from factory_infra.saas.models.routing.config import Choose, Target
from factory_infra.saas.models.routing.pulse import STALE_SECONDS, Pulse
from factory_infra.saas.models.routing.targets import Live

CHANCE = random.Random(3)  # noqa: S311 - not for secrets


class Fake:
    """A target with a price and a pulse."""

    def __init__(self, name: str, weight: float = 1.0, price: int = 1) -> None:
        self.now = 0.0
        self.target = Target(backend=name, model="m", weight=weight)
        self.id = f"{name}/m"
        self.pulse = Pulse(lambda: self.now)
        zero = Decimal(0)
        self._rate = Rate("1", "m", Decimal(price), Decimal(price), zero, zero, zero, zero)

    def rate(self) -> Rate:
        return self._rate


def lives(*fakes: Fake) -> list[Live]:
    return [cast(Live, fake) for fake in fakes]


def wish(choose: Choose, key: bytes | None = None) -> Wish:
    return Wish(choose, stream=True, tokens_in=10, tokens_out_max=100, sticky_key=key)


def first(found: list[Live]) -> str:
    return found[0].target.backend


class TestOrder:
    def test_ordered_is_as_written(self) -> None:
        found = ordered(lives(Fake("a"), Fake("b"), Fake("c")), wish("ordered"), CHANCE)
        assert [live.target.backend for live in found] == ["a", "b", "c"]

    def test_weighted_goes_by_the_weights(self) -> None:
        three = lives(Fake("a", 3), Fake("b", 1))
        seen = Counter(first(ordered(three, wish("weighted"), CHANCE)) for _ in range(4000))
        assert seen["a"] / 4000 == pytest.approx(0.75, abs=0.03)

    def test_cost_takes_the_cheapest(self) -> None:
        assert first(ordered(lives(Fake("a", price=5), Fake("b", price=2)), wish("cost"), CHANCE)) == "b"

    def test_cost_knows_who_says_little(self) -> None:
        wordy, brief = Fake("a", price=2), Fake("b", price=3)
        brief.pulse.ended(1.0, 5)
        wordy.pulse.ended(1.0, 100)
        assert first(ordered(lives(wordy, brief), wish("cost"), CHANCE)) == "b"

    def test_latency_takes_the_quickest_and_asks_the_unknown_once(self) -> None:
        slow, quick, new = Fake("slow"), Fake("quick"), Fake("new")
        slow.pulse.first_seconds.read(2.0)
        quick.pulse.first_seconds.read(0.5)
        all_of_them = lives(slow, quick, new)
        assert first(ordered(all_of_them, wish("latency"), CHANCE)) == "new"
        assert first(ordered(all_of_them, wish("latency"), CHANCE)) == "quick"
        new.pulse.first_seconds.read(0.01)
        assert first(ordered(all_of_them, wish("latency"), CHANCE)) == "quick"
        for _ in range(20):
            new.pulse.first_seconds.read(0.01)
        assert first(ordered(all_of_them, wish("latency"), CHANCE)) == "new"

    def test_latency_gives_a_slow_target_a_new_chance(self) -> None:
        slow, quick = Fake("slow"), Fake("quick")
        slow.pulse.first_seconds.read(2.0)
        slow.now = quick.now = STALE_SECONDS + 1
        quick.pulse.first_seconds.read(0.5)
        assert first(ordered(lives(slow, quick), wish("latency"), CHANCE)) == "slow"
        assert slow.rate().cost(Usage(1)) > 0


class TestSticky:
    def body(self, system: str = "s", said: str = "u", *more: str) -> JsonObject:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        return cast(JsonObject, {"messages": messages + [{"role": "user", "content": each} for each in more]})

    def test_a_conversation_stays_where_it_began(self) -> None:
        here = [sticky_key("k", body) for body in (self.body(), self.body("s", "u", "and then?"))]
        assert here[0] == here[1]
        others = [sticky_key("k2", self.body()), sticky_key("k", self.body("t")), sticky_key("k", self.body("s", "v"))]
        assert len({here[0], *others}) == 4
        named = cast(JsonObject, {"prompt_cache_key": "x"})
        assert sticky_key("k", self.body() | named) == sticky_key("k", self.body("t") | named)

    def test_keys_spread_by_weight_and_move_only_with_their_target(self) -> None:
        three = lives(Fake("a", 2), Fake("b"), Fake("c"))
        keys = [sticky_key("k", self.body(said=str(number))) for number in range(3000)]
        homes = {key: first(ordered(three, wish("weighted", key), CHANCE)) for key in keys}
        assert Counter(homes.values())["a"] / 3000 == pytest.approx(0.5, abs=0.04)
        without = {key: first(ordered(three[:2], wish("weighted", key), CHANCE)) for key in keys}
        assert all(without[key] == homes[key] for key in keys if homes[key] != "c")
