"""Traces, quotas, policies and scenarios that cannot be: each is refused in words that name file, line and remedy."""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.checks import Check
from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec
from factory_infra.iaas.scheduling.policy import SchedulingPolicy, read_policy, read_quotas
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.spot_switching import SpotJob
from factory_infra.iaas.scheduling.traces import alibaba, azure, philly, spot
from factory_infra.iaas.twin.scenario_file import read as read_scenario

GPUS = [f"gpu{number}" for number in range(20)]
JOB = {"status": "Pass", "vc": "a", "jobid": "job-1", "submitted_time": "2017-10-07 01:00:00"}
POOLS = "pools: [{name: simulated, nodes: 2}]\n"


def attempt(start: str, end: str, gpus: int = 1) -> dict[str, object]:
    """An attempt of a Philly job."""
    return {"start_time": start, "end_time": end, "detail": [{"ip": "m1", "gpus": GPUS[:gpus]}]}


def of_philly(folder: Path, *attempts: dict[str, object], machines: str = "machineId,number of GPUs,single GPU mem\nm1,8,24GB\n") -> None:
    """Read a Philly trace of one job."""
    (folder / philly.MACHINES_FILE).write_text(machines)
    (folder / philly.JOBS_FILE).write_text(json.dumps([{**JOB, "attempts": list(attempts)}], indent=1))
    philly.read_folder(folder)


def of_azure(folder: Path) -> None:
    """Read requests whose clock goes back."""
    path = folder / "requests.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:01,1,1\n2023-11-16 18:00:00,1,1\n")
    azure.read(path)


def of_spot(folder: Path) -> None:
    """Read an availability that is no count."""
    path = folder / "zone.json"
    path.write_text('{"metadata": {"gap_seconds": 195}, "data": [1, -1]}')
    spot.read(path)


def of_alibaba(folder: Path) -> None:
    """Read a node list without its columns."""
    path = folder / "openb_node_list_gpu_node.csv"
    path.write_text("sn,cpu_milli\nopenb-node-0000,64000\n")
    alibaba.read_nodes(path)


def backwards(folder: Path) -> None:
    """Let a scheduler decide twice, the second time before the first."""
    scheduler = Scheduler(SchedulingPolicy(placement="first_fit"), None, {"a": Fleet([NodeSpec("n", 1000, 1024)])})
    scheduler.decide(10.0)
    scheduler.decide(9.0)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing columns": (lambda folder: of_philly(folder, machines="machineId,gpus\nm1,8\n"), r"cluster_machine_list, line 1"),
    "missing columns, Alibaba": (of_alibaba, r"openb_node_list_gpu_node\.csv"),
    "a negative time": (
        lambda folder: of_philly(folder, attempt("2017-10-07 03:00:00", "2017-10-07 02:00:00")),
        r"cluster_job_log, line \d+: entry 1 \(job-1\)",
    ),
    "a job larger than the fleet": (
        lambda folder: of_philly(folder, attempt("2017-10-07 02:00:00", "2017-10-07 03:00:00", 20)),
        r"cluster_job_log, line \d+.*the whole fleet 8",
    ),
    "a trace's clock goes backwards": (of_azure, r"requests\.csv, line 3"),
    "no availability": (of_spot, r"zone\.json: tick 1"),
    "a scheduler's clock goes backwards": (backwards, "clock|back"),
    "a quota tree with a cycle": (
        lambda folder: read_quotas("queues:\n  - {name: a, parent: b}\n  - {name: b, parent: a}\n", "quotas.yaml"),
        r"quotas\.yaml.*(cycle|circle|itself)",
    ),
    "a policy file with an unknown key": (lambda folder: read_policy("order: fair\nspeed: fast\n", "policy.yaml"), r"policy\.yaml, line 2"),
    "a scenario with an unknown key": (
        lambda folder: read_scenario(f"name: x\n{POOLS}workloads: {{mix: {{speed: 1}}}}\n"),
        r"scenario\.yaml, line 3",
    ),
    "a scenario's job larger than its pools": (
        lambda folder: read_scenario(
            f"name: x\n{POOLS}workloads:\n  jobs:\n    - {{name: big, queue: a, hours: 1, gpus: 8, members: 3}}\n"
        ),
        r"scenario\.yaml, line 5: job big",
    ),
    "a deadline that cannot be kept": (lambda folder: SpotJob(3600, 1800, 60).check(), "not even on demand"),
}


def checks() -> list[Check]:
    """Try each."""
    found = []
    for name, (attempted, expected) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            found.append(refusal(name, lambda attempted=attempted, folder=folder: attempted(Path(folder)), expected))  # type: ignore[misc]
    return found


def refusal(name: str, attempted: Callable[[], object], expected: str) -> Check:
    """One try."""
    try:
        attempted()
    except InvalidInput as error:
        held = re.search(expected, error.reason, re.DOTALL) is not None and bool(error.remedy)
        return Check(f"bad input: {name}", f"[{error.error_code}] {error}"[:200], "refused: file, line, remedy", held=held)
    return Check(f"bad input: {name}", "was taken", "refused: file, line, remedy", held=False)


if __name__ == "__main__":
    for check in checks():
        print(check)
