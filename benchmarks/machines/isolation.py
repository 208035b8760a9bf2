"""The audit of two teams on a real stack: every door refused, and each wall that is removed on purpose found."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from benchmarks.line.shell import ROOT
from cli.checks import Check
from cli.isolation import print_report
from factory_infra.iaas.isolation.models import AuditReport
from factory_infra.iaas.jobs.providers.walls_local import NAMES as HOST_WALLS
from factory_infra.iaas.jobs.providers.walls_local import available
from tests.live import LiveStack

SECONDS_MAX = 600.0
SHOWN = "files"
"""The wall whose report is printed whole when it is removed."""


def audit(stack: LiveStack, *arguments: str) -> list[AuditReport]:
    """Audit by the command that an operator gives."""
    done = stack.command("isolation", "audit", "--json", *arguments, seconds_max=SECONDS_MAX)
    try:
        told: list[dict[str, JsonValue]] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise RuntimeError(f"the audit said: {(done.stdout + done.stderr)[-300:]}") from error
    return [AuditReport.model_validate(each["report"]) for each in told]


def whole(reports: list[AuditReport]) -> list[Check]:
    """Every door of two teams made for audits."""
    rows = []
    for report in reports:
        through = [each for each in report.attempts if not each.refused]
        by = Counter(each.through for each in report.attempts if each.refused)
        told = ", ".join(f"{count} {name}" for name, count in by.items())
        figure = f"{len(report.attempts)} tried, {len(through)} came through ({told})"
        rows.append(Check(f"audit of two teams: {report.pool}", figure, "0 came through", report.holds and len(report.attempts) > 10))
    return rows


def removed(stack: LiveStack, wall: str, known: set[str]) -> Check:
    """Take one wall of the host down in the file of pools, and audit; what came through with every wall up counts for nothing."""
    file = stack.settings.home / "pools.yaml"
    file.write_text(f"pools:\n- {{provider: local, name: local, walls_off: [{wall}]}}\n", encoding="utf-8")
    try:
        report = next(each for each in audit(stack, "--pool", "local", "--no-doors") if each.pool == "local")
    finally:
        file.unlink()
    if wall == SHOWN:
        print_report(report, everything=False)
    through = [f"{each.door}: {each.tried}" for each in report.attempts if not each.refused and each.tried not in known]
    return Check(f"wall '{wall}' removed on purpose", f"found by {len(through)}: {'; '.join(through)}"[:300], "found", bool(through))


def rest_walls() -> Check:
    """Each wall of REST removed in process: the tests that the audit must fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/api/test_audit.py", "-k", "Removed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    last = next((line for line in reversed(done.stdout.splitlines()) if "passed" in line or "failed" in line or "%" in line), "")
    return Check(
        "walls of REST removed on purpose", f"{last.strip()} (scope, plan, thread, secret of keys)", "each found", done.returncode == 0
    )


def checks() -> list[Check]:
    """The rows of this group."""
    with tempfile.TemporaryDirectory() as folder:
        stack = LiveStack(Path(folder) / "home")
        stack.start()
        try:
            reports, missing = audit(stack), available()
            rows = whole(reports)
            known = {each.tried for report in reports for each in report.attempts if not each.refused}
            rows += [removed(stack, wall, known) for wall in HOST_WALLS if wall not in missing and wall != "user"]
            rows += [Check(f"wall '{name}' on this host", "not available", why, held=True) for name, why in missing.items()]
        finally:
            stack.stop()
    return [*rows, rest_walls()]


if __name__ == "__main__":
    from cli.checks import print_checks

    print_checks(Console(width=170), checks())
