"""Who calls, and to what the call belongs: the key from a header, never from the address, and the attribution that headers name."""

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes

from api.gateway.exchange import Exchange
from factory_infra.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.permissions import CALL_MODELS, check_granted

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
SCOPE = "gateway"
"""The scope that a key needs to call models."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}")
"""What an attribution header may hold: as long as the ledger's columns."""
_KEY_NAMES = re.compile(rb"(?:^|[&;])(?:x-)?(?:api[-_]?)?(?:key|access[-_]token|token|authorization)=", re.IGNORECASE)
_KEY_VALUES = re.compile(rb"ls_[0-9a-f]{12}_|sk-[A-Za-z0-9_-]{16}", re.IGNORECASE)


class Keys(Protocol):
    """Where keys are checked."""

    async def authenticate(self, key: str) -> Caller:
        """Tell who calls. Raises Unauthenticated, in the same words for every reason."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """What the attribution headers of a call name; empty where they do not."""

    tenant: str
    run: str
    thread: str
    agent: str
    step: str
    project: str


def refuse_key_in_address(exchange: Exchange) -> None:
    """Refuse a request whose address holds a key: addresses are logged and remembered everywhere. Raises Unauthenticated."""
    query = unquote_to_bytes(exchange.query)
    if _KEY_NAMES.search(query) or _KEY_VALUES.search(query) or _KEY_VALUES.search(exchange.path.encode()):
        raise Unauthenticated(
            "A key in the address is not taken: addresses are logged.",
            remedy="Revoke that key, and send another as 'Authorization: Bearer …'.",
            code="key_in_address",
        )


def refuse_foreign_host(exchange: Exchange) -> None:
    """On loopback only its own names are taken, so that no page can reach it by a name of its own. Raises InvalidInput."""
    if hostname(exchange.header(b"host")) not in LOOPBACK:
        raise InvalidInput("This host is not served here.", remedy="Use 127.0.0.1 or localhost.", code="host_refused")


def hostname(host: str) -> str:
    """A Host header without its port."""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def key_of(exchange: Exchange) -> str:
    """The key as clients send it. Raises Unauthenticated where there is none."""
    scheme, _, key = exchange.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    key = exchange.header(b"x-api-key").strip()
    if not key:
        raise Unauthenticated("A key is needed.", remedy="Send it as 'Authorization: Bearer …' or 'x-api-key: …'.")
    return key


async def caller_of(exchange: Exchange, keys: Keys) -> Caller:
    """Tell who calls. Raises Unauthenticated, and Forbidden for a key that may not call models.

    A role of one's own may where it has `models:call`, whatever it counts as.
    """
    caller = await keys.authenticate(key_of(exchange))
    if SCOPE not in caller.scopes:
        raise Forbidden(f"The key has not the scope '{SCOPE}'.", remedy="Use a key that may call models.", code="scope_missing")
    if caller.principal.permissions is not None:
        check_granted(caller.principal.permissions, CALL_MODELS)
    elif not caller.principal.role.reaches(Role.USER):
        raise Forbidden("A viewer's key may not call models.", remedy="Use a key with the role user.")
    return caller


def named(exchange: Exchange, caller: Caller) -> Named:
    """Read the attribution headers. An administrator may name the team that is charged, everybody else their own.

    Raises InvalidInput for what cannot be a name, NotFound for another team than the key's, Forbidden for another project.
    """
    found = {name: _name(exchange, name) for name in ("tenant", "run", "thread", "agent", "step", "project")}
    own = caller.principal.tenant
    if own is not None and found["tenant"] not in {"", own}:
        raise NotFound(f"There is no team '{found['tenant']}'.", code="team_unknown", remedy="Leave x-lineshaft-tenant out.")
    if caller.project and found["project"] not in {"", caller.project}:
        raise Forbidden("The key belongs to another project.", remedy="Leave x-lineshaft-project out, or use a key of that project.")
    found["tenant"] = own or found["tenant"]
    return Named(**{**found, "project": caller.project or found["project"]})


def _name(exchange: Exchange, name: str) -> str:
    value = exchange.header(b"x-lineshaft-" + name.encode())
    if value and not NAME.fullmatch(value):
        raise InvalidInput(
            f"The header x-lineshaft-{name} cannot be a name.",
            remedy="Send up to 64 letters, digits, '.', '_', ':', '/' or '-', the first a letter or digit.",
            code="header_invalid",
        )
    return value
