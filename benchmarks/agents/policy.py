"""`lineshaft policy test` on plans that ship, with the strict policy that ships: each decided as the file says."""

import json
from pathlib import Path

from benchmarks.line.shell import ROOT, run
from cli.checks import Check

EXAMPLES = Path("docs") / "examples"
POLICY = EXAMPLES / "policy-strict.yaml"
WEDNESDAY_NOON = "2026-03-04T12:00:00"
"""The strict policy knows nights and weekends: the plans are judged as if it were this moment."""
EXPECTED = {
    "1": "run",
    "2": "approve",
    "3": "approve",
    "4": "approve",
    "5": "refuse",
    "6": "refuse",
}
"""By the number that a plan's file begins with."""


def checks() -> list[Check]:
    """One row a plan."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / EXAMPLES / "plans").glob("*.json"))
    if len(files) < 5:
        return [Check("policy test", f"{len(files)} plans in {EXAMPLES / 'plans'}", ">= 5 plans", held=False)]
    done = run(
        "bin/lineshaft", "policy", "test", *files, "--policy", str(POLICY), "--at", WEDNESDAY_NOON, "--json", environment={"COLUMNS": "400"}
    )
    try:
        told = json.loads(done.text[done.text.index("[") :])
    except ValueError:
        return [Check("policy test", done.last(), "a decision a plan", held=False)]
    return [judged(Path(each["plan"]).name, each["verdict"]) for each in told]


def judged(name: str, verdict: dict[str, object]) -> Check:
    """One plan's decision."""
    wanted = EXPECTED.get(name.partition("-")[0], "")
    decided = str(verdict["decision"])
    needs = f", {verdict['approvals']} x {verdict['role']}" if decided == "approve" else ""
    code = f" ({verdict['code']})" if verdict["code"] else ""
    return Check(f"policy test {name}", f"{decided}{needs}{code}", wanted, decided == wanted)
