"""`lineshaft policy`: show what applies, test plans against it, check a file, change it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue, ValidationError
from rich.markup import escape
from rich.table import Table

from api.client import ApiClient
from cli.access import api_client
from cli.context import out, settings_of
from cli.listing import JsonObject, show, show_one
from cli.policy_editing import edit, put, text
from cli.stack.state import read_state
from factory_infra.errors import InvalidInput
from factory_infra.settings import Settings
from tools.plan import Plan
from tools.policy import Asked, Explanation, Policy, explain, load_policy, read_policy, source_of, unmatched

app = typer.Typer(help="The policy: what runs at once, what people approve, what is refused.", no_args_is_help=True)
app.command("text")(text)
app.command("put")(put)
app.command("edit")(edit)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="This file instead of the installation's.")]
COLOURS = {"run": "green", "approve": "yellow", "refuse": "red"}
RULE_COLUMNS = ("name", "when", "then", "approvals", "role", "requester_may_approve", "reason")
STEP_COLUMNS = ("step", "tool", "effect", "decision", "rule", "reason")


def running_api(settings: Settings) -> ApiClient | None:
    """Return a client where an API is known for this home, None where the files alone must do."""
    return api_client(settings) if settings.api_url or read_state(settings) else None


@app.command("show")
def show_policy(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="As it applies to this team.")] = None,
    policy: PolicyFile = None,
    as_json: Json = False,
) -> None:
    """Show the policy: of the running installation, or of the file where none runs."""
    settings = settings_of(context)
    client = running_api(settings) if policy is None else None
    if client is None:
        shown = view_of(read_policy(policy) if policy else load_policy(settings), tenant)
        shown["source"] = str(policy) if policy else source_of(settings)
    else:
        with client:
            shown = client.get_object("/v1/policy", tenant=tenant)
    if as_json:
        out.print_json(json.dumps(shown))
        return
    print_policy(shown)


def view_of(policy: Policy, tenant: str | None) -> JsonObject:
    """A file's policy in the form of the API's answer."""
    if tenant is not None:
        return policy.for_tenant(tenant).model_dump(mode="json")
    shown: JsonObject = policy.model_dump(mode="json", exclude={"tenants"})
    names: list[JsonValue] = [*sorted(policy.tenants)]
    return {**shown, "digest": policy.digest, "tenant": None, "tenants": names}


def print_policy(shown: JsonObject) -> None:
    """Print a policy for a person: defaults, rules in their words, bounds."""
    whose = f"team {shown['tenant']}" if shown["tenant"] else "the installation"
    out.print(f"[bold]policy {escape(str(shown['version']))}[/bold] {str(shown['digest'])[:12]} of {escape(whose)}, from {shown['source']}")
    defaults, rules, bounds = shown["defaults"], shown["rules"], shown["bounds"]
    found = defaults.items() if isinstance(defaults, dict) else ()
    show(
        [{"name": f"default {effect}", **asked(each)} for effect, each in found],
        RULE_COLUMNS[:1] + RULE_COLUMNS[2:],
        as_json=False,
        empty="",
    )
    told = (
        [{**asked(rule), "when": conditions(rule.get("when"))} for rule in rules if isinstance(rule, dict)]
        if isinstance(rules, list)
        else []
    )
    show(told, RULE_COLUMNS, as_json=False, empty="No rule.")
    show_one(bounds if isinstance(bounds, dict) else {}, as_json=False)
    if shown.get("tenants"):
        out.print(f"Teams with a section of their own: {', '.join(map(str, shown['tenants']))}.")  # type: ignore[arg-type]


def asked(ruling: object) -> JsonObject:
    """A ruling without what means nothing where nobody is asked."""
    told: JsonObject = dict(ruling) if isinstance(ruling, dict) else {}
    return told if told.get("then") == "approve" else {name: told.get(name) for name in ("name", "then", "reason") if name in told}


def conditions(when: JsonValue) -> str:
    """A rule's conditions in words."""
    given = {name: value for name, value in when.items() if value not in (None, [])} if isinstance(when, dict) else {}
    said = (f"{name.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in given.items())
    return "; ".join(said) or "always"


@app.command()
def check(context: typer.Context, file: Annotated[Path, typer.Argument(help="A policy file.")]) -> None:
    """Say whether a file is a policy; exit code 1 where it is none, and nothing else is used in its place."""
    policy = read_policy(file)
    out.print(
        f"{escape(str(file))}: policy {escape(policy.version)} {policy.digest[:12]}, {len(policy.rules)} rules, {len(policy.tenants)} teams"
    )
    for sentence in unmatched(policy):
        out.print(f"  [yellow]note[/yellow] {escape(sentence)}")


@app.command("test")
def test_plans(
    context: typer.Context,
    plans: Annotated[list[str], typer.Argument(help="Files of plans (JSON), or ids of plans of the running installation.")],
    policy: PolicyFile = None,
    at: Annotated[datetime | None, typer.Option(help="As if it were this moment (UTC); judged from the files alone.")] = None,
    as_json: Json = False,
) -> None:
    """Show what would be decided about plans, step by step; nothing is done.

    A file is judged by the file of the policy, without what the team did in the last hour; an id is judged by the running installation,
    unless a policy or a moment is named.
    """
    settings = settings_of(context)
    found = []
    for each in plans:
        if not Path(each).is_file() and policy is None and at is None:
            with api_client(settings) as client:
                found.append((each, Explanation.model_validate(client.post("/v1/policy/test", {"plan_id": each}))))
            continue
        judged_by = read_policy(policy) if policy else load_policy(settings)
        moment = (at or datetime.now(UTC)).replace(tzinfo=UTC) if at is None or at.tzinfo is None else at
        found.append((each, explain(plan_of(each, settings), judged_by, Asked(now=moment))))
    if as_json:
        out.print_json(json.dumps([{"plan": name, **told.model_dump(mode="json")} for name, told in found]))
        return
    for name, told in found:
        print_explanation(name, told)


def plan_of(name: str, settings: Settings) -> Plan:
    """Return the plan in a file, or the one with this id. Raises InvalidInput that names the place, and ApiRefusal."""
    path = Path(name)
    if not path.is_file():
        if path.suffix == ".json" or "/" in name:
            raise InvalidInput(f"There is no file {name}.", remedy="Name a file with a plan as JSON, or the id of a plan.")
        with api_client(settings) as client:
            return Plan.model_validate(client.get_object(f"/v1/plans/{name}")["document"])
    try:
        return Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"{name} holds no plan: {place + ': ' if place else ''}{first['msg']}.",
            code="invalid_plan",
            remedy="'lineshaft plans show PLAN --json' prints one, under 'document'.",
        ) from error


def print_explanation(name: str, told: Explanation) -> None:
    """Print the verdict on a plan and its table."""
    verdict = told.verdict
    colour = COLOURS[verdict.decision]
    needs = ""
    if verdict.decision == "approve":
        own = "" if verdict.requester_may_approve else ", not by who asked"
        needs = f": {verdict.approvals} × {verdict.role}{own}, within {verdict.expires_seconds / 3600:g} h"
    code = f" ({verdict.code})" if verdict.code else ""
    out.print(f"\n[bold]{escape(Path(name).name)}[/bold]  [{colour}]{verdict.decision}[/{colour}]{needs}{code}")
    out.print(step_table(told))
    for reason in verdict.reasons:
        out.print(f"  · {escape(reason)}")
    out.print(f"  [dim]policy {escape(verdict.policy)}[/dim]")


def step_table(told: Explanation) -> Table:
    """What was decided for each step, and which rule said so."""
    table = Table(*STEP_COLUMNS, box=None, pad_edge=False)
    for row in told.steps:
        colour = COLOURS[row.decision]
        cells = (row.step, row.tool, row.effect, row.decision, listed(row.rules), row.reason)
        table.add_row(*(f"[{colour}]{escape(cell)}[/{colour}]" if cell == row.decision else escape(cell) for cell in cells))
    return table


def listed(names: Sequence[str]) -> str:
    """Names in a cell."""
    return ", ".join(names)
