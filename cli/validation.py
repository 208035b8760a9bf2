"""`lineshaft validation`: check the software of nodes, burn them in, see which are fit, declare a baseline."""

import json
from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out, settings_of
from cli.listing import JsonObject, show
from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.foundation.validation.baseline import Baseline, baseline_file, baseline_of, compare, load_baseline, write_baseline
from factory_infra.foundation.validation.models import Stack, StackReport
from factory_infra.foundation.validation.probes import collect

app = typer.Typer(help="Validation: software against a baseline, burn-in, and which nodes are fit.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Pool = Annotated[str, typer.Option(help="The pool; the first one if left out.")]
COMPONENTS = ("component", "found", "source", "wanted", "severity", "remedy")
NODES = ("pool", "node", "host", "fitness", "machine_type", "measured_at", "reasons")
EXIT_DRIFT = 1


@app.command()
def check(context: typer.Context, pool: Pool = "", as_json: Json = False) -> None:
    """Compare the software of a pool's nodes with its baseline. This host is asked at once and needs no running stack.

    Ends with code 1 where an error of the software must be mended.
    """
    reports = reports_of(context, pool)
    if as_json:
        out.print_json(json.dumps([report.model_dump(mode="json") for report in reports]))
    elif not reports:
        out.print("No node of this pool has told its software yet: run 'lineshaft validation burn-in' there.")
    else:
        for report in reports:
            print_report(report)
    if not all(report.sound for report in reports):
        raise typer.Exit(EXIT_DRIFT)


def reports_of(context: typer.Context, pool: str) -> list[StackReport]:
    """Ask this host itself, and the API for other pools."""
    settings = settings_of(context)
    spec = PoolBook(settings.pools_file).named(pool)
    if not isinstance(spec, LocalPool):
        with client_of(context) as client:
            return [StackReport.model_validate(row) for row in client.get_list("/v1/validation/stacks", pool=spec.name)]
    file = baseline_file(settings.home, spec.name)
    baseline, stack = load_baseline(file), collect()
    return [
        StackReport(pool=spec.name, stack=stack, drift=compare(stack, baseline) if baseline else [], baseline=file.name if baseline else "")
    ]


def print_report(report: StackReport) -> None:
    """One node: every component, and what is not as it should be."""
    drift = {each.component: each for each in report.drift}
    told = f"against {report.baseline}" if report.baseline else "no baseline is declared: nothing is compared"
    out.print(f"{report.node or report.stack.host} in pool {report.pool}, {told}", markup=False)
    rows: list[JsonObject] = []
    for each in report.stack.components:
        found = drift.get(each.name)
        row: JsonObject = {"component": each.name, "found": each.version or "absent", "source": each.source or each.note}
        rows.append({**row, **({"wanted": found.wanted, "severity": found.severity, "remedy": found.remedy} if found else {})})
    show(rows, COMPONENTS, as_json=False, empty="")


@app.command("burn-in")
def burn_in(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    team: Annotated[str, typer.Option("--team", "--tenant", help="Whose lease and budget it is.")],
    pool: Pool = "",
    slots: Annotated[int, typer.Option(min=1, help="Slots of the lease: all of a node's, or others disturb it.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="Nodes of the job.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="For each benchmark.")] = 5.0,
    only: Annotated[str, typer.Option(help="Benchmarks with commas between: matmul,memory,copy,all_reduce,disk_write,network.")] = "",
    as_json: Json = False,
) -> None:
    """Propose a plan that leases slots, burns their nodes in and gives them back. Approve it with 'lineshaft plans approve'."""
    lease: JsonObject = {"slots": slots, "purpose": "burn-in", "seconds": max(int(seconds * 20) + 900, 900), "pool": pool}
    work: JsonObject = {"lease_id": {"from_step": "lease", "field": "lease_id"}, "seconds": seconds, "nodes": nodes}
    names = [name.strip() for name in only.split(",") if name.strip()]
    back: JsonObject = {"lease_id": {"from_step": "lease", "field": "lease_id"}}
    body: JsonObject = {
        "title": f"Burn in {nodes} node(s) of {pool or 'the first pool'}",
        "tenant": team,
        "steps": [
            {"id": "lease", "tool": "leases.acquire", "arguments": lease},
            {
                "id": "burn-in",
                "tool": "validation.burn_in",
                "arguments": work | ({"benchmarks": list(names)} if names else {}),
                "after": ["lease"],
            },
            {"id": "release", "tool": "leases.release", "arguments": back, "after": ["burn-in"], "always": True},
        ],
    }
    with client_of(context) as client:
        told = client.post("/v1/plans", body)
    if as_json:
        out.print_json(json.dumps(told))
        return
    price = f"{told['price_low']} to {told['price_high']} {told['currency']}"
    out.print(f"plan {told['plan_id']} is {told['state']}: {told['title']}, {price}", markup=False)
    out.print(f"approve it: lineshaft plans approve {told['plan_id']}; then see: lineshaft validation report", markup=False)


@app.command()
def report(
    context: typer.Context,
    pool: Annotated[str | None, typer.Option(help="Only this pool's.")] = None,
    forget: Annotated[str | None, typer.Option(help="Forget what was measured on this node of the pool; '-' for this host.")] = None,
    as_json: Json = False,
) -> None:
    """Show which nodes were burnt in, and which are not handed out because they fall short."""
    with client_of(context) as client:
        if forget is not None:
            if pool is None:
                raise InvalidInput("Which pool the node is in must be said.", remedy="Name it with --pool.")
            client.delete(f"/v1/validation/nodes?pool={pool}&node={'' if forget == '-' else forget}")
        rows = client.get_list("/v1/validation/nodes", pool=pool, limit=500)
    show(rows, NODES, as_json=as_json, empty="No node was burnt in yet: see 'lineshaft validation burn-in'.")


@app.command()
def baseline(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pool: Pool = "",
    from_node: Annotated[bool, typer.Option("--from-node", help="Write one that wants what this host, or the node, has now.")] = False,
    node: Annotated[str, typer.Option(help="Of another pool: the node to take it from, as its burn-in told.")] = "",
    force: Annotated[bool, typer.Option(help="Replace the one that is there; its burn-in section is kept.")] = False,
    as_json: Json = False,
) -> None:
    """Show the baseline of a pool, or write one from a node that is as it should be."""
    settings = settings_of(context)
    name = PoolBook(settings.pools_file).named(pool).name
    file = baseline_file(settings.home, name)
    known = load_baseline(file)
    if from_node:
        if known is not None and not force:
            raise InvalidInput(f"Pool {name} has a baseline.", remedy="Say --force to replace it.", code="baseline_taken")
        found = baseline_of(stack_of(context, name, node))
        known = Baseline(software=found.software, burn_in=known.burn_in if known else found.burn_in)
        write_baseline(file, known)
    if as_json:
        out.print_json(known.model_dump_json(by_alias=True, exclude_defaults=True) if known else "{}")
    elif known is None:
        out.print(f"Pool {name} has no baseline: write {file.name} by hand, or with --from-node.", markup=False)
    else:
        out.print(f"{file}", markup=False)
        rows: list[JsonObject] = [
            {"component": key, "wanted": each.words, "severity": each.severity} for key, each in known.software.items()
        ]
        show(rows, ("component", "wanted", "severity"), as_json=False, empty="It wants no software.")


def stack_of(context: typer.Context, pool: str, node: str) -> Stack:
    """The software of the node to take a baseline from. Raises InvalidInput where it has told nothing."""
    for each in reports_of(context, pool):
        if not node or node in {each.node, each.stack.host}:
            return each.stack
    raise InvalidInput(f"Node '{node}' of pool {pool} has told nothing.", remedy="Run a burn-in there first.", code="node_unknown")
