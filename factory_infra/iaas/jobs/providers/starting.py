"""What must be true of a job before it starts, and its start: inputs, walls, a runner that holds the lock."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.programs import python_environment
from factory_infra.iaas.jobs.providers.folder import OWN_FILES, JobFolder, hold
from factory_infra.iaas.jobs.providers.signals import RUNNER
from factory_infra.iaas.jobs.providers.walls_local import WallOrder, give, hand_over, with_ports
from factory_infra.iaas.jobs.providers.watch import SEARCH_PATH

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FILE = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
START_SECONDS = 20.0
NODES_MAX = 64

Walls = Callable[[JobSpec], WallOrder]
"""What a job may reach on this host."""


@dataclass(frozen=True)
class Host:
    """How jobs run on this host: see LocalJobs."""

    walls: Walls
    log_bytes_max: int
    groups: bool


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    """Raise InvalidInput unless the whole value matches: what passes cannot leave its folder."""
    if not pattern.fullmatch(value):
        raise InvalidInput(
            f"{what} is not valid: {value[:80]!r}.", remedy="Use letters, digits, '.', '_' and '-', at most 128.", code="name_invalid"
        )


def check_spec(spec: JobSpec, tenant_dir: Path) -> None:
    """Raise InvalidInput for a specification that cannot be run."""
    check_names(spec, tenant_dir)
    if not spec.argv or shutil.which(spec.argv[0], path=SEARCH_PATH) is None:
        program = spec.argv[0] if spec.argv else ""
        raise InvalidInput(
            f"Job {spec.id} names no program that exists: {program!r}.", remedy="Give an argument vector.", code="program_unknown"
        )
    check_offered(spec)
    for name in spec.after if not JobFolder(tenant_dir / spec.id).spec.exists() else []:
        if not NAME.fullmatch(name) or name == spec.id or not JobFolder(tenant_dir / name).spec.exists():
            raise InvalidInput(
                f"Job {spec.id} is to wait for {name[:128]!r}, and there is no such job.",
                remedy="Submit that one first, in the same pool.",
                code="dependency_unknown",
            )


def check_offered(spec: JobSpec) -> None:
    """Raise InvalidInput `not_offered` for what this host does not do."""
    if spec.image or spec.queue:
        what = "image" if spec.image else "queue"
        reason = f"Job {spec.id} names its {what}: this host knows no {what}s."
        raise InvalidInput(reason, remedy=f"Leave the {what} out, or choose another pool.", code="not_offered")
    if spec.array and spec.nodes > 1:
        raise InvalidInput(f"Job {spec.id} has tasks of several nodes.", remedy="Ask for an array or for nodes.", code="not_offered")
    if spec.nodes > NODES_MAX:
        reason = f"Job {spec.id} asks for {spec.nodes} nodes: this host plays at most {NODES_MAX}."
        raise InvalidInput(reason, remedy="Ask for fewer, or for a pool with several hosts.", code="not_offered")


def check_names(spec: JobSpec, tenant_dir: Path) -> None:
    """Raise InvalidInput for names that cannot be, or that mean a task of an array."""
    check(NAME, spec.id, "The job's id")
    check(NAME, spec.tenant, "The tenant's name")
    for name in spec.inputs:
        check(FILE, name, "An input's name")
        if name in OWN_FILES:
            raise InvalidInput(
                f"The input {name} has a name that the runner keeps for itself.", remedy="Name it otherwise.", code="name_invalid"
            )
    above, _, index = spec.id.rpartition(".")
    if index.isdigit() and above and (tenant_dir / above / "counts.json").exists():
        raise InvalidInput(f"{spec.id} is a task of the array {above}.", remedy="Name the job otherwise.", code="name_invalid")


def prepare(folder: JobFolder, spec: JobSpec, walls: WallOrder, note: str) -> None:
    """Write inputs first and the specification last: a folder without a specification is no job."""
    for leftover in (folder.run, folder.exit, folder.progress):
        leftover.unlink(missing_ok=True)
    for path in (folder.tmp, folder.checkpoint):
        path.mkdir(mode=0o700, exist_ok=True)
    folder.reserve_exit()
    if note:
        folder.say(note)
    for name, text in spec.inputs.items():
        folder.write(folder.path / name, text)
    if spec.array and not folder.counts.exists():
        folder.write(folder.counts, json.dumps({"pending": spec.array}), lasting=False)
    folder.write(folder.walls, walls.to_json(), lasting=False)
    give(folder.path, walls)
    for path in (folder.tmp, folder.checkpoint, *(folder.path / name for name in spec.inputs)):
        hand_over(path, walls)
    text = spec.model_dump_json(exclude={"inputs"})
    folder.kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.write(folder.kept, text)
    folder.write(folder.spec, text, lasting=False)


def start(folder: JobFolder, spec: JobSpec, host: Host, note: str = "") -> None:
    """Start the runner with the lock already held, so that at no moment the job looks lost. Raises EffectFailed, Unavailable, OSError.

    Args:
        note: where it is started again: the line for the log that says why.
    """
    with hold(folder.lock, START_SECONDS) as (descriptor, held):
        if not held:
            raise EffectFailed(f"Something holds the lock of job {spec.id}.", remedy="Look at its processes.", code="job_stuck")
        reach = replace(host.walls(spec), driver=spec.slot_kind == "gpu")
        prepare(folder, spec, reach, note)
        made = with_ports(reach)
        sent = {"spec": spec.model_dump(mode="json", exclude={"inputs"}), "walls": asdict(made)}
        process = started(folder, host, (descriptor, made.ports_made), json.dumps(sent), again=bool(note))
        if not ended(process.pid, START_SECONDS):
            reason = f"The runner of job {spec.id} did not start within {START_SECONDS:g} s."
            raise Unavailable(reason, remedy="Ask again: the same id is the same job.", code="runner_failed")
        if process.wait() != 0:
            raise EffectFailed("The job's runner could not be started.", remedy="Read the job's log.", code="runner_failed")


def ended(pid: int, seconds: float) -> bool:
    """Whether a child of ours ends in time; told at once, where `Popen.wait` looks only now and then."""
    descriptor = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def started(folder: JobFolder, host: Host, held: tuple[int, int | None], order: str, *, again: bool) -> "subprocess.Popen[bytes]":
    """Start the runner's process. Its order is complete when it starts: it needs us for nothing any more. Raises OSError.

    Args:
        held: the descriptor of the job's lock, and that of rules over connections where there are any.
    """
    # It needs the standard library alone: without what is installed beside it, it is up sooner.
    argv = [sys.executable, "-S", "-P", "-m", RUNNER, str(folder.path), str(held[0]), str(host.log_bytes_max)]
    with os.fdopen(os.memfd_create("order"), "w+b") as sent, os.fdopen(folder.open_log(), "ab") as log:
        sent.write(order.encode())
        sent.flush()
        sent.seek(0)
        return subprocess.Popen(
            argv + ["--again"] * again + ["--no-groups"] * (not host.groups),
            cwd=folder.path,
            env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **python_environment()},
            stdin=sent,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[descriptor for descriptor in held if descriptor is not None],
        )
