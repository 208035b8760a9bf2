"""What a specification must be before a cluster is asked."""

import re

from factory_infra.errors import InvalidInput, TooLarge
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.folder import OWN_FILES

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FILE = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
GIVEN_BYTES_MAX = 900_000
ARRAY_MAX = 2000


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    """Raise InvalidInput unless the whole value matches."""
    if not pattern.fullmatch(value):
        remedy = "Use letters, digits, '.', '_' and '-', at most 128."
        raise InvalidInput(f"{what} is not valid: {value[:80]!r}.", remedy=remedy, code="name_invalid")


def check_spec(spec: JobSpec, pool: KubernetesPool) -> None:
    """Raise InvalidInput for a specification that cannot be run in this pool."""
    check(NAME, spec.id, "The job's id")
    check(NAME, spec.tenant, "The tenant's name")
    for name in spec.inputs:
        check(FILE, name, "An input's name")
        if name in OWN_FILES:
            raise InvalidInput(
                f"The input {name} has a name that is kept for the job's own.", remedy="Name it otherwise.", code="name_invalid"
            )
    for name in spec.environment:
        check(VARIABLE, name, "A variable's name")
    if not spec.argv or not spec.argv[0]:
        raise InvalidInput(f"Job {spec.id} names no program.", remedy="Give an argument vector.", code="program_unknown")
    if not (spec.image or pool.image):
        remedy = "Name an image in the job, or `image` in the pool's entry."
        raise InvalidInput(f"Neither job {spec.id} nor pool '{pool.name}' names an image.", remedy=remedy, code="image_missing")
    if spec.array and spec.nodes > 1:
        reason = "An array whose tasks have several nodes each cannot be run here."
        raise InvalidInput(reason, remedy="Ask for one of the two.", code="not_offered")
    if spec.array > ARRAY_MAX:
        reason = f"An array of {spec.array} tasks is more than a cluster keeps the records of: {ARRAY_MAX}."
        raise InvalidInput(reason, remedy="Split it into several arrays.", code="not_offered")
    given = sum(len(text.encode()) for text in [*spec.inputs.values(), *spec.environment.values(), *spec.argv])
    if given > GIVEN_BYTES_MAX:
        reason = f"The inputs of job {spec.id} are {given} bytes, and a cluster holds {GIVEN_BYTES_MAX} of a job."
        raise TooLarge(reason, remedy="Put large inputs where the job reads them itself, such as a bucket or the image.")


def split_task(job_id: str) -> tuple[str, int | None]:
    """Split the name of an array's task into the array's id and the index; nothing where it cannot be one."""
    parent, _, index = job_id.rpartition(".")
    if parent and index.isdecimal() and len(index) <= 5 and str(int(index)) == index:
        return parent, int(index)
    return "", None
