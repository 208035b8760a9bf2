"""A factory with two teams and four slots, and a context to call tools in."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from pydantic import SecretStr

from factory_infra.factory import Factory
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tools.spec import ToolContext


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    """Teams vision (three slots) and language (four), with 20 to spend each."""
    built = factory_with_slots(connected, 4)
    await built.tenants.create("vision", quota_slots=3, budget=Decimal(20))
    await built.tenants.create("language", quota_slots=4, budget=Decimal(20))
    yield built
    await built.close()


@pytest.fixture
def context(factory: Factory) -> ToolContext:
    """A step of a plan of team vision."""
    return ToolContext(factory, "vision", "ann", "plan-1/lease", plan_id="plan-1", thread_id="thread-1", agent="provisioner")


@pytest.fixture
def detached(settings: Settings) -> ToolContext:
    """A context whose factory reaches nothing: for what a test answers itself."""
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://127.0.0.1:9/nowhere")})
    return ToolContext(
        factory_with_slots(nowhere, 4), "vision", "ann", "plan-1/step", plan_id="plan-1", thread_id="thread-1", agent="deployer"
    )
