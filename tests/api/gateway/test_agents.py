"""What agents call: the provider `gateway:` at the whole gateway, charged to the team that asked and to nobody twice."""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from factory_infra.errors import BudgetExceeded, EffectFailed, InvalidInput, Unavailable
from factory_infra.paas.tenants.bootstrap import ensure_platform_team, write_secret
from factory_infra.paas.tenants.models import Role
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.metering.tables import EntryRow
from factory_infra.saas.models.interface import AccountedModel
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.gateway import GatewayModel
from factory_infra.saas.models.registry import chat_model
from factory_infra.settings import Settings
from tests.api.gateway.real import Real

pytestmark = pytest.mark.stack

ASKED = Attribution(tenant="vision", plan_id="plan-7", thread_id="thread-7", agent="trainer")


def call(text: str = "hello", **fields: object) -> ChatCall:
    return ChatCall.model_validate({"messages": [ChatMessage(role="user", content=text)], "tokens_max": 64, **fields})


async def model(whole: Real, home: Path, name: str = "fast") -> GatewayModel:
    """The agents' model, with an administrator's key in its file."""
    _, key = await whole.tenants.issue_key(None, "worker", Role.ADMIN)
    settings = Settings(home=home, gateway_url=whole.url, model=f"gateway:{name}")
    write_secret(settings.secrets_dir / "admin.key", key)
    found = chat_model(settings)
    assert isinstance(found, GatewayModel) and isinstance(found, AccountedModel)
    return found


async def entries(whole: Real, plan_id: str) -> list[EntryRow]:
    await whole.meter.posted()
    async with whole.database.transaction() as session:
        return list(await session.scalars(select(EntryRow).where(EntryRow.plan_id == plan_id, EntryRow.action == "settle")))


async def test_a_call_is_charged_once_to_whom_it_belongs(whole: Real, tmp_path: Path) -> None:
    answer = await (await model(whole, tmp_path)).answer_for(call(), ASKED)
    assert answer.content.startswith("Hello there") and answer.tokens_out > 0
    [entry] = await entries(whole, "plan-7")
    assert (entry.tenant, entry.thread_id, entry.agent, entry.backend) == ("vision", "thread-7", "trainer", "house")
    assert (int(entry.quantity), int(entry.quantity_out)) == (answer.tokens_in, answer.tokens_out)


async def test_choices_and_tools(whole: Real, tmp_path: Path) -> None:
    asked = await model(whole, tmp_path)
    assert (await asked.answer_for(call("which?", choices=["yes", "no"]), ASKED)).content == "yes"
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    answer = await asked.answer_for(call("weather", tools=[tool]), ASKED)
    assert [each.arguments for each in answer.tool_calls] == [{"city": "Ghent"}, {"city": "Bruges"}]


async def test_what_is_nobodys_is_the_platforms(whole: Real, tmp_path: Path) -> None:
    await ensure_platform_team(whole.tenants)
    assert (await (await model(whole, tmp_path)).answer(call())).content


async def test_a_teams_models_are_not_another_teams(whole: Real, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        await (await model(whole, tmp_path, "secret")).answer_for(call(), ASKED)


async def test_a_team_without_money_is_refused_by_its_own_code(whole: Real, tmp_path: Path) -> None:
    await whole.tenants.create("poor", quota_slots=0, budget=Decimal(0))
    with pytest.raises(BudgetExceeded):
        await (await model(whole, tmp_path)).answer_for(call(), ASKED.model_copy(update={"tenant": "poor"}))


async def test_an_upstream_that_is_down_and_a_gateway_that_is(whole: Real, tmp_path: Path) -> None:
    asked = await model(whole, tmp_path)
    with pytest.raises(Unavailable):
        await asked.answer_for(call("unavailable"), ASKED)
    away = GatewayModel("fast", Settings(home=tmp_path, gateway_url="http://127.0.0.1:9"))
    with pytest.raises(Unavailable) as refused:
        await away.answer_for(call(), ASKED)
    assert refused.value.error_code == "model_unavailable"


async def test_without_a_key_it_says_where_one_is_wanted(whole: Real, tmp_path: Path) -> None:
    with pytest.raises(EffectFailed) as refused:
        await GatewayModel("fast", Settings(home=tmp_path / "empty", gateway_url=whole.url)).answer_for(call(), ASKED)
    assert refused.value.error_code == "model_key_refused"
