"""What commands over leases and jobs share about waiting: how long, why, and what would become of it."""

import json
import re
from datetime import UTC, datetime

from rich.markup import escape

from api.client import ApiClient
from cli.context import out
from cli.listing import JsonObject, cell
from factory_infra.errors import InvalidInput
from factory_infra.iaas.leases.models import WAIT_SECONDS_MAX

DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int:
    """Seconds from `600`, `90s`, `10m`, `2h` or `1d`; 0 for nothing. Raises InvalidInput for what is none, or longer than may be waited."""
    if not text:
        return 0
    found = DURATION.fullmatch(text.strip())
    seconds = round(float(found[1]) * UNITS[found[2]]) if found else -1
    if not 0 < seconds <= WAIT_SECONDS_MAX:
        raise InvalidInput(f"'{text}' is no time to wait.", remedy="Write 10m, 2h or 1d, at most 7d.")
    return seconds


def show_why(found: JsonObject, *, as_json: bool) -> None:
    """Print why something waits."""
    if as_json:
        out.print_json(json.dumps(found))
        return
    name = str(found["job_id"] or found["lease_id"])
    out.print(f"[bold]{escape(name)}[/bold] is {escape(str(found['state']))}: {escape(str(found['reason']))}")
    if found.get("binding"):
        kept = "; slots are kept free for it" if found.get("reserved") else ""
        out.print(f"  binds    {escape(str(found['binding']))}{kept}")
        show_start(found)
    if found.get("gives_up_at"):
        out.print(f"  gives up {cell(found['gives_up_at'])}")
    show_changes(found)


def show_foreseen(found: JsonObject, *, as_json: bool) -> None:
    """Print what would become of a lease."""
    if as_json:
        out.print_json(json.dumps(found))
        return
    out.print("it would begin at once" if found["at_once"] else f"it would wait: {escape(str(found['reason']))}")
    if not found["at_once"]:
        show_start(found)
    cost, low, high = (float(str(found[name])) for name in ("cost", "cost_low", "cost_high"))
    out.print(f"  costs    {cell(cost)} {found['currency']}, likely {cell(low)} to {cell(high)}")
    show_changes(found)


def show_start(found: JsonObject) -> None:
    """Print when it should begin, which is a prediction."""
    if found.get("starts_at") is None:
        out.print("  begins   not known: nothing that is known would let it")
        return
    out.print(
        f"  begins   {in_words(found['starts_at'])}, likely from {in_words(found['starts_earliest'])} to {in_words(found['starts_latest'])}"
    )


def in_words(moment: object) -> str:
    """A moment as seen from now."""
    at = datetime.fromisoformat(str(moment))
    left = (at - datetime.now(UTC)).total_seconds()
    when = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    if left <= 1:
        return "now"
    return f"in {left:.0f} s ({when})" if left < 120 else f"in {left / 60:.0f} min ({when})"


def show_changes(found: JsonObject) -> None:
    """Print what would let it begin sooner; each was tried on a copy of the scheduler."""
    changes = found.get("changes")
    for change in changes if isinstance(changes, list) else []:
        if isinstance(change, dict):
            more = float(str(change["cost_more"]))
            cost = f", costs {cell(abs(more))} {'more' if more > 0 else 'less'}" if abs(more) >= 0.01 else ""
            out.print(f"  sooner   {escape(str(change['words']))}{cost}")


def foreseen(client: ApiClient, wanted: JsonObject) -> JsonObject:
    """Ask what would become of a lease."""
    return client.post("/v1/scheduling/foresee", {name: value for name, value in wanted.items() if value not in (None, "")})
