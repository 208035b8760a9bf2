"""Studies: nothing lost or doubled under kills, what the sampler and the pruner are worth, and what asking costs.

Run alone: python -m benchmarks.control_plane.studies
"""

import argparse
import asyncio
import math
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from benchmarks.control_plane.door import settings_of
from benchmarks.control_plane.tracking_server import tracking_server
from benchmarks.gateway.ground import end
from benchmarks.line.shell import ROOT
from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.factory import connect
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.paas.training.studies.models import Report, StudySpec, TrialState
from factory_infra.paas.training.studies.sampling import Past, judge, suggest
from factory_infra.paas.training.studies.space import Scalar
from factory_infra.settings import Settings
from workflows.studies import watch

TEAM = "mill"
TRIALS, KILLS = 16, 4
STUDY_SECONDS_MAX = 600.0
LANDSCAPES, BUDGET = 5, 40
ASK_MS_MAX = 300.0
SAVED_MIN = 0.2
PROGRAM = """
import json, random, sys, time
x, y = float(sys.argv[1]), float(sys.argv[2])
worth = 1 - (x - 0.3) ** 2 - (y + 0.2) ** 2
for step in range(1, 6):
    with open("reports.jsonl", "a") as stream:
        stream.write(json.dumps({"step": step, "value": worth * step / 5}) + chr(10))
    time.sleep(0.3)
json.dump({"value": worth}, open("result.json", "w"))
"""


def checks(seed: int = 7) -> list[Check]:
    """All of it: about a minute and a half on a quiet machine."""
    return [*sampled(seed), pruned(seed), asking(seed), *killed(seed)]


def sampled(seed: int) -> list[Check]:
    """How far trials are from the best, against draws at random, over landscapes drawn from the seed."""
    late: dict[str, list[float]] = {"tpe": [], "random": []}
    nearest: dict[str, list[float]] = {"tpe": [], "random": []}
    for number in range(LANDSCAPES):
        worth, best = landscape(random.Random(seed * 1000 + number))  # noqa: S311 - a landscape, not a secret
        for sampler in late:
            values = [worth(each.parameters) for each in searched(spec_of(sampler=sampler, seed=seed + number), worth)]
            late[sampler].append(best - statistics.mean(values[BUDGET // 2 :]))
            nearest[sampler].append(best - max(values))
    tpe, chance = statistics.mean(late["tpe"]), statistics.mean(late["random"])
    closest = ", ".join(f"{statistics.mean(found):.2f} by {sampler}" for sampler, found in nearest.items())
    trials = f"mean of trials {BUDGET // 2} to {BUDGET} on {LANDSCAPES} landscapes"
    figure = f"{tpe:.2f} by TPE, {chance:.2f} at random: {trials} (nearest: {closest})"
    return [Check("distance from the best", figure, "TPE learns: at most half as far", held=tpe <= chance / 2)]


def landscape(chance: random.Random) -> tuple[Callable[[dict[str, Scalar]], float], float]:
    """A peak somewhere in four parameters, one of them by magnitude and one a choice; and its height."""
    x, power, n, word = chance.uniform(-4, 4), chance.uniform(-4, -1), chance.randint(3, 28), chance.choice(["a", "b", "c"])

    def worth(parameters: dict[str, Scalar]) -> float:
        away = (float(parameters["x"]) - x) ** 2 / 8 + (math.log10(float(parameters["rate"])) - power) ** 2
        return 10 - away - (int(parameters["n"]) - n) ** 2 / 100 - (parameters["word"] != word)

    return worth, 10.0


def spec_of(**changes: object) -> StudySpec:
    """A study over four parameters."""
    space = {
        "x": {"kind": "float", "low": -5, "high": 5},
        "rate": {"kind": "float", "low": 1e-5, "high": 1, "log": True},
        "n": {"kind": "int", "low": 1, "high": 32},
        "word": {"kind": "choice", "choices": ["a", "b", "c"]},
    }
    return StudySpec.model_validate({"name": "bench", "space": space, "program": {"kind": "command", "argv": ["p"]}} | changes)


def searched(spec: StudySpec, worth: Callable[[dict[str, Scalar]], float]) -> list[Past]:
    """So many trials, one after the other."""
    past: list[Past] = []
    for number in range(BUDGET):
        parameters = suggest(spec, past, number)
        assert parameters is not None
        past.append(Past(number=number, state=TrialState.COMPLETE, parameters=parameters, value=worth(parameters)))
    return past


def pruned(seed: int) -> Check:
    """Steps that early ending saves over 40 learning curves, and whether the best curve is kept; the same without it saves nothing."""
    told = {}
    for kind in ("median", "asha", "none"):
        spec, chance = spec_of(pruner={"kind": kind, "startup_trials": 4}), random.Random(seed)  # noqa: S311 - curves, not secrets
        curves = [curve(chance) for _ in range(BUDGET)]
        past, steps = list[Past](), 0
        for number, values in enumerate(curves):
            trial = Past(number=number, state=TrialState.RUNNING, parameters={"x": 0.0, "rate": 0.1, "n": 1, "word": "a"})
            for step, value in enumerate(values, 1):
                steps += 1
                trial = trial.model_copy(update={"reports": [*trial.reports, Report(step=step, value=value)]})
                verdict = judge(spec, past, trial)
                trial = trial.model_copy(update={"rungs": verdict.rungs})
                if verdict.prune:
                    break
            whole = len(trial.reports) == len(values)
            state = TrialState.COMPLETE if whole else TrialState.PRUNED
            past.append(trial.model_copy(update={"state": state, "value": trial.reports[-1].value}))
        best = max(each[-1] for each in curves)
        found = max(each.value or 0 for each in past if each.state is TrialState.COMPLETE)
        told[kind] = (1 - steps / (BUDGET * len(curves[0])), best - found)
    figure = ", ".join(f"{kind} saves {saved:.0%} (best missed by {missed:.3f})" for kind, (saved, missed) in told.items())
    held = all(told[kind][0] >= SAVED_MIN and told[kind][1] < 0.05 for kind in ("median", "asha")) and told["none"][0] == 0
    return Check("steps saved by early ending", figure, f"median and asha at least {SAVED_MIN:.0%}, none: 0", held=held)


def curve(chance: random.Random) -> list[float]:
    """A learning curve of 27 steps that ends somewhere, with some noise."""
    end_at, speed = chance.uniform(0.4, 1), chance.uniform(3, 10)
    return [end_at * (1 - math.exp(-step / speed)) + chance.gauss(0, 0.01) for step in range(1, 28)]


def asking(seed: int) -> Check:
    """What it costs to ask for the next trial of a study with 1,000."""
    spec, chance = spec_of(seed=seed), random.Random(seed)  # noqa: S311 - parameters, not secrets
    past = [
        Past(
            number=number,
            state=TrialState.COMPLETE,
            parameters={"x": chance.uniform(-5, 5), "rate": 10 ** chance.uniform(-5, 0), "n": chance.randint(1, 32), "word": "a"},
            value=chance.random(),
        )
        for number in range(999)
    ]
    suggest(spec, past, 999)
    taken = []
    for number in range(5):
        began = time.process_time()
        suggest(spec, past, 999 + number)
        taken.append((time.process_time() - began) * 1000)
    figure = f"{statistics.median(taken):.0f} ms of CPU"
    return Check("asking after 1,000 trials", figure, f"at most {ASK_MS_MAX:.0f} ms", held=statistics.median(taken) <= ASK_MS_MAX)


def killed(seed: int) -> list[Check]:
    """A study of real jobs whose turner is killed with SIGKILL again and again."""
    with tempfile.TemporaryDirectory(prefix="ls-st-") as name, postgres(Path(name) / "pg") as database_url:
        home = Path(name)
        with tracking_server(home / "mlflow") as mlflow_url:
            return asyncio.run(under_kills(home, database_url, mlflow_url, seed))


def installation(home: Path, database_url: str, mlflow_url: str) -> Settings:
    """An installation of two slots without the parts that are not measured."""
    return settings_of(home, database_url).model_copy(
        update={"mlflow_url": mlflow_url, "slots_max": 2, "database_url": SecretStr(database_url)}
    )


async def under_kills(home: Path, database_url: str, mlflow_url: str, seed: int) -> list[Check]:
    """Kill the turner at moments drawn from the seed until enough; then count."""
    factory, chance = connect(installation(home, database_url, mlflow_url)), random.Random(seed)  # noqa: S311 - moments, not secrets
    argv = [sys.executable, "-c", PROGRAM, "{x}", "{y}"]
    space = {"x": {"kind": "float", "low": -1, "high": 1}, "y": {"kind": "float", "low": -1, "high": 1}}
    spec = StudySpec.model_validate(
        {
            "name": "peak",
            "space": space,
            "program": {"kind": "command", "argv": argv},
            "pruner": {"kind": "median", "startup_trials": 3},
            "seed": seed,
            "startup_trials": 5,
            "bounds": {"trials_max": TRIALS, "parallel": 2, "seconds_max": int(STUDY_SECONDS_MAX)},
        }
    )
    turner = Turner(home, database_url, mlflow_url)
    try:
        await factory.tenants.create(TEAM, quota_slots=2, budget=Decimal(1000))
        lease = await factory.leases.acquire(LeaseRequest(tenant=TEAM, slots=2, key="bench", seconds=3600))
        study = await factory.studies.start(TEAM, spec, lease.id, f"bench/{seed}", by="bench")
        began, kills = time.monotonic(), 0
        turner.start()
        while not (now := await factory.studies.get(study.id, TEAM)).state.ended:
            assert time.monotonic() - began < STUDY_SECONDS_MAX, f"the study did not end: {turner.said()}"
            await asyncio.sleep(chance.uniform(0.5, 3))
            if kills < KILLS and (await factory.studies.trials(study.id, TEAM)):
                turner.kill()
                kills += 1
        trials = await factory.studies.trials(study.id, TEAM, limit=500)
        jobs = await factory.jobs.list(TEAM)
        runs = await factory.training_runs.list(TEAM, study=study.id, limit=500)
        states = {state: sum(each.state is state for each in trials) for state in TrialState}
        once = len(trials) == TRIALS == len(jobs) == len({each.number for each in trials}) and all(job.attempt == 1 for job in jobs)
        left = [job.id for job in jobs if not job.state.final] + [each.number for each in trials if not each.state.ended]
        agree = all(
            (job.state is JobState.SUCCEEDED) == (each.state is TrialState.COMPLETE)
            for each in trials
            for job in jobs
            if job.id == each.job_id
        )
        nested = sum(run.parent_run_id == now.run_id for run in runs)
        words = ", ".join(f"{count} {state.value}" for state, count in states.items() if count)
        return [
            Check(
                "a study under SIGKILL",
                f"{kills} kills: {len(trials)} trials, {len(jobs)} jobs, each started once: {once}; {len(left)} left over; {words}",
                f"{TRIALS} trials, none lost, doubled or left",
                held=once and not left and agree and kills == KILLS,
            ),
            Check("runs in MLflow", f"{nested} under the study's own", f"{TRIALS}, all ended", held=nested == TRIALS and all_ended(runs)),
            Check("what it found", f"{now.best_value or 0:.3f} of 1", "at least 0.8", held=(now.best_value or 0) >= 0.8),
        ]
    finally:
        turner.end()
        await factory.close()
        await asyncio.to_thread(stop_all, home / "jobs")


def all_ended(runs: list) -> bool:  # type: ignore[type-arg]  # of RunLine
    """Whether no run is open."""
    return all(run.status in {"FINISHED", "KILLED", "FAILED"} for run in runs)


class Turner:
    """The process that turns studies."""

    def __init__(self, home: Path, database_url: str, mlflow_url: str) -> None:
        self._log = home / "turner.log"
        self._argv = [sys.executable, "-m", "benchmarks.control_plane.studies", "--turn", str(home), database_url, mlflow_url]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, cwd=ROOT, stdout=log, stderr=log, text=True)

    def kill(self) -> None:
        """End it as a power cut does, and begin again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self.start()

    def end(self) -> None:
        """End it for good."""
        if self._process is not None:
            end(self._process)

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-1500:] if self._log.exists() else ""


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seed", type=int, default=7)
    reader.add_argument("--turn", nargs=3, metavar=("HOME", "DATABASE", "MLFLOW"))
    given = reader.parse_args()
    if given.turn:
        asyncio.run(watch(connect(installation(Path(given.turn[0]), given.turn[1], given.turn[2]))))
    table = checks(given.seed)
    print_checks(Console(width=170, highlight=False), table)
    sys.exit(0 if all(each.held for each in table) else 1)
