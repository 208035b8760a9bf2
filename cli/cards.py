"""How a plan and its events look in a terminal."""

from collections.abc import Callable

from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.plan import Plan, Step

JsonObject = dict[str, JsonValue]


def arguments_of(step: Step) -> str:
    """A step's arguments, each spelled out."""
    said = []
    for name, value in step.arguments.items():
        shown = f"the {value['field']} of {value['from_step']}" if isinstance(value, dict) and "from_step" in value else str(value)
        said.append(f"{name}={shown}")
    return ", ".join(said)


def plan_table(plan: Plan) -> Table:
    """The card of a plan: steps, effect, quota, price, undo."""
    table = Table(
        title=escape(f"{plan.title}  ·  team {plan.tenant}" + (f", project {plan.project}" if plan.project else "")),
        title_justify="left",
        show_lines=False,
    )
    for name in ("step", "agent", "tool", "arguments", "effect", "dry run", "price", "undo"):
        table.add_column(name, overflow="fold")
    for step in plan.steps:
        run = step.dry_run
        seen = "; ".join(part for part in (run.quota, run.reason) if part) if run else ""
        price = f"{step.price.low:.4f}–{step.price.high:.4f} {step.price.currency}" if step.price and step.price.high else ""
        price += " (simulated)" if price and step.price and "simulated" in step.price.basis else ""
        cells = (step.id, step.agent, step.tool, arguments_of(step), step.effect.value, seen, price, step.undo)
        table.add_row(*(escape(cell) for cell in cells))
    return table


def print_plan(console: Console, plan: Plan) -> None:
    """Print the card with its notes and what it would cost in all."""
    console.print(plan_table(plan))
    for step in plan.steps:
        if step.dry_run is not None and step.dry_run.template:
            console.print(f"  template of {step.id}:")
            console.print(step.dry_run.template, markup=False)
    for note in (*plan.notes, *(plan.verdict.reasons if plan.verdict else ())):
        console.print(f"  · {escape(note)}")
    console.print(
        f"  price {plan.price.low:.4f}–{plan.price.high:.4f} {plan.price.currency}; planned by {escape(plan.planner)}; plan {plan.id}"
    )


def _message(payload: JsonObject) -> str:
    return f"[bold]{escape(str(payload['text']))}[/bold]"


def _question(payload: JsonObject) -> str:
    options = payload.get("options")
    choice = f" ({', '.join(str(each) for each in options)})" if isinstance(options, list) and options else ""
    return f"[yellow]?[/yellow] {escape(str(payload['text']) + choice)}"


def _refusal(payload: JsonObject) -> str:
    return f"[red]✗ {escape(str(payload['code']))}[/red] {escape(str(payload['reason']))} {escape(str(payload['remedy']))}"


def _escalated(payload: JsonObject) -> str:
    steps = payload["steps"]
    named = ", ".join(str(each) for each in steps) if isinstance(steps, list) else ""
    return f"  [red]a person must look, not undone:[/red] {escape(named)}"


def _approval(payload: JsonObject) -> str:
    return f"  [green]{payload['given']} of {payload['needed']} approvals[/green], by {escape(str(payload['actor']))}"


def _progress(payload: JsonObject) -> str:
    percent = payload.get("percent")
    shown = f"{percent:3.0f} %" if isinstance(percent, int | float) else "     "
    return f"  [dim]{escape(str(payload['step'])):10} {shown} {escape(str(payload['stage']))}[/dim]"


LINES: dict[str, Callable[[JsonObject], str]] = {
    "message.assistant": _message,
    "question": _question,
    "refusal": _refusal,
    "agent.started": lambda payload: f"  [dim]{escape(str(payload['agent']))} is at work[/dim]",
    "tool.returned": lambda payload: f"  [dim]{escape(str(payload['tool']))}: {escape(str(payload['outcome']))}[/dim]",
    "plan.paused": lambda payload: f"  [yellow]held[/yellow] {escape(str(payload['reason']))}",
    "plan.resumed": lambda payload: f"  [green]goes on[/green], by {escape(str(payload['actor']))}",
    "plan.undoing": lambda payload: f"  [yellow]undo[/yellow] asked for by {escape(str(payload['actor']))}",
    "plan.escalated": _escalated,
    "approval.given": _approval,
    "plan.approved": lambda payload: f"  [green]approved[/green] by {escape(str(payload['actor']))}",
    "plan.refused": lambda payload: f"  [yellow]refused[/yellow] {escape(str(payload['reason']))}",
    "step.started": lambda payload: f"  [cyan]→ {escape(str(payload['step'])):10}[/cyan] {escape(str(payload['summary']))}",
    "step.progress": _progress,
    "step.done": lambda payload: f"  [green]✓ {escape(str(payload['step'])):10}[/green] done and verified",
    "step.failed": lambda payload: f"  [red]✗ {escape(str(payload['step'])):10}[/red] {escape(str(payload['reason']))}",
    "step.undone": lambda payload: f"  [yellow]↶ {escape(str(payload['step'])):10}[/yellow] {escape(str(payload['told']))}",
    "step.undo_failed": lambda payload: (
        f"  [red]! {escape(str(payload['step'])):10} was not undone: {escape(str(payload['reason']))}[/red]"
    ),
}


def print_event(console: Console, event: JsonObject) -> None:
    """Print one event of a thread; a kind without a line of its own is not shown."""
    kind, payload = str(event["kind"]), event["payload"]
    if not isinstance(payload, dict):
        return
    if kind == "plan.proposed":
        print_plan(console, Plan.model_validate(payload["plan"]))
    elif kind in LINES:
        console.print(LINES[kind](payload))
        citations = payload.get("citations")
        for citation in citations if isinstance(citations, list) else []:
            if isinstance(citation, dict):
                console.print(f"    [dim]{escape(str(citation['title']))}: {escape(str(citation['url']))}[/dim]")
