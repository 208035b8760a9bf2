"""What an installation says of its scheduling: a section of each pool, and a file of quotas; both read again when they change."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import PoolBook, Stamp, stamp_of, told
from factory_infra.foundation.pools.spec import PoolSpec
from factory_infra.iaas.scheduling.placement.registry import POLICIES
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy, load_quotas

DEFAULT = SchedulingPolicy()
NO_QUOTAS = QuotaTree()


HourlyPrice = Callable[[str, str, str], float]
"""What a slot costs an hour, by its kind, its accelerator and its price class."""


def no_price(kind: str, accelerator: str, price_class: str) -> float:
    """Of an installation that has no price book."""
    return 0.0


class SchedulingRules:
    """The rules of every pool of an installation.

    Args:
        book: the pools; without one, every pool has the default policy.
        quotas: the file of quotas; it need not exist.
        price: what a slot costs an hour.
    """

    def __init__(self, book: PoolBook | None = None, quotas: Path | None = None, price: HourlyPrice = no_price) -> None:
        self._book = book
        self._path = quotas
        self.price = price
        self._read: tuple[Stamp, QuotaTree] | None = None

    def pools(self) -> list[str]:
        """The pools by name, the default one first."""
        return [spec.name for spec in self._book.all()] if self._book is not None else []

    def policy(self, pool: str) -> SchedulingPolicy:
        """How a pool decides. Raises InvalidInput `scheduling_invalid`."""
        spec = next((each for each in self._book.all() if each.name == pool), None) if self._book is not None else None
        return DEFAULT if spec is None else policy_of(spec)

    def quotas(self) -> QuotaTree:
        """The tree of quotas; an empty one where there is no file. Raises InvalidInput `quotas_invalid` that names file and line."""
        stamp = stamp_of(self._path) if self._path is not None else None
        if stamp is None or self._path is None:
            return NO_QUOTAS
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, load_quotas(self._path))
        return self._read[1]


def policy_of(spec: PoolSpec) -> SchedulingPolicy:
    """The policy that a pool's section says. Raises InvalidInput `scheduling_invalid` that names the pool and the field."""
    if not spec.scheduling:
        return DEFAULT
    try:
        found = SchedulingPolicy.model_validate(spec.scheduling)
    except ValidationError as error:
        raise wrong(spec.name, told(error)) from error
    if found.placement and found.placement not in POLICIES:
        raise wrong(spec.name, f"placement: there is no '{found.placement}', only {', '.join(sorted(POLICIES))}")
    return found


def wrong(pool: str, what: str) -> InvalidInput:
    """A section that cannot be."""
    reason = f"pools.yaml, pool '{pool}', scheduling.{what}."
    return InvalidInput(reason, remedy="Mend it; docs/scheduling.md has every field.", code="scheduling_invalid")


def queue_of(tenant: str, asked: str, quotas: QuotaTree) -> str:
    """The queue that a team's lease is charged to: the one that it asks for, if that is its own or below it; else its own.

    A team's own queue is the listed one whose last part is the team's name, the shortest where there are several; without one its name.
    Raises InvalidInput `queue_unknown`, the same for one that is not there and for another team's.
    """
    listed = sorted((spec.name for spec in quotas.queues), key=len)
    own = next((name for name in listed if name.rpartition("/")[2] == tenant), tenant)
    if not asked or asked in (own, tenant):
        return own
    if asked in listed and asked.startswith(f"{own}/"):
        return asked
    remedy = f"Leave it out, or name one of: {', '.join([own, *(name for name in listed if name.startswith(f'{own}/'))])}."
    raise InvalidInput(f"Team {tenant} has no queue '{asked}'.", remedy=remedy, code="queue_unknown")
