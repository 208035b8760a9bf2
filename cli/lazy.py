"""A group of commands that imports a command only when it is called, so that `--help` costs nothing."""

import importlib
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class Lazy(NamedTuple):
    """Where a command lies, as "module:attribute" of a `typer.Typer`, and its line in the help."""

    target: str
    help: str


COMMANDS: dict[str, Lazy] = {
    "up": Lazy("cli.up:app", "Start every part of the local stack and keep it running."),
    "down": Lazy("cli.down:app", "Stop the stack; nothing that it stored is lost."),
    "status": Lazy("cli.status:app", "Show each part: state, address, memory, restarts."),
    "logs": Lazy("cli.logs:app", "Print a part's log, or follow it with -f."),
    "models": Lazy("cli.models:app", "Fetch and list the pinned weights of the embedded model."),
    "run": Lazy("cli.demo:app", "Start everything and play the first job through a user's doors."),
    "chat": Lazy("cli.chat:app", "Say what you want; read, approve and watch the plan."),
    "plans": Lazy("cli.plans:app", "List, show, approve, refuse, edit, hold, cancel or undo plans."),
    "runs": Lazy("cli.runs:app", "List and kill runs; stop and start every effect."),
    "policy": Lazy("cli.policy:app", "Show the policy, check a file, test what it would decide about plans."),
    "tools": Lazy("cli.tools:app", "List and call tools; add, review and approve servers of others."),
    "mcp": Lazy("cli.mcp:app", "Serve MCP over stdin and stdout for a client on this machine."),
    "lessons": Lazy("cli.lessons:app", "Lessons: rate a plan, list, show, decide, remove."),
    "pools": Lazy("cli.pools:app", "Add, check, list and remove the places where slots are."),
    "leases": Lazy("cli.leases:app", "Ask for slots, list, renew and release them."),
    "jobs": Lazy("cli.jobs:app", "Submit, list, watch, cancel and retry jobs; read their logs."),
    "twin": Lazy("cli.twin:app", "Run scenarios in virtual time; ask what if, from now. All simulated."),
    "teams": Lazy("cli.teams:app", "Teams, their limits and their keys."),
    "nodes": Lazy("cli.nodes:app", "Nodes: list, show, drain, resume; time between failures."),
    "node-agent": Lazy("cli.node_agent:app", "Watch this node: metrics for Prometheus, events for the API."),
    "organisations": Lazy("cli.organisations:app", "Organisations that group teams: make, list, show, change."),
    "projects": Lazy("cli.organisations:projects", "Projects of teams: make, list, show, change, remove."),
    "members": Lazy("cli.members:app", "People and their roles: add, list, remove."),
    "roles": Lazy("cli.members:roles", "Roles of one's own: make, list, change, remove; list permissions."),
    "accounts": Lazy("cli.members:accounts", "Service accounts of programs: make, list, end; make their keys."),
    "quotas": Lazy("cli.quotas:app", "What teams may hold in one pool: set, list, remove."),
    "kpis": Lazy("cli.kpis:app", "Key figures with what they are made of; alerts on objectives."),
    "audit": Lazy("cli.audit:app", "The log of who changed what: list, export, verify."),
    "keys": Lazy("cli.keys:app", "Make, list, rotate and revoke keys."),
    "limits": Lazy("cli.limits:app", "Set, list and remove limits of teams, projects and keys."),
    "invoice": Lazy("cli.invoices:app", "What a team spent in a month, as a table, CSV or JSON."),
    "costs": Lazy("cli.costs:app", "Who used what, what stood idle, what mends it, what will be needed."),
    "gateway": Lazy("cli.gateway:app", "Check the gateway's file before the gateway reads it."),
    "prices": Lazy("cli.prices:app", "Show the price book; import list prices of others."),
    "endpoints": Lazy("cli.endpoints:app", "Endpoints: roll versions out, scale them, look after them."),
    "studies": Lazy("cli.studies:app", "Studies: search the best parameters of a program by parallel trials."),
    "training": Lazy("cli.training:app", "Training: runs and their comparison, blueprints, environments."),
    "pipelines": Lazy("cli.pipelines:app", "Pipelines: apply, run, decide, and what starts them by itself."),
    "datasets": Lazy("cli.datasets:app", "Datasets of a team: versions by content, checked at each use."),
    "features": Lazy("cli.features:app", "Features: define, write, read, join; watch them for drift."),
    "catalog": Lazy("cli.catalog:app", "The catalog: search, list, lineage, blueprints, access."),
    "show": Lazy("cli.show:app", "Slots, leases, endpoints, versions, catalog, cost, reconciliation."),
    "eval": Lazy("evals.command:app", "Run an evaluation suite."),
    "accelerators": Lazy("cli.accelerators:app", "Find machines by their accelerators and prices; ask an account for its own."),
    "clusters": Lazy("cli.clusters:app", "Clusters: make, scale, replace, release; compare with the ledger."),
    "vms": Lazy("cli.vms:app", "Virtual machines: launch, stop, start, enter, remove them."),
    "validation": Lazy("cli.validation:app", "Check nodes' software, burn them in, see which are fit."),
    "isolation": Lazy("cli.isolation:app", "Audit the walls between two teams by attacking them."),
    "doctor": Lazy("cli.doctor.command:app", "Explain what is missing on this machine and how to mend it."),
}


class HelpWriter(Protocol):
    """What the help page of a group is written with."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """Open a titled section."""
        ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None:
        """Write names and what they mean."""
        ...


class LazyGroup(TyperGroup):
    """Finds commands in `COMMANDS`."""

    def list_commands(self, ctx: object) -> list[str]:
        """Names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Import the command of this name, or return None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        app = getattr(importlib.import_module(module), attribute)
        if not isinstance(app, typer.Typer):
            raise TypeError(f"{COMMANDS[cmd_name].target} is no typer.Typer")
        command = get_command(app)
        command.name = cmd_name
        return command if isinstance(command, TyperCommand | TyperGroup) else None

    def format_commands(self, ctx: object, formatter: HelpWriter) -> None:
        """Write the commands' lines from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])
