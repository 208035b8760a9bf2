"""The activity that asks the model: charged once, whoever keeps the account of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Literal

import pytest
from temporalio.testing import ActivityEnvironment

from agents.planning.planner import PlaybookPlanner
from factory_infra.errors import BudgetExceeded
from factory_infra.factory import Factory
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.models.interface import ChatModel
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from workflows.activities.planning import PlanningActivities
from workflows.messages import JsonObject, ModelCall

pytestmark = pytest.mark.stack

CALL = {"messages": [{"role": "user", "content": "hi"}], "tokens_max": 8}
ANSWER = ChatAnswer(content="yes", tokens_in=5, tokens_out=1, model="m")


class Plain:
    """A model that leaves the account to who asks."""

    name = "openai:m"
    size: Literal["small", "large"] = "small"

    async def answer(self, call: ChatCall) -> ChatAnswer:
        return ANSWER


class Accounted(Plain):
    """A model that keeps the account itself."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[Attribution] = []
        self.refuses = refuses

    async def answer_for(self, call: ChatCall, whose: Attribution) -> ChatAnswer:
        self.asked.append(whose)
        if self.refuses:
            raise BudgetExceeded("No money is left.")
        return ANSWER


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    made = factory_with_slots(connected, 1)
    await made.tenants.create("vision", quota_slots=1, budget=Decimal(20))
    yield made
    await made.close()


async def ask(factory: Factory, model: ChatModel) -> JsonObject:
    activities = PlanningActivities(replace(factory, chat_model=model), PlaybookPlanner([]))
    request = ModelCall(tenant="vision", plan_id="p", thread_id="t", agent="trainer", call=CALL)
    told = await ActivityEnvironment().run(activities.ask_model, request)
    assert isinstance(told, dict)
    return told


async def test_a_plain_model_is_reserved_and_settled_here(factory: Factory) -> None:
    assert (await ask(factory, Plain()))["ok"] is True
    assert [entry.action for entry in await factory.metering.entries("vision")].count("settle") == 1


async def test_a_model_with_an_account_of_its_own_is_not_charged_a_second_time(factory: Factory) -> None:
    model = Accounted()
    assert (await ask(factory, model))["ok"] is True
    assert model.asked == [Attribution(tenant="vision", plan_id="p", thread_id="t", agent="trainer")]
    assert await factory.metering.entries("vision") == []


async def test_its_refusal_is_a_reason_and_planning_goes_on(factory: Factory) -> None:
    told = await ask(factory, Accounted(refuses=True))
    assert (told["ok"], told["reason"]) == (False, "No money is left.")
