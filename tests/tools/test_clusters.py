"""Tools over clusters, against the emulator and a real ledger."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import yaml
from pydantic import SecretStr

from factory_infra.errors import BudgetExceeded, InvalidInput, NotFound, PostconditionFailed
from factory_infra.factory import Factory, connect
from factory_infra.foundation.pools import aws
from factory_infra.settings import Settings
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing
from tests.factory_infra.foundation.clusters.programs import machines_of
from tests.parts import NOWHERE
from tools.clusters import (
    PROVISION,
    ListArguments,
    ProvisionArguments,
    ReleaseArguments,
    ReplaceArguments,
    ScaleArguments,
    dry_run_known,
    dry_run_provision,
    list_clusters,
    price_provision,
    provision,
    release,
    replace,
    scale,
    undo_provision,
    verify_provision,
    verify_release,
    verify_replace,
    verify_scale,
)
from tools.spec import ToolContext

pytestmark = pytest.mark.stack
ASKED = ProvisionArguments(pool="east", machine="g5.xlarge", count=2, count_max=4, hours=1.0)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """AWS with nothing in it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "PAUSE_SECONDS", 0.01)
    found = standing()
    found.fresh()
    return found


@pytest.fixture
async def factory(connected: Settings, emulator: Emulator) -> AsyncIterator[Factory]:
    """A factory with a pool of AWS and a team with money."""
    pool = {"provider": "aws", "name": "east", "region": "us-east-1", "endpoint_url": emulator.address, "settle_seconds": 0.05}
    connected.home.mkdir(parents=True, exist_ok=True)
    pools = [{"provider": "local", "name": "local"}, pool | {"instance_types": ["g5.xlarge"]}]
    connected.pools_file.write_text(yaml.safe_dump({"pools": pools}))
    known = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    built = connect(connected.model_copy(update=known))
    await built.tenants.create("vision", quota_slots=4, budget=Decimal(1000))
    await built.tenants.create("speech", quota_slots=4, budget=Decimal("0.01"))
    yield built
    await built.database.close()


def acting(factory: Factory, tenant: str = "vision", key: str = "plan-1/a") -> ToolContext:
    """A step of a plan."""
    return ToolContext(factory=factory, tenant=tenant, actor="ann", key=key, plan_id="plan-1")


def there(emulator: Emulator) -> int:
    """How many machines the account has."""
    return sum(machines_of(emulator.world.account).values())


async def test_the_whole_life_of_a_cluster(factory: Factory, emulator: Emulator) -> None:
    context = acting(factory)
    made = await provision(context, ASKED)
    await verify_provision(context, ASKED, made)
    assert (await provision(context, ASKED)).machines == made.machines
    assert await factory.metering.open_reservations("cluster/") == [f"cluster/{made.cluster_id}"]
    up = ScaleArguments(cluster_id=made.cluster_id, count=4)
    await verify_scale(context, up, await scale(acting(factory, key="plan-1/b"), up))
    other = ReplaceArguments(cluster_id=made.cluster_id, machine_id=made.machines[0])
    await verify_replace(context, other, await replace(acting(factory, key="plan-1/c"), other))
    assert there(emulator) == 4
    gone = ReleaseArguments(cluster_id=made.cluster_id)
    released = await release(context, gone)
    await verify_release(context, gone, released)
    assert released.machine_seconds > 0 and there(emulator) == 0
    assert (await factory.metering.cost(tenant="vision")).spent > 0
    assert (await release(context, gone)).machine_seconds == released.machine_seconds
    assert (await list_clusters(context, ListArguments())).clusters == []


async def test_undo_gives_it_back(factory: Factory, emulator: Emulator) -> None:
    context = acting(factory)
    made = await provision(context, ASKED)
    assert made.cluster_id in await undo_provision(context, ASKED, made)
    assert there(emulator) == 0
    assert await factory.metering.open_reservations("cluster/") == []
    with pytest.raises(PostconditionFailed):
        await verify_provision(context, ASKED, made)


async def test_the_budget_is_hard(factory: Factory, emulator: Emulator) -> None:
    with pytest.raises(BudgetExceeded):
        await provision(acting(factory, "speech"), ASKED)
    assert there(emulator) == 0 and not emulator.world.calls["ec2", "CreateFleet"]


async def test_what_cannot_be_had_costs_nothing(factory: Factory, emulator: Emulator) -> None:
    emulator.world.capacity["g5.xlarge", ""] = 1
    with pytest.raises(Exception, match="1 of 2"):
        await provision(acting(factory), ASKED)
    cost = await factory.metering.cost(tenant="vision")
    assert not cost.spent and not cost.reserved and there(emulator) == 0


async def test_another_team_finds_nothing(factory: Factory) -> None:
    made = await provision(acting(factory), ASKED)
    stranger = acting(factory, "speech")
    assert (await list_clusters(stranger, ListArguments())).clusters == []
    for refused in (
        scale(stranger, ScaleArguments(cluster_id=made.cluster_id, count=1)),
        replace(stranger, ReplaceArguments(cluster_id=made.cluster_id, machine_id=made.machines[0])),
        release(stranger, ReleaseArguments(cluster_id=made.cluster_id)),
    ):
        with pytest.raises(NotFound):
            await refused
    assert not (await dry_run_known(stranger, {"cluster_id": made.cluster_id})).feasible


async def test_it_is_foreseen_and_priced(factory: Factory, emulator: Emulator) -> None:
    raw = ASKED.model_dump(mode="json")
    assert (await dry_run_provision(acting(factory), raw)).feasible
    price = await price_provision(acting(factory), raw)
    assert 0 < price.low < price.high
    told = await dry_run_provision(acting(factory), raw | {"form": "kubernetes"})
    assert "CloudFormation" in told.reason
    assert not emulator.world.changes()


@pytest.mark.parametrize(
    ("change", "code"),
    [({"machine": "p9.48xlarge"}, "machine_unknown"), ({"pool": "local"}, "machine_unknown"), ({"pool": "nowhere"}, "pool_unknown")],
)
async def test_what_is_not_there_is_refused_by_name(factory: Factory, change: dict[str, str], code: str) -> None:
    assert (await dry_run_provision(acting(factory), ASKED.model_dump(mode="json") | change)).code == code


@pytest.mark.parametrize("change", [{"count": 0}, {"count": 10_000}, {"hours": 0}, {"form": "raft"}, {"nonsense": 1}])
def test_what_cannot_be_is_refused_at_the_door(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        PROVISION.parse({**ASKED.model_dump(mode="json"), **change})  # type: ignore[dict-item]
