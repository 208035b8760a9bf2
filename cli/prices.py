"""`lineshaft prices`: show what holds, and import list prices of others."""

import json
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out, settings_of
from cli.listing import JsonObject, show
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.bedrock_prices import import_bedrock
from factory_infra.saas.metering.own_prices import FILE, extended, write
from factory_infra.saas.metering.prices import PriceBook

app = typer.Typer(help="Prices: show the book with its versions, import list prices.", no_args_is_help=True)
COLUMNS = ("version", "from", "subject", "in", "out", "cached", "cache_write", "batch", "slot_hour", "minute", "million_characters")


class Source(StrEnum):
    """Whose list prices."""

    BEDROCK = "bedrock"


@app.command("show")
def show_prices(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="All dated versions, not only the one in force.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the prices in force: of a million tokens, of a slot for an hour, of a minute and a million characters of speech."""
    with client_of(context) as client:
        told = client.get_object("/v1/prices")
    if as_json:
        out.print_json(json.dumps(told))
        return
    versions = [each for each in objects(told["versions"]) if every or each["version"] == told["version"]]
    show([row for each in versions for row in rows(each)], COLUMNS, as_json=False, empty="No price.")
    out.print(f"version {told['version']} is in force; prices are in {told['currency']}", markup=False)


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def rows(version: JsonObject) -> list[JsonObject]:
    """One row a price of a version."""
    head = {"version": version["version"], "from": version["from"]}
    found: list[JsonObject] = []
    for section in ("million_tokens", "audio"):
        prices = version[section]
        found += (
            [{**head, "subject": name, **entry} for name, entry in prices.items() if isinstance(entry, dict)]
            if isinstance(prices, dict)
            else []
        )
    slots = version["slot_hour"]
    return found + ([{**head, "subject": name, "slot_hour": price} for name, price in slots.items()] if isinstance(slots, dict) else [])


@app.command("import")
def import_prices(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    source: Annotated[Source, typer.Argument(help="Whose list.")],
    file: Annotated[Path, typer.Argument(help="The list: for bedrock, AmazonBedrock's offer file of the AWS Price List (JSON).")],
    region: Annotated[str | None, typer.Option(help="The region, where the list has several.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC); tomorrow if left out.")] = None,
    version: Annotated[str | None, typer.Option(help="The new version's name.")] = None,
    to: Annotated[Path | None, typer.Option(help="Where to write the book; price_book.yaml in the home if left out.")] = None,
) -> None:
    """Add a version with imported prices to a price book of this installation's own. What is in use now is not changed."""
    settings = settings_of(context)
    target = to or settings.home / FILE
    day = first_day(since)
    book = PriceBook.load(target if target.exists() else settings.price_book)
    entries = import_bedrock(read(file), region)
    write(extended(book, entries, day, version or f"{source.value}-{day}"), target)
    out.print(f"{len(entries)} models' prices hold from {day}, in {target}", markup=False)
    if settings.price_book != target:
        out.print(f"set LINESHAFT_PRICE_BOOK={target} and start the stack anew", markup=False)


def first_day(since: datetime | None) -> date:
    """The day from which a version holds. Raises InvalidInput for one that is over: what was charged then is charged."""
    today = datetime.now(UTC).date()
    day = since.date() if since else today + timedelta(days=1)
    if day < today:
        raise InvalidInput(f"{day} is over.", remedy="Let the prices hold from today or later.", code="price_date_over")
    return day


def read(file: Path) -> dict[str, JsonValue]:
    """The list as parsed JSON. Raises InvalidInput that names the file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", remedy="Name a file with JSON.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} is no price list.", remedy="Give AmazonBedrock's offer file.")
    return found
