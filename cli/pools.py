"""`lineshaft pools`: add, check, list, remove the places where slots are."""

import asyncio
import json
import time
from typing import Annotated

import typer
import yaml
from pydantic import JsonValue, ValidationError
from rich.markup import escape

from cli.context import out, settings_of
from cli.listing import JsonObject, show
from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.foundation.accelerators.registry import build
from factory_infra.foundation.pools.book import PoolBook, told
from factory_infra.foundation.pools.spec import POOL_SPEC, PoolSpec, ProviderName
from factory_infra.iaas.scheduling.rules import SchedulingRules, policy_of
from factory_infra.settings import Settings

app = typer.Typer(help="Pools: this host, Slurm partitions, Kubernetes clusters, AWS accounts.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
COLUMNS = ("name", "provider", "default", "title", "where")
CHECK_COLUMNS = ("name", "provider", "state", "slots", "accelerators", "milliseconds", "told")
CHECK_SECONDS_MAX = 30.0


def book_of(context: typer.Context) -> PoolBook:
    """The file of the chosen home."""
    return PoolBook(settings_of(context).pools_file)


@app.command("list")
def list_pools(context: typer.Context, as_json: Json = False) -> None:
    """List the pools as the file names them. What is free there: `lineshaft pools check`."""
    book = book_of(context)
    default = book.default().name
    rows = [row_of(spec, default) for spec in book.all()]
    show(rows, COLUMNS, as_json=as_json, empty="No pool.")


def row_of(spec: PoolSpec, default: str) -> JsonObject:
    """A pool as a row: what differs from the defaults says where it is."""
    fields: dict[str, JsonValue] = spec.model_dump(mode="json", exclude_defaults=True)
    where = {name: value for name, value in fields.items() if name not in {"name", "title", "provider"}}
    text = ", ".join(f"{name}={value}" for name, value in where.items())
    return {"name": spec.name, "provider": spec.provider, "default": spec.name == default, "title": spec.title, "where": text, **fields}


@app.command()
def add(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What plans and commands will call it.")],
    provider: Annotated[ProviderName, typer.Option(help="local, slurm, kubernetes, aws or twin (simulated).")],
    option: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE, several times: partition=gpu, work_dir=/shared, region=eu-west-1, …")
    ] = None,
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    without_check: Annotated[bool, typer.Option("--no-check", help="Add it although nothing answers there yet.")] = False,
) -> None:
    """Add a pool, after asking it what it has. Its fields: docs/pools.md. No secret is given here, only where one lies."""
    spec = spec_of({"name": name, "provider": provider, "title": title, **options(option or [])})
    policy_of(spec)
    book = book_of(context)
    if not without_check:
        found = asyncio.run(checked(spec, settings_of(context)))
        if found["state"] != "ok":
            raise InvalidInput(
                f"Pool '{name}' is not added: {found['told']}", remedy="Mend it, or add it with --no-check.", code="pool_unreachable"
            )
        out.print(f"{escape(name)} answers: {escape(str(found['told']) or 'ok')}")
    book.add(spec)
    out.print(f"pool [bold]{escape(name)}[/bold] is added; every part knows it from now on")


def options(given: list[str]) -> dict[str, JsonValue]:
    """Fields from FIELD=VALUE; a value is read as YAML, so that lists and numbers can be given. Raises InvalidInput."""
    found: dict[str, JsonValue] = {}
    for each in given:
        field, equals, value = each.partition("=")
        if not equals or not field:
            raise InvalidInput(f"'{each}' is not FIELD=VALUE.", remedy="Write --set partition=gpu.")
        try:
            found[field.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InvalidInput(f"The value of {field} cannot be read.", remedy="Put it in quotes.") from error
    return found


def spec_of(fields: dict[str, JsonValue]) -> PoolSpec:
    """The pool that fields describe. Raises InvalidInput that names the first one that is wrong."""
    try:
        return POOL_SPEC.validate_python(fields)
    except ValidationError as error:
        raise InvalidInput(
            f"The pool cannot be so: {told(error)}.", remedy="See docs/pools.md for its fields.", code="pools_invalid"
        ) from error


@app.command()
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="Which pool.")]) -> None:
    """Take a pool out of the file. Nothing there is stopped: release its leases and cancel its jobs before."""
    gone = book_of(context).remove(name)
    out.print(f"pool {escape(gone.name)} is removed; add it again to reach what still runs there")


@app.command()
def check(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this one.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Ask each pool what it has, with the credentials of this account; exit code 1 where one does not answer, or is wrong."""
    book, settings = book_of(context), settings_of(context)
    SchedulingRules(book, settings.quotas_file).quotas()
    specs = book.all() if name is None else (book.named(name),)

    async def every() -> list[JsonObject]:
        return list(await asyncio.gather(*(checked(spec, settings) for spec in specs)))

    rows = asyncio.run(every())
    if as_json:
        out.print_json(json.dumps(rows))
    else:
        show(rows, CHECK_COLUMNS, as_json=False, empty="No pool.")
    raise typer.Exit(0 if all(row["state"] == "ok" for row in rows) else 1)


async def checked(spec: PoolSpec, settings: Settings) -> JsonObject:
    """Ask one pool; what goes wrong is told in words."""
    began = time.monotonic()
    row: JsonObject = {"name": spec.name, "provider": spec.provider, "state": "ok", "slots": 0, "accelerators": "", "told": ""}
    try:
        policy_of(spec)
        pool = await asyncio.wait_for(build(spec, settings).pool(), CHECK_SECONDS_MAX)
    except LineshaftError as error:
        return {**row, "state": error.error_code, "told": str(error), "milliseconds": round((time.monotonic() - began) * 1000)}
    except TimeoutError:
        return {**row, "state": "unavailable", "told": f"No answer within {CHECK_SECONDS_MAX:.0f} s.", "milliseconds": None}
    kinds = sorted({slot.accelerator or slot.kind for slot in pool.slots})
    milliseconds = round((time.monotonic() - began) * 1000)
    return {**row, "slots": len(pool.slots), "accelerators": ", ".join(kinds), "told": pool.note, "milliseconds": milliseconds}
