"""From a job's specification to what Slurm is asked for; what cannot be asked for is refused by name."""

import math
import re

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.slurm_accounts import account_name
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.slurm_engine import Order
from factory_infra.iaas.jobs.providers.slurm_files import KEPT_BEGINNINGS, KEPT_FILES, SlurmFiles
from factory_infra.iaas.jobs.providers.slurm_ledger import NAME, engine_name
from factory_infra.iaas.jobs.providers.slurm_script import seconds_of

FILE = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
QUEUE = re.compile(r"[A-Za-z0-9_.-]{0,64}")
MEBI = 1024
MINUTES_MORE = 2
"""Slurm counts minutes, and its limit is the outer one: the script itself ends a program that takes too long."""


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    """Raise InvalidInput unless the whole value matches: what passes cannot leave its folder, nor be read as something else."""
    if not pattern.fullmatch(value):
        raise InvalidInput(
            f"{what} is not valid: {value[:80]!r}.", remedy="Use letters, digits, '.', '_' and '-', at most 128.", code="name_invalid"
        )


def check_spec(spec: JobSpec) -> None:
    """Raise InvalidInput for a specification that cannot be run."""
    check(NAME, spec.id, "The job's id")
    check(NAME, spec.tenant, "The tenant's name")
    check(QUEUE, spec.queue, "The queue's name")
    for name in spec.inputs:
        check(FILE, name, "An input's name")
        if name in KEPT_FILES or name.startswith(KEPT_BEGINNINGS):
            reason = f"The input {name} has a name that the job's script keeps for itself."
            raise InvalidInput(reason, remedy="Name it otherwise.", code="name_invalid")
    for name in spec.environment:
        check(VARIABLE, name, "A variable's name")
    if not spec.argv or not spec.argv[0] or any("\0" in word for word in [*spec.argv, *spec.environment.values()]):
        raise InvalidInput(f"Job {spec.id} names no program.", remedy="Give an argument vector.", code="program_unknown")
    if spec.image:
        raise InvalidInput(
            "Jobs in a Slurm pool run on the nodes as they are, not in an image.", remedy="Leave the image out.", code="not_offered"
        )
    slots_each(spec)


def order_of(pool: SlurmPool, spec: JobSpec, files: SlurmFiles, script: str, after: tuple[str, ...]) -> Order:
    """What is asked of Slurm: slots are shared out over the nodes, or one for each task of an array that runs at a time."""
    slots = slots_each(spec)
    seconds = seconds_of(spec)
    # The generation is in the name that the script was made for: the last submission noted.
    submission = files.submitted()
    folder = str(files.work).replace("%", "%%")
    return Order(
        name=engine_name(spec.tenant, spec.id, submission.generation if submission else 1),
        script=script,
        folder=str(files.work),
        log=f"{folder}/tasks/%a/log.txt" if spec.array else f"{folder}/log.txt",
        partition=pool.partition,
        account=account_name(pool, spec.tenant),
        comment=f"lineshaft:{pool.name}:{spec.tenant}",
        qos=spec.queue or pool.qos,
        user=files.owner,
        nodes=spec.nodes,
        cpus=slots if spec.slot_kind == "cpu" else 1,
        gres=f"{pool.gres}:{slots}" if spec.slot_kind == "gpu" and spec.slots else "",
        memory_mib=max(math.ceil(spec.limits.memory_gib * MEBI), 1),
        minutes=None if seconds is None else math.ceil(seconds * spec.attempts_max / 60) + MINUTES_MORE,
        array=spec.array,
        lanes=len(spec.slots) if spec.array else 0,
        after=after,
    )


def slots_each(spec: JobSpec) -> int:
    """How many slots each node or task has. Raises InvalidInput where they do not go round."""
    if spec.array and spec.nodes > 1:
        raise InvalidInput(
            "A task of an array runs on one node here.", remedy="Submit an array, or a job of several nodes.", code="not_offered"
        )
    if spec.array:
        return 1
    each, left = divmod(len(spec.slots), spec.nodes)
    if left:
        raise InvalidInput(
            f"{len(spec.slots)} slots cannot be shared out evenly over {spec.nodes} nodes.",
            remedy="Ask for a multiple of the nodes.",
            code="slots_invalid",
        )
    return max(each, 1)
