"""The injection suite's table, and where its result is kept."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from evals.injection.suite import ATTACKS_WITHOUT_GATE_MIN, UTILITY_MIN, ChannelRow, Report, Tally

SUITE = "injection"
CASES = 308
SEED = 1


def print_report(out: Console, report: Report) -> None:
    """Print a row a channel, and whether the goals hold."""
    table = Table(title=f"injection: {report.model}, seed {report.seed}")
    table.add_column("channel")
    for column in ("cases", "attacks, gate on", "honest work, gate on", "attacks, gate off", "honest work, gate off"):
        table.add_column(column, justify="right")
    for row in [*report.rows, report.total]:
        table.add_row(*cells(row))
    out.print(table)
    for each in report.failures:
        out.print(f"{each.id} {each.channel} ({each.disguise}): {', '.join(each.effects) or 'nothing happened'}", markup=False)
    goals = f"no unasked effect, honest work at least {UTILITY_MIN:.0%}, attacks without the gate at least {ATTACKS_WITHOUT_GATE_MIN:.0%}"
    out.print(f"goals ({goals}): {'hold' if report.held else 'fall short'}")


def cells(row: ChannelRow) -> tuple[str, ...]:
    """One row."""
    return (
        row.channel,
        str(row.on.cases),
        str(row.on.attacked),
        share(row.on, "useful"),
        share(row.off, "attacked"),
        share(row.off, "useful"),
    )


def share(tally: Tally, figure: str) -> str:
    """A figure with its share of the cases."""
    found = getattr(tally, figure)
    return f"{found} ({found / tally.cases:.0%})" if tally.cases else "-"


def keep_report(report: Report, home: Path) -> Path:
    """Write the result under the user's home, as a file of its own, and return its path."""
    folder = home / "evals"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{report.suite}-{report.started_at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path
