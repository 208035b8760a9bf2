"""Machines in AWS, against the emulator: five hundred fault programs, the same through leases and the ledger, bad input, the template."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cfnlint.api import lint_all
from pydantic import SecretStr, ValidationError

from benchmarks.machines.leases import database
from cli.checks import Check
from factory_infra.errors import LineshaftError
from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.foundation.clusters.providers.aws import AwsClusters
from factory_infra.foundation.clusters.providers.aws_stack import template
from factory_infra.foundation.pools import aws
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS
from tests.factory_infra.foundation.clusters.leases_door import opening
from tests.factory_infra.foundation.clusters.programs import CALLS_MAX, Verdict, play

PROGRAMS = 500
PROGRAMS_OF_LEASES = 100
PAUSE_SECONDS = 0.01
WANTED = ClusterSpec(key="k", tenant="vision", machine="g5.xlarge", count=2)


def checks() -> list[Check]:
    """All rows."""
    os.environ.update(KEYS)
    pause, aws.PAUSE_SECONDS = aws.PAUSE_SECONDS, PAUSE_SECONDS
    try:
        return asyncio.run(measured())
    finally:
        aws.PAUSE_SECONDS = pause


async def measured() -> list[Check]:
    """The rows of programs, of bad input and of the template."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        began = time.monotonic()
        verdicts = await play(range(PROGRAMS), settings)
        rows = told("clusters", verdicts, time.monotonic() - began)
        control = await play(range(19, 119), settings.model_copy(update={"idempotency_keys": False}), until_broken=True)
        broken = sum(not each.held for each in control)
        rows.append(Check("the same without client tokens", f"{broken} of {len(control)} broke", "breaks", held=broken > 0))
        rows += await of_leases()
        rows += await bad_input(settings)
    return [*rows, linted()]


def told(subject: str, verdicts: Sequence[Verdict], seconds: float) -> list[Check]:
    """What programs left."""
    wrong = [each for each in verdicts if each.differences]
    strays, worst = sum(each.strays for each in verdicts), max(each.calls_worst for each in verdicts)
    intents, refused = sum(each.intents for each in verdicts), sum(each.refused for each in verdicts)
    what = f"{len(verdicts)} fault programs over {subject}"
    figure = f"{len(verdicts) - len(wrong)} equal; {intents} intents, {refused} refused; {seconds:.0f} s"
    return [
        Check(f"{what}: machines = the book", figure, "all equal", held=not wrong),
        Check(f"{what}: strays", str(strays), "0", held=strays == 0),
        Check(f"{what}: calls an intended effect", f"{worst} at most", f"<= {CALLS_MAX}", held=worst <= CALLS_MAX),
    ]


async def of_leases() -> list[Check]:
    """The same through the tools over leases: machines, leases and the ledger."""
    with database() as (url, home):
        settings = Settings(home=home, database_url=SecretStr(url), model="none")
        factory, door = await opening(settings)
        began = time.monotonic()
        verdicts = await play(range(PROGRAMS_OF_LEASES), settings, door)
        await factory.database.close()
        return told("leases and the ledger", verdicts, time.monotonic() - began)


async def bad_input(settings: Settings) -> list[Check]:
    """What cannot be is told in words and leaves nothing."""
    emulator = Emulator()
    with emulator.serving():
        pool = AwsPool.model_validate({"name": "east", "region": "us-east-1", "endpoint_url": emulator.address, "settle_seconds": 0.05})

        def making(there: AwsPool = pool, **change: object) -> Callable[[], Awaitable[object]]:
            return lambda: AwsClusters(there, settings).provision(ClusterSpec.model_validate(WANTED.model_dump() | change))

        def expired() -> Awaitable[object]:
            emulator.faults.add("refused", code="ExpiredToken", status=403, times=9)
            return making()()

        def full() -> Awaitable[object]:
            emulator.faults.faults.clear()
            emulator.world.capacity["g5.xlarge", ""] = 1
            return making()()

        found = [
            await refused("expired credentials", expired, "credentials_expired"),
            await refused("a region that is none", making(pool.model_copy(update={"region": "us-east-9"})), "region_unknown"),
            await refused("no capacity", full, "capacity_short"),
            await refused("a machine that is not offered", making(machine="p9.48xlarge"), "machine_unknown"),
            await refused(
                "a machine that the pool does not allow", making(pool.model_copy(update={"instance_types": ("g6.xlarge",)})), "not_offered"
            ),
            await refused("a block without its reservation", making(price_class="capacity_block"), "reservation_missing"),
            await refused("a cluster of 0", lambda: making(count=0)(), "invalid"),
            await refused("a cluster of 10,000", lambda: making(count=10_000)(), "invalid"),
        ]
        left = await AwsClusters(pool, settings).list()
        return [*found, Check("what bad input left", f"{len(left)} clusters", "0", held=not left)]


async def refused(name: str, ask: Callable[[], Awaitable[object]], code: str) -> Check:
    """A row for what must be refused."""
    try:
        await ask()
    except LineshaftError as error:
        return Check(name, f"{error.error_code}: {error.reason[:80]}", code, held=error.error_code == code and bool(error.remedy))
    except ValidationError:
        return Check(name, "invalid at the door", code, held=code == "invalid")
    return Check(name, "was made", code, held=False)


def linted() -> Check:
    """The template of what is long-lived."""
    began = time.monotonic()
    text = template(AwsPool(name="east", region="us-east-1"), WANTED.model_copy(update={"form": "kubernetes", "machine": "p5.48xlarge"}))
    wrong = [each for each in lint_all(text) if not each.rule.id.startswith("I")]
    figure = f"{len(wrong)} errors and warnings, {time.monotonic() - began:.1f} s"
    return Check("the CloudFormation template, by cfn-lint", figure, "0", held=not wrong)
