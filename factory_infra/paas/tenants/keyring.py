"""Keys on the gateway's hot path: remembered in the process, checked without the database, forgotten the moment one is revoked."""

import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from factory_infra.batched import Batched
from factory_infra.errors import Unauthenticated
from factory_infra.notices import News, Remembered
from factory_infra.paas.tenants.channels import KEYS_CHANNEL
from factory_infra.paas.tenants.directory import Directory
from factory_infra.paas.tenants.models import ApiKey, Principal
from factory_infra.paas.tenants.proof import NO_KEY, KeyProof, check, invalid_key, parted
from factory_infra.paas.tenants.service import Tenants

KEYS_MAX = 20_000
UNKNOWN_MAX = 10_000
DOUBTS_PER_SECOND_MAX = 20


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a model, and what the key is bound to."""

    principal: Principal
    project: str
    models: frozenset[str] | None
    """The models that it may call; None for all of its team's."""
    scopes: frozenset[str]
    expires_at: datetime | None
    """When the secret that was shown ends: with the key, or with the overlap of a rotation."""


class _Known(NamedTuple):
    caller: Caller
    proof: KeyProof


class KeyRing:
    """Checks keys. What is remembered is a key's digests and its terms by the key's id, never a secret.

    Every key goes through one comparison in constant time, whether it came from memory or from PostgreSQL. Ids that do not exist are
    remembered apart, so that a flood of them pushes no good key out. While the news are not fresh every look-up goes to PostgreSQL.
    """

    def __init__(self, tenants: Tenants, news: News, *, keys_max: int = KEYS_MAX, unknown_max: int = UNKNOWN_MAX) -> None:
        self._tenants = tenants
        self._known: Remembered[str, _Known] = Remembered(news, KEYS_CHANNEL, entries_max=keys_max)
        self._unknown: Remembered[str, bool] = Remembered(news, KEYS_CHANNEL, entries_max=unknown_max)
        self._asked: Batched[str, tuple[ApiKey, KeyProof]] = Batched(tenants.known_keys)
        self._second = 0
        self._doubts = 0

    def __len__(self) -> int:
        """How many keys are remembered, those that do not exist included."""
        return len(self._known) + len(self._unknown)

    async def authenticate(self, key: str) -> Caller:
        """Tell who calls. Raises Unauthenticated, in the same words for every reason; which scope is needed the door decides."""
        key_id, secret = parted(key)
        known = self._known.get(key_id, key_id)
        if known is not None:
            try:
                return self._caller(known, secret)
            except Unauthenticated:
                if not self._may_doubt():
                    raise
        known = await self._look_up(key_id)
        caller = self._caller(known, secret)
        if known is not None:
            await self._tenants.renew(key_id, known.proof.digest, secret)
        return caller

    def _caller(self, known: _Known | None, secret: str) -> Caller:
        until = check(known.proof if known else NO_KEY, secret, self._tenants.pepper)
        if known is None:
            raise invalid_key()
        return known.caller if until == known.caller.expires_at else replace(known.caller, expires_at=until)

    def _may_doubt(self) -> bool:
        """Whether a refusal from memory is asked about once more: a secret may be new, and the news of it on their way.

        Only so often a second: a flood of wrong secrets is no flood of queries.
        """
        second = int(time.monotonic())
        self._second, self._doubts = second, self._doubts + 1 if second == self._second else 1
        return self._doubts <= DOUBTS_PER_SECOND_MAX

    async def _look_up(self, key_id: str) -> _Known | None:
        """Ask PostgreSQL, unless it said lately that there is no such key."""
        if self._unknown.get(key_id, key_id):
            return None
        mark, mark_unknown = self._known.mark(key_id), self._unknown.mark(key_id)
        found = await self._asked.get(key_id)
        if found is None:
            self._unknown.put(key_id, key_id, True, mark_unknown)
            return None
        known = _Known(caller_of(found[0]), found[1])
        self._known.put(key_id, key_id, known, mark)
        return known


class RoleKeys:
    """A key ring whose callers come with what their roles of one's own give, as it is now: both are remembered, and forgotten alike."""

    def __init__(self, ring: KeyRing, directory: Directory) -> None:
        self._ring = ring
        self._directory = directory

    async def authenticate(self, key: str) -> Caller:
        """Tell who calls. Raises Unauthenticated, in the same words for every reason."""
        caller = await self._ring.authenticate(key)
        asker = caller.principal
        if not asker.custom_role or asker.tenant is None:
            return caller
        granted = await self._directory.granted(asker.tenant, asker.custom_role)
        # A built-in role would say None, which gives all of it: a key never names one here.
        known = {"role": granted.counts_as, "permissions": granted.permissions or frozenset()}
        return replace(caller, principal=asker.model_copy(update=known))


def caller_of(key: ApiKey) -> Caller:
    """The caller that a key stands for. Names that many keys share are kept once."""
    tenant = sys.intern(key.tenant) if key.tenant is not None else None
    return Caller(
        principal=Principal(
            key_id=key.id, name=sys.intern(key.name), role=key.role, tenant=tenant, custom_role=sys.intern(key.custom_role)
        ),
        project=sys.intern(key.project),
        models=_shared(frozenset(key.models)) if key.models is not None else None,
        scopes=_shared(frozenset(key.scopes)),
        expires_at=key.expires_at,
    )


_SETS: dict[frozenset[str], frozenset[str]] = {}
_SETS_MAX = 1_000


def _shared(names: frozenset[str]) -> frozenset[str]:
    """The one copy of a set that many keys have."""
    if len(_SETS) >= _SETS_MAX:
        _SETS.clear()
    return _SETS.setdefault(names, names)
