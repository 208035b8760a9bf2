"""`lineshaft catalog`: search, browse, list one's own, read documents, follow lineage, use blueprints, ask for access."""

import json
import uuid
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out
from cli.features import document as definition_of
from cli.listing import JsonObject, show, show_one
from factory_infra.errors import InvalidInput

app = typer.Typer(help="The catalog: search, list, lineage, blueprints, access.", no_args_is_help=True)
access = typer.Typer(help="Access to what other teams own: ask, decide, share, take back.", no_args_is_help=True)
app.add_typer(access, name="access")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; your key's own if left out.")]
EntryId = Annotated[str, typer.Argument(help="The entry, as a search shows its id.")]
RequestId = Annotated[str, typer.Argument(help="The request.")]
Reason = Annotated[str, typer.Option(help="Why: the other team reads it.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
Days = Annotated[int, typer.Option(min=1, max=365, help="For how many days.")]
FOUND = ("id", "kind", "name", "version", "owner", "badges", "description")
REQUESTS = ("id", "entry_id", "tenant", "owner_tenant", "state", "days", "asked_by", "asked_at", "expires_at")
SEARCH_MAX = 50


def path_of(prefix: str, entry_id: str) -> str:
    """The address of an entry, whatever its name holds."""
    return f"{prefix}/{quote(entry_id)}"


def shown(row: JsonObject) -> JsonObject:
    """A row with its badges as words."""
    badges = row.get("badges")
    told = [f"{each['name']}: {each['value']}" for each in badges if isinstance(each, dict)] if isinstance(badges, list) else []
    return {**row, "badges": ", ".join(told), "tags": ", ".join(map(str, tags)) if isinstance(tags := row.get("tags"), list) else ""}


@app.command()
def search(  # noqa: PLR0913 - each is a condition of its own
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What you look for, in words.")],
    kind: Annotated[str | None, typer.Option(help="service, model, dataset, feature, pipeline, endpoint, document, agent or tool.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    badge: Annotated[str | None, typer.Option(help="NAME, or NAME:LEVEL such as quality:good.")] = None,
    version: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, max=SEARCH_MAX, help="At most so many.")] = 10,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Search by meaning and by words, best first."""
    asked = {"q": query, "kind": kind, "owner": owner, "tag": tag, "badge": badge, "version": version}
    with client_of(context) as client:
        rows = client.get_list("/v1/catalog", **asked, limit=limit, tenant=team)
    show(rows if as_json else [shown(row) for row in rows], FOUND, as_json=as_json, empty="Nothing like it.")


@app.command("list")
def list_entries(  # noqa: PLR0913 - each is a condition of its own
    context: typer.Context,
    kind: Annotated[str | None, typer.Option()] = None,
    owner: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[str | None, typer.Option(help="Such as blueprint.")] = None,
    badge: Annotated[str | None, typer.Option()] = None,
    of: Annotated[str | None, typer.Option(help="Only what this team owns, of what you see.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """List what you see, by kind and name."""
    asked = {"kind": kind, "owner": owner, "tag": tag, "badge": badge, "team": of}
    with client_of(context) as client:
        rows = client.get_list("/v1/catalog", **asked, limit=limit, offset=offset, tenant=team)
    show(rows if as_json else [shown(row) for row in rows], FOUND, as_json=as_json, empty="Nothing is listed.")


@app.command("show")
def show_entry(context: typer.Context, entry_id: EntryId, team: Team = None, as_json: Json = False) -> None:
    """Show an entry, and a blueprint's slots."""
    with client_of(context) as client:
        told = client.get_object(path_of("/v1/catalog", entry_id), tenant=team)
    show_one(told if as_json else shown(told), as_json=as_json)


@app.command()
def put(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The entry, YAML or JSON: kind, name, description, tags, visibility, blueprint, …")],
    text: Annotated[Path | None, typer.Option(help="Of a document: a file of plain text or Markdown.")] = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """List something of your team's own, or change what was listed."""
    body = definition_of(file)
    if text is not None:
        body["text"] = words_of(text)
    if team is not None:
        body["tenant"] = team
    with client_of(context) as client:
        told = client.post("/v1/catalog", body)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"{told['id']} is listed", markup=False)


def words_of(path: Path) -> str:
    """A file's text. Raises InvalidInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {str(error)[:200]}", remedy="Give a text in UTF-8.") from error


@app.command()
def remove(context: typer.Context, entry_id: EntryId) -> None:
    """Take an entry of your own out."""
    with client_of(context) as client:
        client.delete(path_of("/v1/catalog", entry_id))
    out.print(f"{entry_id} is gone", markup=False)


@app.command()
def audience(
    context: typer.Context,
    entry_id: EntryId,
    visibility: Annotated[str | None, typer.Option(help="private, team, organisation or shared.")] = None,
    access: Annotated[str | None, typer.Option(help="open, or request: others must be granted it first.")] = None,
    as_json: Json = False,
) -> None:
    """Change who sees an entry of your own, and who may use it."""
    wanted: JsonObject = {name: value for name, value in (("visibility", visibility), ("access", access)) if value is not None}
    with client_of(context) as client:
        told = client.patch(path_of("/v1/catalog", entry_id), wanted)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"{told['id']}: {told['visibility']}, {told['access']}", markup=False)


@app.command()
def read(context: typer.Context, entry_id: EntryId, team: Team = None, as_json: Json = False) -> None:
    """Read a document."""
    with client_of(context) as client:
        told = client.get_object(path_of("/v1/documents", entry_id), tenant=team)
    out.print_json(json.dumps(told)) if as_json else out.print(str(told["text"]), markup=False)


@app.command()
def lineage(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="KIND/NAME, such as model/vision/reader/3, run/ID or invoice/vision/2026-11.")],
    direction: Annotated[str, typer.Option(help="up (made from), down (came of it) or both.")] = "both",
    depth: Annotated[int, typer.Option(min=1, max=12, help="So many steps.")] = 6,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Show what a thing was made from, and what came of it."""
    with client_of(context) as client:
        told = client.get_object("/v1/lineage", node=node, direction=direction, depth=depth, tenant=team)
    edges = told["edges"]
    rows = [each for each in edges if isinstance(each, dict)] if isinstance(edges, list) else []
    if as_json:
        out.print_json(json.dumps(told))
    else:
        show(rows, ("source", "how", "target", "at"), as_json=False, empty=f"Nothing is known of {node}.")


@app.command()
def use(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    entry_id: EntryId,
    values: Annotated[list[str] | None, typer.Option("--set", help="SLOT=VALUE; may be repeated.")] = None,
    key: Annotated[str | None, typer.Option(help="The same key is the same plan.")] = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Turn a blueprint into a plan: priced, judged by policy, and approved as any other."""
    body: JsonObject = {"entry_id": entry_id, "values": given(values or []), "key": key or uuid.uuid4().hex, "tenant": team}
    with client_of(context) as client:
        told = client.post("/v1/catalog-uses", body)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"plan {told['id']} is {told['state']}; see it with: lineshaft plans show {told['id']}", markup=False)


def given(pairs: list[str]) -> JsonObject:
    """Slots' values from the command line. Raises InvalidInput."""
    found: dict[str, JsonValue] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise InvalidInput(f"'{pair}' sets nothing.", remedy="Write --set SLOT=VALUE.")
        found[name] = value
    return found


@access.command("list")
def list_requests(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    side: Annotated[str, typer.Option(help="asked, owned or both.")] = "both",
    state: Annotated[str | None, typer.Option(help="asked, granted, refused, withdrawn, lapsed, revoked or expired.")] = None,
    limit: Limit = 100,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """List requests for access, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/access-requests", side=side, state=state, limit=limit, tenant=team)
    show(rows, REQUESTS, as_json=as_json, empty="Nobody has asked.")


@access.command("ask")
def ask(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context, entry_id: EntryId, reason: Reason, days: Days = 30, team: Team = None, as_json: Json = False
) -> None:
    """Ask for what an entry stands for."""
    with client_of(context) as client:
        told = client.post("/v1/access-requests", {"entry_id": entry_id, "reason": reason, "days": days, "tenant": team})
    tell(told, as_json=as_json)


@access.command()
def share(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    entry_id: EntryId,
    to: Annotated[str, typer.Option(help="The team that gets it.")],
    reason: Reason = "Shared by its owner.",
    days: Days = 30,
    as_json: Json = False,
) -> None:
    """Give a team of your organisation access, unasked."""
    with client_of(context) as client:
        told = client.post("/v1/access-requests/share", {"entry_id": entry_id, "team": to, "reason": reason, "days": days})
    tell(told, as_json=as_json)


@access.command()
def approve(context: typer.Context, request_id: RequestId, reason: Reason = "", as_json: Json = False) -> None:
    """Grant a request."""
    decide(context, request_id, "approve", reason, as_json=as_json)


@access.command()
def refuse(context: typer.Context, request_id: RequestId, reason: Reason = "", as_json: Json = False) -> None:
    """Refuse a request."""
    decide(context, request_id, "refuse", reason, as_json=as_json)


@access.command()
def revoke(context: typer.Context, request_id: RequestId, reason: Reason = "", as_json: Json = False) -> None:
    """Take a grant back; it ends at once."""
    decide(context, request_id, "revoke", reason, as_json=as_json)


@access.command()
def withdraw(context: typer.Context, request_id: RequestId, reason: Reason = "", as_json: Json = False) -> None:
    """Give up your request, or what it granted."""
    decide(context, request_id, "withdraw", reason, as_json=as_json)


def decide(context: typer.Context, request_id: str, word: str, reason: str, *, as_json: bool) -> None:
    """Move a request on."""
    with client_of(context) as client:
        told = client.post(f"/v1/access-requests/{quote(request_id, safe='')}/{word}", {"reason": reason})
    tell(told, as_json=as_json)


def tell(told: JsonObject, *, as_json: bool) -> None:
    """Say where a request stands."""
    if as_json:
        out.print_json(json.dumps(told))
    else:
        until = f" until {told['expires_at']}" if told.get("expires_at") else ""
        out.print(f"{told['id']} for {told['entry_id']} is {told['state']}{until}", markup=False)
