"""Measures every promise about real machines and prints a row each: make prove-machines. Exit code 1 if any falls short."""

import sys

from benchmarks.groups import Measure, asked_for, run
from benchmarks.machines import (
    accelerators,
    aws,
    bad_jobs,
    contract,
    isolation,
    killed_jobs,
    kubernetes,
    leases,
    main_job,
    slurm,
    telemetry,
    validation,
)
from benchmarks.provision import stages

GROUPS: dict[str, Measure] = {
    "contract": contract.checks,
    "aws": aws.checks,
    "slurm": slurm.checks,
    "kubernetes": kubernetes.checks,
    "accelerators": accelerators.checks,
    "leases": leases.checks,
    "bad-jobs": bad_jobs.checks,
    "killed-jobs": killed_jobs.checks,
    "telemetry": telemetry.checks,
    "validation": validation.checks,
    "isolation": isolation.checks,
    "main-job": main_job.checks,
    "provision": stages.checks,
}
"""In this order; a group may be chosen by its name."""


if __name__ == "__main__":
    sys.exit(run("real machines", {name: GROUPS[name] for name in asked_for(__doc__, GROUPS)}))
