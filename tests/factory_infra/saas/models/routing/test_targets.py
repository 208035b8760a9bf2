"""What the file's names become: built backends that can do what it says, prices of now, and usage that is asked for after a crash."""

from datetime import date
from decimal import Decimal
from typing import cast

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.models.backend import Backend
from factory_infra.saas.models.calls import Abilities
from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.targets import RATE_SECONDS, Rates, Targets
from tests.factory_infra.saas.models.routing.virtual import live
from tests.factory_infra.saas.models.routing.world import ALL, PROMPT_TOKENS, Recalling, Stub, asker, chat, world


class Mute:
    """A backend that is of no kind."""

    name = "house"

    def abilities(self, model: str) -> Abilities:
        return ALL

    async def close(self) -> None:
        """Nothing to close."""


class TestTargets:
    def test_a_backend_must_be_what_its_abilities_say(self) -> None:
        setup = Setup.parse("backends: {house: {kind: embedded}}\nmodels: {fast: {route: [{backend: house, model: m}]}}", "")
        with pytest.raises(InvalidInput) as caught:
            Targets(setup, {"house": cast(Backend, Mute())}, PriceBook.load(), lambda: 0.0)
        assert caught.value.error_code == "gateway_invalid"

    @staticmethod
    @live
    async def test_usage_is_asked_of_who_can_tell() -> None:
        each = world(Stub("a"), Recalling("b"), Recalling("c"), backends={"c": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}})
        for stub in each.stubs.values():
            stub.truth["x/1"] = Usage(PROMPT_TOKENS, 3)
        found = [await each.targets.recall(name, "x/1") for name in ("a", "b", "c", "gone")]
        assert found == [None, Usage(PROMPT_TOKENS, 3), None, None]

    @staticmethod
    @live
    async def test_close_reaches_every_backend() -> None:
        each = world(Stub("a"), Stub("b"))
        await each.gateway.complete(asker(), chat())
        await each.gateway.close()
        assert [stub.closed for stub in each.stubs.values()] == [["all"], ["all"]]


class TestRates:
    def test_a_new_price_holds_after_a_second(self) -> None:
        def book(price: int) -> PriceBook:
            version = {"version": str(price), "from": date(2026, 1, 1), "currency": "EUR", "slot_hour": {}}
            return PriceBook.model_validate(version | {"million_tokens": {"default": {"in": price, "out": price}}})

        now = [5.0]
        rates = Rates(book(1), lambda: now[0])
        assert rates.of("m").version == "1"
        rates._book = book(2)
        assert rates.of("m").into == Decimal("0.000001")
        now[0] += RATE_SECONDS
        assert rates.of("m").into == Decimal("0.000002")
