"""`lineshaft datasets`: add files of rows as versions, list, show, export."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from factory_infra.errors import InvalidInput
from factory_infra.paas.training.data.models import PART_BYTES_MAX

app = typer.Typer(help="Datasets of a team: versions by content, checked at each use.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; your key's own if left out.")]
Name = Annotated[str, typer.Argument(help="The dataset.")]
Version = Annotated[int | None, typer.Option(min=1, help="The newest one if left out.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
LINES = ("tenant", "name", "version", "rows", "format", "bytes", "digest", "created_by", "created_at")


def for_team(path: str, team: str | None) -> str:
    """A path with the team that is meant."""
    return f"{path}?{urlencode({'tenant': team})}" if team else path


@app.command()
def add(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="CSV, or Parquet by its ending.")],
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Add a file as the next version; the newest version's bytes again are that version."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}.", remedy="Give a file of CSV or Parquet.") from error
    form = "parquet" if file.suffix.lower() in {".parquet", ".pq"} else "csv"
    body: JsonObject = {"format": form, "description": description}
    with client_of(context) as client:
        if len(data) <= PART_BYTES_MAX:
            body["content"] = base64.b64encode(data).decode()
        else:
            body |= sent(client, name, data, team)
        made = client.post(for_team(f"/v1/datasets/{name}/versions", team), body)
    if as_json:
        out.print_json(json.dumps(made))
    else:
        out.print(f"{made['name']}@{made['version']}: {made['rows']} rows, sha256 {made['digest']}", markup=False)


def sent(client: ApiClient, name: str, data: bytes, team: str | None) -> JsonObject:
    """Send a file in parts, under its digest; what was sent before an interruption is sent again and changes nothing."""
    upload = hashlib.sha256(data).hexdigest()
    parts = [data[at : at + PART_BYTES_MAX] for at in range(0, len(data), PART_BYTES_MAX)]
    for number, part in enumerate(parts):
        path = for_team(f"/v1/datasets/{name}/uploads/{upload}/{number}", team)
        client.put(path, {"content": base64.b64encode(part).decode()})
    return {"upload": upload, "parts": len(parts)}


@app.command("list")
def list_datasets(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List the newest version of each dataset."""
    with client_of(context) as client:
        rows = client.get_list("/v1/datasets", tenant=team, limit=limit, offset=offset)
    show(rows, LINES, as_json=as_json, empty="There is no dataset: lineshaft datasets add NAME FILE")


@app.command()
def versions(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context, name: Name, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False
) -> None:
    """List the versions of a dataset, newest first."""
    with client_of(context) as client:
        rows = client.get_list(f"/v1/datasets/{name}/versions", tenant=team, limit=limit, offset=offset)
    show(rows, LINES, as_json=as_json, empty="It has no version.")


def newest(client: ApiClient, name: str, version: int | None, team: str | None) -> JsonObject:
    """A version, the newest where none is named."""
    if version is not None:
        return client.get_object(f"/v1/datasets/{name}/versions/{version}", tenant=team)
    return client.get_list(f"/v1/datasets/{name}/versions", tenant=team, limit=1)[0]


@app.command("show")
def show_version(context: typer.Context, name: Name, version: Version = None, team: Team = None, as_json: Json = False) -> None:
    """Show a version with its columns."""
    with client_of(context) as client:
        found = newest(client, name, version, team)
    if as_json:
        out.print_json(json.dumps(found))
        return
    columns = found.pop("columns")
    show_one(found, as_json=False)
    out.print("")
    rows = [each for each in columns if isinstance(each, dict)] if isinstance(columns, list) else []
    show(rows, ("name", "kind", "gaps"), as_json=False, empty="")


@app.command()
def export(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    version: Version = None,
    to: Annotated[Path | None, typer.Option("--to", help="A file; the terminal if left out.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="As it was registered: for programs, never for a spreadsheet.")] = False,
    team: Team = None,
) -> None:
    """Export a version as CSV; a cell that a spreadsheet could run as a formula begins with an apostrophe."""
    with client_of(context) as client:
        found = newest(client, name, version, team)
        path = f"/v1/datasets/{name}/versions/{found['version']}/export.csv"
        text = client.get_text(path, tenant=team, raw=raw)
    if to is None:
        typer.echo(text, nl=False)
    else:
        to.write_text(text, encoding="utf-8", newline="")
