"""Tools over pools."""

from factory_infra.errors import LineshaftError
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext


class ListArguments(Arguments):
    """Nothing is asked."""


class PoolLine(Result):
    """One pool, and what of it is free now."""

    name: str
    provider: str
    default: bool
    reachable: bool
    slot_kind: str = ""
    slots_total: int = 0
    slots_free: int = 0
    accelerators: list[str] = []
    machines: list[str] = []
    note: str = ""


class PoolList(Result):
    """The pools of the installation, the default one first."""

    pools: list[PoolLine]


async def list_pools(context: ToolContext, arguments: ListArguments) -> PoolList:
    """List the pools: where slots are, of which type, how many are free, and which pool does not answer."""
    factory, default, found = context.factory, context.factory.pools.default().name, list[PoolLine]()
    for spec in factory.pools.all():
        line = PoolLine(name=spec.name, provider=spec.provider, default=spec.name == default, reachable=True)
        try:
            pool = await factory.accelerators.pool(spec.name)
            usage = await factory.leases.usage(context.tenant, spec.name)
        except LineshaftError as error:
            found.append(line.model_copy(update={"reachable": False, "note": error.reason}))
            continue
        types = sorted({slot.accelerator for slot in pool.slots if slot.accelerator})
        told = {"slot_kind": pool.kind, "slots_total": usage.slots_total, "slots_free": usage.slots_free, "note": pool.note}
        found.append(line.model_copy(update={**told, "accelerators": types, "machines": [each.name for each in pool.machines]}))
    return PoolList(pools=found)


TOOLS = (Tool("pools.list", Effect.READ, ListArguments, PoolList, list_pools),)
