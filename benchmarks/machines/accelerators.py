"""The catalogue, and jobs on AWS against the emulator: what is found, how fast, and what a lost answer or a lost machine leaves behind."""

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.machines.offers_snapshot import snapshot
from cli.checks import Check
from factory_infra.foundation.accelerators.catalogue import ACCELERATORS
from factory_infra.foundation.accelerators.offer_books import OfferBooks, shipped_book
from factory_infra.foundation.accelerators.offers import OfferQuery, search
from factory_infra.foundation.accelerators.providers.aws_offers import AwsOffers
from factory_infra.iaas.jobs.carrier.keys import job_folder
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.aws import AwsJobs
from factory_infra.settings import Settings
from tests.contract.aws import House
from tests.emulators.aws import batch, pricing

JOBS = 24
WAIT_SECONDS = 180.0
SAVES = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "at = int(kept.read_text()) if kept.exists() else 0\n"
    "print('from', at, flush=True)\n"
    "for step in range(at, 3):\n"
    "    draft = kept.with_suffix('.tmp'); draft.write_text(str(step + 1)); draft.rename(kept)\n"
    "    if step < 2: time.sleep(600)\n"
)


def checks() -> list[Check]:
    """All rows."""
    return [*catalogue(), *asyncio.run(on_aws())]


def catalogue() -> list[Check]:
    """What needs no account."""
    began = time.perf_counter()
    found = search(shipped_book(), OfferQuery(accelerator="H100", count=8, price_class="spot", network_gbit_min=400)).offers
    milliseconds = (time.perf_counter() - began) * 1000
    names = [each.offer.machine for each in found]
    missing = sorted(set(ACCELERATORS) - {offer.accelerator for offer in shipped_book().offers})
    return [
        Check(
            "8 H100 as spot on 400 Gbit/s, from the snapshot",
            f"{', '.join(names)} in {milliseconds:.1f} ms",
            "p5.48xlarge",
            held=names == ["p5.48xlarge"],
        ),
        Check("types of the catalogue without a machine", ", ".join(missing) or "none", "none", held=not missing),
        Check(
            "the snapshot is what its script makes",
            f"{len(shipped_book().offers)} machines",
            "equal",
            held=snapshot().offers == shipped_book().offers,
        ),
    ]


async def on_aws() -> list[Check]:
    """What an emulated account shows."""
    with tempfile.TemporaryDirectory() as folder:
        async with House(Path(folder)) as house:
            pricing.plug(house.emulator.world)
            return [await own_prices(house, Path(folder)), *await lost_answers(house, Path(folder)), *await lost_machines(house)]


async def own_prices(house: House, home: Path) -> Check:
    """Prices of the account."""
    book = await OfferBooks(home).refresh("cloud", AwsOffers(house.pool, Settings(home=home)))
    priced = sum("on_demand" in offer.prices and offer.prices["spot"].source == "history" for offer in book.offers)
    return Check(
        "machines with the account's own list and spot prices",
        f"{priced} of {len(book.offers)}, of {book.at}",
        "at least 25",
        held=priced >= 25,
    )


async def lost_answers(house: House, home: Path) -> list[Check]:
    """Every submission's answer is lost; with keys and, as a control, without."""
    rows = []
    for keys in (True, False):
        jobs = AwsJobs(house.pool, Settings(home=home, idempotency_keys=keys))
        house.emulator.world.calls.clear()
        specs = [spec(f"lost-{keys}-{number}", "print('began')") for number in range(JOBS)]
        for each in specs:
            house.emulator.faults.add("dropped", "SubmitJob", service="batch")
            await jobs.submit(each)
        made = len(
            [job for job in batch.of(house.emulator.world).jobs.values() if job.asked["tags"]["lineshaft:job"].startswith(f"lost-{keys}")]
        )
        calls = house.emulator.world.calls["batch", "SubmitJob"]
        title = f"{JOBS} jobs whose answer was lost{'' if keys else ', without keys (control)'}"
        rows.append(
            Check(
                title,
                f"{made} in Batch, {calls} submissions",
                f"{JOBS}" if keys else f"more than {JOBS}",
                held=made == JOBS if keys else made > JOBS,
            )
        )
    return rows


async def lost_machines(house: House) -> list[Check]:
    """One job whose machine is first taken with a notice and then dies without a word."""
    wanted = spec("preempted", SAVES)
    await house.jobs.submit(wanted)
    engine_id = (await house.jobs.get(wanted.id, house.tenant)).engine_id
    engine = batch.of(house.emulator.world).jobs[engine_id]
    for step, kill in ((1, False), (2, True)):
        await until_saved(house, wanted, step)
        if kill:
            engine.interrupted = True
            os.kill(engine.containers[0].pid, signal.SIGKILL)
        else:
            engine.interrupt()
    job = await house.jobs.get(wanted.id, house.tenant)
    deadline = time.monotonic() + WAIT_SECONDS
    while not job.state.final and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        job = await house.jobs.get(wanted.id, house.tenant)
    log = await house.jobs.tail(wanted.id, house.tenant)
    went_on = all(f"from {step}" in log for step in range(3))
    good = job.state is JobState.SUCCEEDED and job.attempt == 3 and went_on
    return [
        Check(
            "a job on spot, taken with a notice and then without",
            f"{job.state}, attempt {job.attempt}, steps {log.count('from')}",
            "3 attempts, each from its checkpoint",
            held=good,
        )
    ]


async def until_saved(house: House, wanted: JobSpec, step: int) -> None:
    """Wait until a step's checkpoint is in the bucket."""
    key = job_folder(wanted.tenant, wanted.id).checkpoint + "step"
    deadline = time.monotonic() + WAIT_SECONDS
    while await house.jobs._bucket.get(key) != str(step).encode():
        if time.monotonic() > deadline:
            raise RuntimeError(f"step {step} was not saved")
        await asyncio.sleep(0.1)


def spec(name: str, code: str) -> JobSpec:
    """A small job."""
    argv = ["python3", "-IS", "-c", code]
    return JobSpec.model_validate(
        {"id": name, "tenant": House.tenant, "name": name, "argv": argv, "pool": "cloud", "limits": {"memory_gib": 0.5}}
    )
