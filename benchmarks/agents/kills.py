"""SIGKILL of worker, API and Temporal at random points under a stream of plans: nothing lost, nothing doubled."""

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from api.client import ApiRefusal
from benchmarks.agents.board import Board
from benchmarks.agents.counts import Left, count
from benchmarks.agents.hurried import HurriedStack
from benchmarks.agents.killer import Kill, Order, kill_some
from benchmarks.agents.lanes import Lane
from benchmarks.agents.patient import PatientClient
from cli.access import access
from cli.checks import Check, print_checks
from tests.live import LiveStack

KILLS = 60
INSIDE_SHARE = 1 / 3
PARTS = ("worker", "api", "temporal")
TEAMS = ("vision", "speech", "ranking")
LANES = 6
SLOTS_MAX = 4
DRAIN_SECONDS_MAX = 420.0


@dataclass
class Storm:
    """What happened, and what was left."""

    kills: list[Kill]
    left: Left
    faults: list[str]
    refusals: list[str]
    retries: int
    seconds: float


def client_of(stack: LiveStack) -> PatientClient:
    """A client that tries again."""
    return PatientClient(*access(stack.settings))


def prepare(client: PatientClient) -> int:
    """Make the teams; return how many plans may hold a slot at once."""
    for team in TEAMS:
        try:
            client.post("/v1/tenants", {"name": team, "quota_slots": 8, "budget": "1000"})
        except ApiRefusal as refusal:
            if refusal.error_code != "conflict":
                raise
    slots = client.get_object("/v1/accelerators")["slots"]
    return min(len(slots), SLOTS_MAX) if isinstance(slots, list) else 1


def storm(stack: LiveStack, order: Order, seed: int, *, lanes: int = LANES) -> Storm:
    """Keep lanes busy, kill parts, let everything end, count."""
    began, dice = time.monotonic(), random.Random(seed)  # noqa: S311 - points in time, no secrets
    with client_of(stack) as client:
        board = Board(threading.Semaphore(prepare(client)))
        seeds = [random.Random(dice.random()) for _ in range(lanes)]  # noqa: S311 - as above
        people = [
            Lane(client_of(stack), board, TEAMS[index % len(TEAMS)], own, program_only=index % 2 == 1) for index, own in enumerate(seeds)
        ]
        workers = [threading.Thread(target=lane.run, daemon=True) for lane in people]
        for worker in workers:
            worker.start()
        board.effect_begins(60.0)
        killed = kill_some(stack, board, dice, order)
        board.over.set()
        board.announce(0.0)
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        for worker in workers:
            worker.join(max(deadline - time.monotonic(), 0.1))
        late = [f"{lane.tenant}: still waits" for lane, worker in zip(people, workers, strict=True) if worker.is_alive()]
        asked = [each for lane in people for each in lane.asked]
        threads = [each for lane in people for each in lane.threads]
        left = count(client, asked, [each for lane in people for each in lane.messages], threads, killed)
        return Storm(
            killed,
            left,
            [lane.fault for lane in people if lane.fault] + late,
            [each for lane in people for each in lane.refusals],
            sum(lane.client.retries for lane in people),
            time.monotonic() - began,
        )


def on_scratch(order: Order, seed: int, *, keys: bool = True, lanes: int = LANES) -> Storm:
    """The storm on a stack of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {} if keys else {"LINESHAFT_IDEMPOTENCY_KEYS": "false"}
        stack = HurriedStack(Path(folder) / "home", **environment)
        try:
            stack.start()
            return storm(stack, order, seed, lanes=lanes)
        finally:
            stack.stop()


def judged(found: Storm, kills: int) -> list[Check]:
    """The rows of a storm."""
    left = found.left
    died = ", ".join(f"{sum(kill.part == part for kill in found.kills)} {part}" for part in PARTS)
    told = ", ".join(f"{number} {tool}" for tool, number in left.tools.most_common())
    need = int(kills * INSIDE_SHARE)
    rows = [
        Check("SIGKILLs at random points", f"{len(found.kills)} ({died}) in {found.seconds:.0f} s", f"{kills}", len(found.kills) >= kills),
        Check("of them while an effect ran", f"{left.in_effect} ({told})", f">= {need}", left.in_effect >= need),
    ]
    figures = (
        ("every plan ended as decided", f"{left.plans} plans, {left.done} done", [*left.not_as_decided, *found.faults]),
        ("one version a training plan", f"{left.trained} trained", left.versions),
        ("one job a training step", f"{left.trained} trained", left.jobs),
        ("one charge a lease, one lease a step", f"{left.leases} leases", left.charges),
        ("approvals kept once, used once", f"{left.approvals} kept, {left.replays_refused} replays refused", left.ballots),
        ("no event twice", "0 twice", left.events),
        ("every message and plan answered once", f"{found.retries} calls sent again", left.messages),
        ("inventory equals ledger", "0 strays", left.strays),
    )
    return rows + [row(name, figure, faults) for name, figure, faults in figures]


def row(name: str, figure: str, faults: list[str]) -> Check:
    """One row: what was found where nothing should be."""
    told = figure if not faults else f"{figure}; {len(faults)} wrong: {'; '.join(faults[:3])}"
    return Check(name, told, "0 lost, 0 doubled", not faults)


def control(seed: int) -> Check:
    """Without keys the same kills must double something, or the rows above show nothing."""
    found = on_scratch(Order(4, ("worker",)), seed, keys=False, lanes=2)
    doubled = found.left.doubled
    figure = f"{found.left.in_effect} kills in effects; {'; '.join(doubled[:3]) or 'nothing doubled'}"
    return Check("control: without idempotency keys", figure, "doubles appear", bool(doubled))


def checks(kills: int = KILLS, seed: int = 1) -> list[Check]:
    """All of them."""
    return [*judged(on_scratch(Order(kills), seed), kills), control(seed)]


def main() -> int:
    """Run the storm by itself."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--kills", type=int, default=KILLS)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--lanes", type=int, default=LANES)
    reader.add_argument("--control", action="store_true", help="Only the control without keys.")
    given = reader.parse_args()
    console = Console(width=170, highlight=False)
    if given.control:
        found = [control(given.seed)]
    else:
        one = on_scratch(Order(given.kills), given.seed, lanes=given.lanes)
        found = judged(one, given.kills)
        console.print(f"refused at the door: {one.refusals}")
        for fault in [*one.faults, *one.left.faults]:
            console.print(fault, markup=False)
    print_checks(console, found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
