"""Slurm's reasons for a job that waits and its states of a job that ended, in words with a remedy."""

from typing import NamedTuple

from factory_infra.iaas.jobs.models import JobFailure, JobState, Waiting


class Words(NamedTuple):
    """What a code of Slurm means, and what would help."""

    reason: str
    remedy: str


ALONE = "Nothing: it starts by itself."
ADMIN = "Ask the cluster's administrator."
LESS = "Wait for other jobs of the team to end, or ask for less."
RAISE = "Wait for other jobs of the team to end, or have an administrator raise the limit (`sacctmgr show assoc`, `sacctmgr show qos`)."
NEVER = "Cancel it and ask for less: as it is, it will not start."

REASONS: dict[str, Words] = {
    "None": Words("Slurm has not looked at it yet.", ALONE),
    "Submitting": Words("It is being handed to Slurm.", ALONE),
    "Priority": Words("Jobs with a higher priority are before it.", "Wait, or use a QOS with a higher priority."),
    "Resources": Words("Nodes, GPUs, cores or memory that it needs are in use.", "Wait for a job to end, or ask for less."),
    "Dependency": Words("A job that must end before it has not.", "Wait for that job, or cancel this one."),
    "DependencyNeverSatisfied": Words("A job that had to succeed before it did not.", "Cancel it, mend the job before it, and ask again."),
    "BeginTime": Words("Its time has not come: after a requeue Slurm lets a little time pass.", ALONE),
    "JobHeldUser": Words("It is held by its owner.", "Release it: `scontrol release JOB`."),
    "JobHeldAdmin": Words("An administrator holds it.", ADMIN),
    "JobHoldMaxRequeue": Words("It was requeued so often that Slurm holds it.", "Look at its log, then cancel and submit it again."),
    "SystemFailure": Words("A fault of Slurm or of a file system keeps it.", ADMIN),
    "launch failed requeued held": Words(
        "It could not be started on its node. It is let go again a few times.",
        "If it stays so: `sinfo -R` tells what is wrong with the node.",
    ),
    "job requeued in held state": Words("It was requeued and is held.", "Release it: `scontrol release JOB`."),
    "ReqNodeNotAvail": Words(
        "Nodes that it needs are down, drained or reserved.", "Wait until they are back; `sinfo -R` tells why they are not."
    ),
    "NodeDown": Words("A node that it needs is down.", "Wait until it is back; `sinfo -R` tells why."),
    "BadConstraints": Words("What it asks of its nodes can never be met together.", NEVER),
    "PartitionDown": Words("The partition takes jobs but starts none.", ADMIN),
    "PartitionInactive": Words("The partition is switched off.", ADMIN),
    "PartitionNodeLimit": Words("It asks for more nodes than the partition has or allows.", NEVER),
    "PartitionConfig": Words("It asks for more nodes or time than the partition has or allows.", NEVER),
    "PartitionTimeLimit": Words("It asks for more time than the partition allows.", NEVER),
    "Reservation": Words("It waits for its reservation to begin.", ALONE),
    "ReservationDeleted": Words("The reservation that it wanted is gone.", "Cancel it and submit it without."),
    "Licenses": Words("Licences that it needs are in use.", "Wait for a job that has them to end."),
    "Prolog": Words("The node is being prepared for it.", ALONE),
    "Cleaning": Words("What an earlier start of it left on a node is being cleaned up.", ALONE),
    "InvalidAccount": Words("Its account is not valid any more.", "Put up the team's walls in this pool again."),
    "InvalidQOS": Words("Its QOS is not valid any more.", "Cancel it and submit it with another queue."),
    "AccountNotAllowed": Words("The partition does not take the team's account.", "Have the partition's AllowAccounts changed."),
    "QOSNotAllowed": Words("The partition does not take this QOS.", "Submit it with another queue."),
    "JobArrayTaskLimit": Words("So many tasks of the array run as may at one time.", ALONE),
    "MaxMemPerLimit": Words("It asks for more memory a core or node than is allowed.", NEVER),
    "AssociationJobLimit": Words("The team's account has as many jobs as it may.", RAISE),
    "AssociationResourceLimit": Words("The team's account uses as much as it may.", RAISE),
    "AssociationTimeLimit": Words("The team's account has used its time.", RAISE),
    "QOSJobLimit": Words("The QOS has as many jobs as it may.", RAISE),
    "QOSResourceLimit": Words("The QOS uses as much as it may.", RAISE),
    "QOSTimeLimit": Words("The QOS has used its time.", RAISE),
    "QOSUsageThreshold": Words("The team's usage is beyond what the QOS allows.", RAISE),
    "FedJobLock": Words("Another cluster of the federation is looking at it.", ALONE),
    "RaidTemporarilyFailed": Words("A node's disks are being mended.", ADMIN),
    "BurstBufferResources": Words("The burst buffer is full.", "Wait for a job to end."),
    "BurstBufferStageIn": Words("Its data are being brought into the burst buffer.", ALONE),
    "BurstBufferOperation": Words("The burst buffer failed.", ADMIN),
}
"""By Slurm's own code. Families of limits (Assoc…, QOS…) are read by their parts below."""

WHO = {"Assoc": "the team's account", "QOS": "the QOS"}
SCOPES = {
    "Grp": "all jobs of {who} together",
    "MaxJobs": "each user of {who}",
    "Max": "one job of {who}",
    "Min": "one job of {who}",
    "PerUser": "one user of {who}",
    "PerAccount": "one account of {who}",
}
RESOURCES = {
    "GRES": "GPUs",
    "Gres": "GPUs",
    "Cpu": "cores",
    "CPU": "cores",
    "Memory": "memory",
    "Mem": "memory",
    "Node": "nodes",
    "Jobs": "running jobs",
    "Submit": "submitted jobs",
    "Wall": "time",
    "Billing": "billing units",
    "Energy": "energy",
    "License": "licences",
    "BB": "burst buffer",
}


def waiting(code: str, *, before: tuple[str, ...] = (), starts_at: str = "") -> Waiting:
    """Say why a job waits, naming the jobs before it where that is what it waits for."""
    short = code.strip("() ").partition(",")[0] or "None"
    short = "ReqNodeNotAvail" if short.startswith("Nodes required for job") else short
    found = REASONS.get(short) or REASONS.get(code) or limit(short)
    reason = found.reason
    if short == "Dependency" and before:
        reason = f"It starts once {', '.join(before)} succeeded."
    if starts_at and short in {"Priority", "Resources"}:
        reason = f"{reason} Slurm expects to start it {starts_at}."
    return Waiting(code=short, reason=reason, remedy=found.remedy)


def limit(code: str) -> Words:
    """Read a limit such as AssocGrpGRES or QOSMaxJobsPerUserLimit by its parts."""
    family = next((each for each in WHO if code.startswith(each)), "")
    rest = code.removeprefix(family)
    what = next((words for part, words in RESOURCES.items() if part in rest), "")
    if not family or not what:
        return Words(f"Slurm says: {code}.", "See `man squeue`, JOB REASON CODES, or ask the cluster's administrator.")
    key = next((each for each in ("PerUser", "PerAccount", "Grp", "MaxJobs", "Max", "Min") if each in rest), "Grp")
    scope = SCOPES[key].format(who=WHO[family])
    if key in {"Max", "Min"} and what not in {"running jobs", "submitted jobs"}:
        return Words(f"It asks for {'less' if key == 'Min' else 'more'} ({what}) than is allowed to {scope}.", NEVER)
    return Words(f"The limit of {what} for {scope} is reached.", RAISE)


class End(NamedTuple):
    """What a final state of Slurm is with us. A state without a failure's code is read from the exit code."""

    state: JobState
    code: str
    reason: str
    remedy: str


ENDS: dict[str, End] = {
    "COMPLETED": End(JobState.SUCCEEDED, "", "", ""),
    "FAILED": End(JobState.FAILED, "", "", ""),
    "CANCELLED": End(JobState.CANCELLED, "cancelled", "The job was cancelled.", ""),
    "TIMEOUT": End(JobState.FAILED, "job_timeout", "The job ran longer than it may.", "Make it shorter, or ask for more time."),
    "DEADLINE": End(
        JobState.FAILED, "job_deadline", "The job could not end before its deadline.", "Submit it earlier, or make it shorter."
    ),
    "OUT_OF_MEMORY": End(JobState.FAILED, "job_memory", "The job needed more memory than it asked for.", "Use less, or ask for more."),
    "NODE_FAIL": End(JobState.LOST, "job_lost", "A node on which the job ran failed.", "Submit it again under its id."),
    "BOOT_FAIL": End(JobState.LOST, "job_lost", "A node did not come up for the job.", "Submit it again under its id."),
    "PREEMPTED": End(
        JobState.LOST,
        "job_preempted",
        "A job with more right took its place, and Slurm did not requeue it.",
        "Submit it again under its id.",
    ),
    "REVOKED": End(JobState.LOST, "job_lost", "Another cluster of the federation took the job.", "Submit it again under its id."),
}
"""By the state's first word."""

LOST = JobFailure(code="job_lost", reason="Slurm knows nothing of the job, and it left no end.", remedy="Submit it again under its id.")
SUBMITTING = waiting("Submitting")
