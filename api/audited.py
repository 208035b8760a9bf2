"""Tells the audit log of every request that could change something: who, which route, what came of it."""

import hashlib

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from factory_infra.paas.tenants.permissions import permission_of
from factory_infra.records.audit import AuditLog, NewEntry

log = structlog.get_logger("audit")

READS = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGES_NOTHING = frozenset(
    {"endpoints:predict", "policy:test", "clusters:template", "session:create", "session:delete", "nodes:heartbeat", "features:read"}
)
"""What is sent with a body and changes nothing that a log should know; and what services tell of themselves."""
TOLD_BY_SERVICES = frozenset({"tenants", "keys", "organisations", "projects", "members", "roles", "accounts"})
"""Nouns whose services tell of a change in the transaction that makes it, with both digests: only their refusals are told here."""


class Audited:
    """Adds a row for each such request of somebody who is known, before the answer is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its body is digested as it comes, and kept nowhere."""
        if scope["type"] != "http" or scope["method"] in READS:
            await self._app(scope, receive, send)
            return
        digest = hashlib.sha256()

        async def read() -> Message:
            message = await receive()
            digest.update(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                await tell_of(scope, message["status"], digest.hexdigest())
            await send(message)

        await self._app(scope, read, told)


async def tell_of(scope: Scope, status: int, digest: str) -> None:
    """Add the row of a request that was answered."""
    asker, route = scope.get("state", {}).get("asker"), scope.get("route")
    if asker is None or route is None:
        return
    permission = permission_of(scope["method"], route.path)
    done = status < 400
    if permission in CHANGES_NOTHING or (done and permission.partition(":")[0] in TOLD_BY_SERVICES):
        return
    entry = NewEntry(
        action=permission,
        object=scope["path"],
        # What was refused may name another team's things: administrators see that somebody tried, the team does not.
        tenant=asker.tenant if done else None,
        after=digest if done else "",
        outcome="done" if done else f"refused {status}",
        actor=asker.actor,
        door="api",
    )
    audit: AuditLog = scope["app"].state.house.factory.audit
    try:
        await audit.add(entry)
    except SQLAlchemyError as error:
        # What was asked is done by now: to answer that it failed would have it done twice.
        log.error("a change is not in the audit log", action=permission, actor=asker.actor, error=type(error).__name__)
