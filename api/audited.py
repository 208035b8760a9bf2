"""Tells the audit log of every request that could change something: who, which route, what was there before, what came of it."""

import hashlib
from collections.abc import Iterator, Sequence

import structlog
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from factory_infra.paas.tenants.permissions import permission_of
from factory_infra.records.audit import AuditLog, NewEntry
from factory_infra.second_wall import NOBODY, seen_by

log = structlog.get_logger("audit")

READS = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGES_NOTHING = frozenset(
    {
        "endpoints:predict",
        "policy:test",
        "clusters:template",
        "session:create",
        "session:delete",
        "nodes:heartbeat",
        "features:read",
        "costs:mix",
    }
)
"""What is sent with a body and changes nothing that a log should know; and what services tell of themselves."""
TOLD_BY_SERVICES = frozenset({"tenants", "keys", "organisations", "projects", "members", "roles", "accounts"})
"""Nouns whose services tell of a change in the transaction that makes it, with both digests: only their refusals are told here."""
TOLD_BY_ROUTES = frozenset({"policy:change"})
"""What its own route tells of, with both digests."""
ABOUT_NO_OBJECT = frozenset({"tools:call"})
"""What goes through an object that stays as it is."""
SHOWN_BYTES_MAX = 4 * 1024 * 1024
"""Of an object that is larger no digest is taken: it would hold a change up."""


class Audited:
    """Adds a row for each such request of somebody who is known, before the answer is sent."""

    def __init__(self, app: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its body is digested as it comes, and kept nowhere."""
        if scope["type"] != "http" or scope["method"] in READS:
            await self._app(scope, receive, send)
            return
        digest, before = hashlib.sha256(), await self._before(scope)

        async def read() -> Message:
            message = await receive()
            digest.update(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                await tell_of(scope, message["status"], before, digest.hexdigest())
            await send(message)

        await self._app(scope, read, told)

    async def _before(self, scope: Scope) -> str:
        """The digest of the object as the asker sees it now; empty where there is none that they may see."""
        route = self._route(scope["method"], scope["path"])
        permission = permission_of(scope["method"], route.path) if route is not None else ""
        if route is None or permission in ABOUT_NO_OBJECT or is_told_elsewhere(permission):
            return ""
        path = next((each for each in objects(scope["path"], route) if self._route("GET", each) is not None), "")
        return await self._shown(scope, path) if path else ""

    def _route(self, method: str, path: str) -> APIRoute | None:
        """The route that answers a method at an address; None where there is none."""
        return next((each for each in self._routes if method in (each.methods or ()) and each.path_regex.match(path)), None)

    async def _shown(self, scope: Scope, path: str) -> str:
        digest, size, status = hashlib.sha256(), 0, 0

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def taken(message: Message) -> None:
            nonlocal size, status
            status = message.get("status", status)
            size += len(message.get("body", b""))
            digest.update(message.get("body", b""))

        headers = [(name, value) for name, value in scope["headers"] if name not in OF_THE_BODY]
        asked = {**scope, "method": "GET", "path": path, "raw_path": path.encode(), "headers": headers, "state": {}}
        # It is a request of its own: what it comes to see ends with it.
        with seen_by(NOBODY):
            await self._app(asked, nothing, taken)
        return digest.hexdigest() if status == 200 and size <= SHOWN_BYTES_MAX else ""


OF_THE_BODY = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"accept", b"if-match", b"last-event-id"})


def objects(path: str, route: APIRoute) -> Iterator[str]:
    """Where the object that a request is about may be read: at its own address, else at the one above, without its verb or its name.

    What is added to a collection was not there before.
    """
    if "{" in route.path or "POST" not in (route.methods or ()):
        yield path
    if "{" in route.path:
        yield path.rpartition("/")[0]


def is_told_elsewhere(permission: str) -> bool:
    """Whether a change is told of by who makes it, or is none."""
    return permission in CHANGES_NOTHING | TOLD_BY_ROUTES or permission.partition(":")[0] in TOLD_BY_SERVICES


async def tell_of(scope: Scope, status: int, before: str, digest: str) -> None:
    """Add the row of a request that was answered."""
    asker, route = scope.get("state", {}).get("asker"), scope.get("route")
    if asker is None or route is None:
        return
    permission = permission_of(scope["method"], route.path)
    done = status < 400
    if permission in CHANGES_NOTHING or (done and is_told_elsewhere(permission)):
        return
    entry = NewEntry(
        action=permission,
        object=scope["path"],
        # What was refused may name another team's things: administrators see that somebody tried, the team does not.
        tenant=asker.tenant if done else None,
        before=before if done else "",
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
