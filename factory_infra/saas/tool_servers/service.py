"""Adds, reviews, approves and asks servers of tools that are somebody else's."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, TooLarge
from factory_infra.saas.tool_servers.interface import Address, ToolSource
from factory_infra.saas.tool_servers.models import (
    SERVER_NAME,
    EffectWord,
    ForeignAnswer,
    ServerState,
    ToolDescription,
    ToolServer,
    ToolServerRequest,
    digest_of,
)
from factory_infra.saas.tool_servers.tables import ToolServerRow

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
KEY_FILE = r"^tool-[a-z0-9.-]{1,58}$"
"""So that no other secret of the installation can be sent to a stranger."""
ARGUMENT_BYTES_MAX = 20_000


class ToolServers:
    """Servers of tools, in PostgreSQL. Only an operator adds one; nothing that is asked for by a request, a plan or a model can.

    A tenant of None in a read means an administrator, who sees all; a team sees the servers for all and its own.
    """

    def __init__(self, database: Database, source: ToolSource, secrets_dir: Path) -> None:
        self._database = database
        self._source = source
        self._secrets_dir = secrets_dir

    async def add(self, request: ToolServerRequest) -> ToolServer:
        """Keep a server; nothing is asked of it before it is reviewed. Raises InvalidInput, Conflict when the name is taken."""
        checked_name(request.name)
        checked_url(request.url)
        if request.secret and not re.fullmatch(KEY_FILE, request.secret):
            raise InvalidInput(
                f"'{request.secret}' cannot be a secret's name.", remedy="Name a file in the folder of secrets that begins with 'tool-'."
            )
        async with self._database.transaction(lock=f"tool-server/{request.name}") as session:
            row = await session.get(ToolServerRow, request.name)
            if row is not None and row.state != ServerState.DISABLED:
                raise Conflict(f"There is a tool server {request.name} already.", remedy="Remove it first, or take another name.")
            if row is not None:
                await session.delete(row)
                await session.flush()
            fields = request.model_dump(exclude={"effects"})
            session.add(ToolServerRow(**fields, state=ServerState.PENDING, effects=dict(request.effects)))
        return await self.get(request.name)

    async def list(self, tenant: str | None = None, *, usable: bool = False) -> list[ToolServer]:
        """Return servers by name.

        Args:
            usable: only those that are approved now.
        """
        query = select(ToolServerRow).where(ToolServerRow.state != ServerState.DISABLED).order_by(ToolServerRow.name)
        if tenant is not None:
            query = query.where((ToolServerRow.tenant == tenant) | ToolServerRow.tenant.is_(None))
        if usable:
            query = query.where(ToolServerRow.state == ServerState.APPROVED)
        async with self._database.transaction() as session:
            return [model_of(row) for row in await session.scalars(query)]

    async def get(self, name: str, tenant: str | None = None) -> ToolServer:
        """Return a server. Raises NotFound, also for one of another team."""
        async with self._database.transaction() as session:
            return model_of(await found(session, name, tenant))

    async def review(self, name: str) -> ToolServer:
        """Read what the server offers now and keep it with its digest, for a person to read. An approved server that says
        something else than what was approved is `changed` from here on."""
        described = await self._source.describe(self._address(await self.get(name)))
        async with self._database.transaction() as session:
            row = await found(session, name, lock=True)
            row.digest, row.described, row.reviewed_at = digest_of(described), {"tools": dumped(described)}, utcnow()
            if row.state == ServerState.APPROVED and row.digest != row.approved_digest:
                row.state = ServerState.CHANGED
        return await self.get(name)

    async def approve(self, name: str, digest: str, effects: dict[str, EffectWord], who: str) -> ToolServer:
        """Approve exactly the descriptions that the digest names, with the effects that the operator declares; those given before
        stay. Raises Conflict (`digest_mismatch`), InvalidInput for an effect of a tool that is not there."""
        async with self._database.transaction() as session:
            row = await found(session, name, lock=True)
            if not row.digest or row.digest != digest:
                remedy = "Review the server, read its tools, and approve the digest that is shown."
                raise Conflict("The approval names other descriptions.", code="digest_mismatch", remedy=remedy)
            tools = {tool.name for tool in model_of(row).described}
            if unknown := sorted(set(effects) - tools):
                raise InvalidInput(f"Server {name} has no tool {', '.join(unknown)}.", remedy=f"Its tools: {', '.join(sorted(tools))}.")
            row.effects = {**{tool: word for tool, word in row.effects.items() if tool in tools}, **effects}
            row.approved_digest, row.pinned, row.state = digest, row.described, ServerState.APPROVED
            row.approved_by, row.approved_at = who, utcnow()
        return await self.get(name)

    async def remove(self, name: str) -> None:
        """Switch a server off: its tools are unknown from here on. Raises NotFound; what it did stays in the records."""
        async with self._database.transaction() as session:
            (await found(session, name, lock=True)).state = ServerState.DISABLED

    async def tool(self, tenant: str | None, server: str, tool: str) -> tuple[ToolServer, ToolDescription]:
        """Return an approved server with the pinned description of one of its tools. Raises NotFound, Conflict."""
        held = await self.get(server, tenant)
        usable(held)
        description = next((each for each in held.pinned if each.name == tool), None)
        if description is None:
            raise NotFound(f"There is no tool 'mcp.{server}.{tool}'.", code="tool_unknown", remedy="List the tools with GET /v1/tools.")
        return held, description

    async def call(self, tenant: str, server: str, tool: str, arguments: dict[str, JsonValue], key: str) -> ForeignAnswer:
        """Call a tool of an approved server, after looking whether it still describes itself as approved. Raises Conflict."""
        held, description = await self.tool(tenant, server, tool)
        check_arguments(description, arguments)
        try:
            return await self._source.call(self._address(held), held.approved_digest, tool, arguments, key)
        except Conflict:
            # also a server of all teams, whose row a team only reads: whoever found it out
            async with self._database.transaction(whole=True) as session:
                (await found(session, server, lock=True)).state = ServerState.CHANGED
            raise

    def _address(self, server: ToolServer) -> Address:
        if not server.secret:
            return Address(server.url, "")
        path = self._secrets_dir / server.secret
        if not path.is_file():
            reason = f"The secret '{server.secret}' of tool server {server.name} is not there."
            raise NotFound(reason, code="secret_missing", remedy=f"Put its key into the file {server.secret} in the folder of secrets.")
        return Address(server.url, path.read_text().strip())


async def found(session: AsyncSession, name: str, tenant: str | None = None, *, lock: bool = False) -> ToolServerRow:
    """Return a server's row. Raises NotFound, in the same words for an absent one and another team's."""
    row = await session.get(ToolServerRow, name, with_for_update=lock)
    hidden = row is not None and tenant is not None and row.tenant not in (None, tenant)
    if row is None or hidden or row.state == ServerState.DISABLED:
        raise NotFound(f"There is no tool server '{name}'.", code="tool_server_unknown", remedy="List them with GET /v1/tool-servers.")
    return row


def model_of(row: ToolServerRow) -> ToolServer:
    """The row as others see it."""
    fields = {name: getattr(row, name) for name in ToolServer.model_fields}
    return ToolServer.model_validate({**fields, "described": row.described.get("tools", []), "pinned": row.pinned.get("tools", [])})


def dumped(tools: list[ToolDescription]) -> list[JsonValue]:
    """Descriptions as the table keeps them."""
    return [tool.model_dump(mode="json") for tool in tools]


def usable(server: ToolServer) -> None:
    """Raise Conflict unless the server's tools may be called."""
    if server.state is ServerState.CHANGED:
        reason = f"Tool server {server.name} describes its tools otherwise than was approved."
        raise Conflict(reason, code="tool_server_changed", remedy="An administrator reviews it and approves it anew.")
    if server.state is not ServerState.APPROVED:
        reason = f"Tool server {server.name} is {server.state}."
        raise Conflict(reason, code="tool_server_not_approved", remedy="An administrator reviews and approves it first.")


def checked_name(name: str) -> None:
    """Raise InvalidInput for what cannot be part of a tool's name."""
    if not re.fullmatch(SERVER_NAME, name):
        raise InvalidInput(f"'{name}' cannot be a tool server's name.", remedy="Use up to 20 small letters, digits and hyphens.")


def checked_url(url: str) -> None:
    """Raise InvalidInput for an address that would carry a key in the clear, or in itself."""
    parts = urlsplit(url)
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not encrypted or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment or len(url) > 400:
        remedy = "Give https://HOST/PATH, or http:// on this machine; a key goes into a file of the secrets."
        raise InvalidInput("The address of a tool server cannot be used.", remedy=remedy)


def check_arguments(tool: ToolDescription, arguments: dict[str, JsonValue]) -> None:
    """Raise InvalidInput unless arguments fit the pinned schema, TooLarge for more than any tool should be sent."""
    if len(json.dumps(arguments)) > ARGUMENT_BYTES_MAX:
        raise TooLarge(f"The arguments of {tool.name} are larger than {ARGUMENT_BYTES_MAX} bytes.", remedy="Send less.")
    try:
        Draft202012Validator(tool.arguments).validate(arguments)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.absolute_path) or "arguments"
        raise InvalidInput(f"{tool.name}: {field}: {error.message[:200]}", remedy="Correct the argument and plan again.") from error
    except SchemaError as error:
        raise InvalidInput(f"The schema of {tool.name} cannot be used.", remedy="Ask who runs the server.") from error
