"""On a stack of its own with a simulated pool that is full: why a job waits, the advice carried out, and a what-if from now on."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from cli.checks import Check
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import TwinPool
from tests.live import LiveStack, until

POOL = "twin"
HOLDER, WAITER = "vision", "language"
WAIT_SECONDS_MAX = 120.0
SOON_SECONDS = 30.0
JsonObject = dict[str, JsonValue]


@contextmanager
def full_pool() -> Iterator[LiveStack]:
    """A stack with sixteen simulated GPUs, of which one team holds twelve for half an hour."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        PoolBook(home / "pools.yaml").add(TwinPool(name=POOL, nodes=2, gpus=8, seed=1))
        stack = LiveStack(home)
        stack.start()
        try:
            for team in (HOLDER, WAITER):
                said(stack, "teams", "create", team, "--slots", "64", "--budget", "5000")
            said(stack, "leases", "acquire", "12", "--pool", POOL, "--seconds", "1800", "--team", HOLDER, "--yes")
            yield stack
        finally:
            stack.stop()


def said(stack: LiveStack, *arguments: str) -> str:
    """What a command printed. It must succeed."""
    done: subprocess.CompletedProcess[str] = stack.command(*arguments)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def waiting_job(stack: LiveStack) -> str:
    """Submit a job for eight GPUs that must wait; returns its id."""
    arguments = ("--slots", "8", "--pool", POOL, "--wait", "1h", "--seconds", "600", "--team", WAITER, "--yes", "--detach")
    said(stack, "jobs", "submit", *arguments, "--", "sleep", "5")
    found: list[str] = []
    with stack.client() as client:

        def there() -> bool:
            found[:] = [str(job["id"]) for job in client.get_list("/v1/jobs", tenant=WAITER) if job["state"] == "pending"]
            return bool(found)

        until(there, "the job waits", WAIT_SECONDS_MAX)
    return found[0]


def why() -> list[Check]:
    """`lineshaft jobs why`, and the change that it advises."""
    with full_pool() as stack:
        job = waiting_job(stack)
        text = said(stack, "jobs", "why", job)
        print(text)
        told: JsonObject = json.loads(said(stack, "jobs", "why", job, "--json"))
        return [
            Check(
                "lineshaft jobs why, a full pool (simulated machines)",
                " ".join(text.split())[:160],
                "the constraint, a start, changes",
                held=bool(told["binding"]) and told["starts_at"] is not None and bool(told["changes"]),
            ),
            advised(stack, told),
            foreseen(stack),
        ]


def advised(stack: LiveStack, told: JsonObject) -> Check:
    """Ask for what the first change that starts now says, in place of what waits: it must be granted at once."""
    changes = [each for each in told["changes"] if isinstance(each, dict)] if isinstance(told["changes"], list) else []
    now = next((each for each in changes if "now" in str(each["words"])), None)
    if now is None:
        return Check("the advised change, carried out", "none starts it now", "begins at once", held=False)
    arguments = now["arguments"] if isinstance(now["arguments"], dict) else {}
    options = [text for name, value in arguments.items() if (option := OPTIONS.get(name)) for text in (option, str(value))]
    slots = str(arguments.get("slots", 8))
    said(stack, "leases", "release", str(told["lease_id"]), "--team", WAITER, "--yes")
    began = time.monotonic()
    said(stack, "leases", "acquire", slots, "--pool", POOL, *options, "--team", WAITER, "--yes")
    with stack.client() as client:
        held = [lease for lease in client.get_list("/v1/leases", tenant=WAITER) if lease["state"] == "active"]
    figure = f"'{now['words']}': {held[0]['state'] if held else 'not granted'} after {time.monotonic() - began:.1f} s"
    return Check("the advised change, carried out", figure, "begins at once", held=bool(held))


OPTIONS = {"seconds": "--seconds", "slots_min": "--least", "topology": "--topology", "accelerator": "--gpu"}
"""Arguments of leases.acquire as options of its command; slots are its argument, and the pool is the one that is asked."""


def foreseen(stack: LiveStack) -> Check:
    """Before submission: when, and for how much."""
    text = said(stack, "leases", "foresee", "16", "--pool", POOL, "--seconds", "600", "--team", WAITER)
    return Check(
        "lineshaft leases foresee, before it is asked for", " ".join(text.split())[:160], "a start and a cost", held="costs" in text
    )


def what_if() -> list[Check]:
    """A what-if from the live installation, and that nothing of it changed."""
    with full_pool() as stack:
        job = waiting_job(stack)
        with stack.client() as client:
            before = client.get_list("/v1/leases", active=False)
        text = said(stack, "twin", "what-if", f"add 1 node to {POOL}", "--pool", POOL)
        print(text)
        answer: JsonObject = json.loads(said(stack, "twin", "what-if", f"add 1 node to {POOL}", "--pool", POOL, "--json"))
        refused = stack.command("twin", "what-if", "make it faster")
        with stack.client() as client:
            after = client.get_list("/v1/leases", active=False)
            same = client.get_object(f"/v1/jobs/{job}")["state"] == "pending" and ids(before) == ids(after)
        lines = [each for each in answer["leases"] if isinstance(each, dict)] if isinstance(answer["leases"], list) else []
        sooner = float(str(lines[0]["sooner_seconds"])) if lines else 0.0
        return [
            Check(
                "lineshaft twin what-if, from now",
                f"one node more: what waits starts {sooner / 60:.0f} min sooner; marked simulated: {answer['simulated']}",
                "sooner, marked",
                held=sooner > SOON_SECONDS and answer["simulated"] is True,
            ),
            Check("a what-if changes nothing real", f"leases and job as before: {same}", "as before", held=same),
            Check(
                "a what-if that cannot be read",
                refused.stderr.strip().splitlines()[0] if refused.stderr else "was taken",
                "refused with examples",
                held=refused.returncode == 1 and "what_if_unclear" in refused.stderr,
            ),
        ]


def ids(leases: list[JsonObject]) -> dict[str, str]:
    """The state of each lease."""
    return {str(lease["id"]): str(lease["state"]) for lease in leases}


if __name__ == "__main__":
    for check in (*why(), *what_if()):
        print(check)
