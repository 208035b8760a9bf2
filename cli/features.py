"""`lineshaft features`: views, rows, readings, training sets, and what is watched for drift."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer
import yaml
from pydantic import JsonValue

from cli import monitors
from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one
from factory_infra.errors import InvalidInput

app = typer.Typer(help="Features: define, write, read, join, and watch for drift.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; your key's own if left out.")]
Name = Annotated[str, typer.Argument(help="The view.")]
Version = Annotated[int | None, typer.Option(min=1, help="The newest one in use if left out.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
VIEWS = ("tenant", "name", "version", "keys", "features", "ttl_seconds", "provider", "created_at", "retired_at")
SETS = ("id", "rows", "features", "label", "views", "complete", "created_at")
WRITE_ROWS = 5_000
WRITE_BYTES = 800_000
"""A request may hold a million bytes: `api_body_bytes_max`."""


def address(path: str, **query: JsonValue) -> str:
    """A path with what is not left out of its query."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def document(path: Path) -> JsonObject:
    """A file of YAML or JSON. Raises InvalidInput."""
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {str(error)[:200]}", remedy="Give a file of YAML or JSON.") from error
    if not isinstance(read, dict):
        raise InvalidInput(f"{path} holds no definition.", remedy="See docs/features.md for one.")
    found: JsonObject = json.loads(json.dumps(read, default=str))
    return found


@app.command("list")
def list_views(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    team: Team = None,
    every: Annotated[bool, typer.Option("--every", help="Retired versions too.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List feature views."""
    with client_of(context) as client:
        rows = client.get_list("/v1/features/views", tenant=team, every=every, limit=limit, offset=offset)
    if not as_json:
        rows = [{**row, "keys": names(row["keys"]), "features": names(row["features"])} for row in rows]
    show(rows, VIEWS, as_json=as_json, empty="No view is defined: see 'lineshaft features define'.")


def names(parts: JsonValue) -> JsonValue:
    """The names of keys or features."""
    return [str(each["name"]) for each in parts if isinstance(each, dict)] if isinstance(parts, list) else []


@app.command("show")
def show_view(context: typer.Context, name: Name, version: Version = None, team: Team = None, as_json: Json = False) -> None:
    """Show a version of a view with what was written to it."""
    with client_of(context) as client:
        told = client.get_object(f"/v1/features/views/{name}", version=version, tenant=team)
    if as_json:
        out.print_json(json.dumps(told))
        return
    view = told.pop("view")
    if isinstance(view, dict):
        features = view.pop("features")
        show_one({**view, "keys": names(view["keys"]), **told}, as_json=False)
        out.print("")
        rows: list[JsonObject] = [each for each in features if isinstance(each, dict)] if isinstance(features, list) else []
        show(rows, ("name", "kind", "dimensions", "description"), as_json=False, empty="")


@app.command()
def define(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The definition, YAML or JSON.")],
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Define a view; another definition under the same name is its next version."""
    with client_of(context) as client:
        told = client.post(address("/v1/features/views", tenant=team), document(file))
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"{told['name']}@{told['version']} of team {told['tenant']}", markup=False)


@app.command()
def write(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="Rows as JSON lines, or a JSON array.")],
    version: Version = None,
    backfill: Annotated[bool, typer.Option("--backfill", help="Leave readings as they are until 'materialise'.")] = False,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Write rows from a file, in batches; the same file again writes nothing."""
    rows = rows_of(file)
    path = address(f"/v1/features/views/{name}/rows", version=version, tenant=team)
    told: list[JsonObject] = []
    with client_of(context) as client:
        for number, some in enumerate(batches(rows)):
            key = hashlib.sha256(json.dumps([name, version, number, some], sort_keys=True).encode()).hexdigest()
            told.append(client.post(path, {"rows": [*some], "key": f"file-{key}", "online": not backfill}))
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"{sum(int(str(each['rows'])) for each in told)} rows written to {told[0]['view']}@{told[0]['version']}", markup=False)


def batches(rows: list[JsonObject]) -> Iterator[list[JsonObject]]:
    """Rows in parts that a request holds."""
    part: list[JsonObject] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row)) + 2
        if part and (size + length > WRITE_BYTES or len(part) >= WRITE_ROWS):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    yield part


def rows_of(file: Path) -> list[JsonObject]:
    """The rows of a file. Raises InvalidInput that names the first line that is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {str(error)[:200]}", remedy="Give a file of JSON lines.") from error
    try:
        whole = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise InvalidInput(f"{file} holds what is no JSON: {error}", remedy="Write one JSON object a line.") from error
    rows = [each for each in whole if isinstance(each, dict)]
    if not rows or len(rows) != len(whole):
        raise InvalidInput(f"{file} holds no rows, or something else beside them.", remedy="Write one JSON object a line.")
    return rows


@app.command()
def read(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Name,
    entity: Annotated[list[str], typer.Argument(help="Whom: KEY=VALUE, several keys with commas between.")],
    version: Version = None,
    team: Team = None,
    as_json: Json = False,
) -> None:
    """Read the newest features of entities, as a model in service gets them."""
    with client_of(context) as client:
        facts = client.get_object(f"/v1/features/views/{name}", version=version, tenant=team)
        entities = [entity_of(each, facts["view"]) for each in entity]
        told = client.post(address(f"/v1/features/views/{name}/read", version=version, tenant=team), {"entities": [*entities]})
    if as_json:
        out.print_json(json.dumps(told))
        return
    found = told["rows"]
    rows: list[JsonObject] = []
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict):
            keys, values = each["keys"], each["values"]
            rows.append({**(keys if isinstance(keys, dict) else {}), **(values if isinstance(values, dict) else {}), **state_of(each)})
    show(rows, tuple(rows[0]) if rows else (), as_json=False, empty="")


def state_of(row: JsonObject) -> JsonObject:
    """Whether something is known of an entity, and since when."""
    return {"state": row["state"], "since": row["event_at"]}


def entity_of(text: str, view: JsonValue) -> JsonObject:
    """An entity as a person writes it. Raises InvalidInput."""
    keys = view["keys"] if isinstance(view, dict) else []
    kinds = {str(key["name"]): key["kind"] for key in keys if isinstance(key, dict)} if isinstance(keys, list) else {}
    found: JsonObject = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name not in kinds:
            raise InvalidInput(f"'{part}' names no key.", remedy=f"Write {', '.join(f'{each}=…' for each in kinds)}.")
        found[name] = int(value) if kinds[name] == "int" and value.lstrip("-").isdecimal() else value
    return found


@app.command()
def materialise(context: typer.Context, name: Name, version: Version = None, team: Team = None, as_json: Json = False) -> None:
    """Bring what was written as a backfill into readings."""
    with client_of(context) as client:
        told = client.post(address(f"/v1/features/views/{name}/materialise", version=version, tenant=team))
    show_one(told, as_json=as_json)


@app.command()
def retire(
    context: typer.Context,
    name: Name,
    version: Annotated[int, typer.Option(min=1, help="Which version.")],
    team: Team = None,
) -> None:
    """Take a version of a view out of use; its history stays."""
    with client_of(context) as client:
        client.delete(address(f"/v1/features/views/{name}", version=version, tenant=team))
    out.print(f"{name}@{version} is retired", markup=False)


@app.command()
def join(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What is joined, YAML or JSON: features, spine, label.")],
    team: Team = None,
    key: Annotated[str | None, typer.Option(help="The same key is the same set; a new one if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Join features into a training set, each row as it was known at its moment."""
    body: JsonObject = {"spec": document(file), "key": key or f"cli-{uuid.uuid4().hex}"}
    with client_of(context) as client:
        told = client.post(address("/v1/features/training-sets", tenant=team), body)
    show_one(told, as_json=as_json)


@app.command("sets")
def list_sets(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List training sets, newest first. Train on one as the dataset set:ID."""
    with client_of(context) as client:
        rows = client.get_list("/v1/features/training-sets", tenant=team, limit=limit, offset=offset)
    show(rows, SETS, as_json=as_json, empty="No training set was made: see 'lineshaft features join'.")


for name, command in monitors.COMMANDS.items():
    app.command(name)(command)
