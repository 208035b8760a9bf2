"""The row of an endpoint: found, switched, retired, and the record of what was done to it."""

import hashlib
import re

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.deployments.models import EndpointState
from factory_infra.paas.deployments.providers.kinds import CHAT_PREFIX
from factory_infra.paas.deployments.providers.wire import ROWS_MAX, Rows
from factory_infra.paas.deployments.serving import Server
from factory_infra.paas.deployments.tables import DeploymentAction, EndpointRow

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def check_name(name: str) -> None:
    """Raise InvalidInput for a name that cannot stand in an address."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"The endpoint's name is not valid: {name[:80]!r}.",
            remedy="Use at most 63 small letters, digits, '.', '_' and '-'.",
            code="endpoint_name_invalid",
        )


def check_rows(rows: list[list[float]]) -> None:
    """Raise InvalidInput unless these are 1 to 1,000 rows of finite numbers."""
    try:
        Rows.model_validate({"rows": rows})
    except ValidationError as error:
        raise InvalidInput(
            "The rows are not valid: " + str(error.errors(include_url=False, include_input=False)[0]["msg"]) + ".",
            remedy=f"Send 1 to {ROWS_MAX} rows of finite numbers.",
            code="rows_invalid",
        ) from error


async def find(session: AsyncSession, tenant: str, name: str) -> EndpointRow:
    """Return the row. Raises NotFound."""
    row = await session.get(EndpointRow, (tenant, name))
    if row is None:
        raise NotFound(
            f"Team {tenant} has no endpoint {name}.", remedy="List the endpoints to see those that exist.", code="endpoint_unknown"
        )
    return row


async def done_before(session: AsyncSession, tenant: str, name: str, kind: str, key: str) -> bool:
    """Whether this key's action was done already. Raises Conflict for a key that did something else."""
    action = await session.get(DeploymentAction, key)
    if action is not None and (action.tenant, action.name, action.kind) != (tenant, name, kind):
        raise Conflict(f"The key {key!r} was used for another action.", remedy="Use a key once.", code="key_reused")
    return action is not None


async def record(session: AsyncSession, row: EndpointRow, kind: str, key: str) -> None:
    """Write down that an action was done, in the transaction that did it."""
    await session.flush()
    session.add(DeploymentAction(key=key, tenant=row.tenant, name=row.name, kind=kind, model_name=row.model_name, version=row.version))


def switch(row: EndpointRow, model_name: str, version: int, server: Server) -> None:
    """Make a healthy server the live one."""
    row.model_name, row.version = model_name, version
    row.job_id, row.port = server.job_id, server.port
    row.state, row.asleep, row.updated_at = EndpointState.LIVE, False, utcnow()


def switch_off(row: EndpointRow) -> None:
    """Retire an endpoint: it forgets what it served before."""
    row.state, row.previous, row.asleep, row.updated_at = EndpointState.RETIRED, [], False, utcnow()


def chats(row: EndpointRow) -> bool:
    """Whether an endpoint serves a language model: the id of its server's job tells it."""
    return row.job_id.startswith(f"{CHAT_PREFIX}-")


def rows_only(row: EndpointRow) -> EndpointRow:
    """Raise InvalidInput for an endpoint that chats; else return it."""
    if not chats(row):
        return row
    raise InvalidInput(
        f"Endpoint {row.name} serves the language model {row.model_name}, which takes no rows.",
        remedy="Ask it through the gateway: a backend of kind `deployment` names it.",
        code="endpoint_chats",
    )


def server_of(row: EndpointRow) -> Server:
    """Return the server that a row names."""
    return Server(job_id=row.job_id, port=row.port)


def lock_of(tenant: str, name: str) -> str:
    """Return the name of the lock that actions on one endpoint take."""
    return f"endpoint:{tenant}/{name}"


def first_job_id(prefix: str, tenant: str, name: str, key: str) -> str:
    """Return the id of the first server that an action starts: the same for the same key, so that a retry finds it."""
    return f"{prefix}-{name}-{hashlib.sha256(f'{tenant}/{name}/{key}'.encode()).hexdigest()[:16]}-0"
