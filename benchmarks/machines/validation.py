"""Validation on this host: the software's check, a burn-in as a plan on a real stack, and a fleet in which one node is slow."""

import asyncio
import json
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.machines.leases import database
from cli.checks import Check
from factory_infra.database import Database
from factory_infra.foundation.validation.models import BENCHMARKS, BurnIn, Measurement
from factory_infra.foundation.validation.service import Origin, Validation
from tests.live import LiveStack, until

TEAM = "operations"
SECONDS = 2.0
NODES = 32
SLOW = "node-7"
SPREAD = 0.02
CHECK_SECONDS_MAX = 10.0
PLAN_SECONDS_MAX = 240.0


def software(stack: LiveStack) -> list[Check]:
    """Declare this host as the baseline, check it, and check against a baseline that wants another kernel."""
    stack.command("validation", "baseline", "--from-node")
    began = time.perf_counter()
    sound = stack.command("validation", "check", "--json")
    seconds = time.perf_counter() - began
    [report] = json.loads(sound.stdout)
    there = sum(each["version"] is not None for each in report["stack"]["components"])
    file = stack.settings.home / "baselines" / "local.yaml"
    kept = file.read_text(encoding="utf-8")
    file.write_text("software: {kernel: {exact: '0.1'}}\n", encoding="utf-8")
    drifted = stack.command("validation", "check", "--json")
    file.write_text(kept, encoding="utf-8")
    [other] = json.loads(drifted.stdout)
    return [
        Check(
            "software against its own baseline",
            f"{len(report['drift'])} drift, {there} of {len(report['stack']['components'])} components there, {seconds:.1f} s",
            f"0 drift, <= {CHECK_SECONDS_MAX:.0f} s",
            sound.returncode == 0 and not report["drift"] and seconds <= CHECK_SECONDS_MAX,
        ),
        Check(
            "a kernel that drifts",
            f"exit code {drifted.returncode}: {other['drift'][0]['reason']}",
            "told, exit code 1",
            drifted.returncode == 1,
        ),
    ]


def burnt(stack: LiveStack) -> list[Check]:
    """Burn this host in by the command that an operator gives: a plan, its approval, a job."""
    with stack.client() as client:
        client.post("/v1/tenants", {"name": TEAM, "quota_slots": 8, "budget": "20"})
        told = stack.command("validation", "burn-in", "--team", TEAM, "--seconds", str(SECONDS), "--json")
        plan = json.loads(told.stdout)
        client.post(f"/v1/plans/{plan['plan_id']}/approve", {"digest": plan["digest"]})
        until(lambda: client.get_object(f"/v1/plans/{plan['plan_id']}")["state"] in {"done", "failed"}, "the burn-in", PLAN_SECONDS_MAX)
        state = str(client.get_object(f"/v1/plans/{plan['plan_id']}")["state"])
        [found] = client.get_list("/v1/validation/burn-ins", pool="local")
    run = BurnIn.model_validate(found)
    done = {each.benchmark for each in run.measurements} | {each.benchmark for each in run.skipped}
    figures = ", ".join(f"{each.figure} {each.value:.4g} {each.unit}" for each in run.measurements)
    return [
        Check("burn-in as a plan on this host", f"{state}, {run.seconds:.0f} s: {figures}", "every benchmark", done == set(BENCHMARKS)),
        Check(
            "what this host cannot", "; ".join(f"{each.benchmark}: {each.reason}" for each in run.skipped) or "nothing", "told", held=True
        ),
    ]


async def fleet(url: str, home: Path) -> list[Check]:
    """Nodes that differ by some percent, one of them at four fifths of the speed."""
    chance, opened = random.Random(7), Database(url)  # noqa: S311 - no secret
    service = Validation(opened, home)
    began = time.perf_counter()
    try:
        for number in range(NODES):
            node = f"node-{number}"
            value = 600 * (0.8 if node == SLOW else 1.0) * chance.gauss(1.0, SPREAD)
            now = datetime.now(UTC)
            figure = Measurement(benchmark="matmul", variant="float16", device="gpu0", value=value, unit="TFLOP/s")
            run = BurnIn(host=node, machine_type="8 × H100", at=now, seconds=1.0, measurements=[figure])
            await service.record(run, Origin(pool="gpus", node=node, job_id=f"job-{number}", tenant=TEAM))
        seconds = time.perf_counter() - began
        unfit = await service.unfit("gpus")
        reason = next(each.reasons[0] for each in await service.verdicts("gpus") if each.node == SLOW)
    finally:
        await opened.close()
    return [
        Check(f"{NODES} nodes, one at 80 % (figures made up)", f"unfit: {', '.join(sorted(unfit))}; {reason}", SLOW, unfit == {SLOW}),
        Check("to keep and judge one burn-in", f"{seconds / NODES * 1000:.0f} ms", "printed", held=True),
    ]


def checks() -> list[Check]:
    """The rows of this group."""
    with tempfile.TemporaryDirectory() as folder:
        stack = LiveStack(Path(folder) / "home")
        stack.start()
        try:
            rows = [*software(stack), *burnt(stack)]
        finally:
            stack.stop()
    with database() as (url, home):
        return [*rows, *asyncio.run(fleet(url, home))]


if __name__ == "__main__":
    from cli.checks import print_checks

    print_checks(Console(width=170), checks())
