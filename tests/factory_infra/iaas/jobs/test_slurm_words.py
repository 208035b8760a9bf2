"""Every reason that Slurm has for a job that waits is told in words with a remedy."""

import pytest

from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.slurm_words import ENDS, REASONS, waiting

COMMON = [
    "Priority",
    "Resources",
    "AssocGrpGRES",
    "QOSMaxJobsPerUserLimit",
    "Dependency",
    "DependencyNeverSatisfied",
    "BeginTime",
    "ReqNodeNotAvail",
    "PartitionDown",
    "PartitionInactive",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "PartitionConfig",
    "Reservation",
    "JobHeldUser",
    "JobHeldAdmin",
    "Licenses",
    "AssocMaxJobsLimit",
    "AssocGrpCpuLimit",
    "AssocGrpMemLimit",
    "AssocGrpNodeLimit",
    "AssocGrpJobsLimit",
    "AssocGrpWallLimit",
    "AssocGrpSubmitJobsLimit",
    "AssocMaxGRESPerJob",
    "AssocMaxCpuPerJobLimit",
    "AssocMaxNodePerJobLimit",
    "AssocMaxWallDurationPerJobLimit",
    "AssocMaxSubmitJobLimit",
    "AssocGrpBilling",
    "AssocGrpLicense",
    "AssocGrpCPUMinutesLimit",
    "QOSGrpGRES",
    "QOSGrpCpuLimit",
    "QOSGrpMemLimit",
    "QOSGrpNodeLimit",
    "QOSGrpJobsLimit",
    "QOSMaxGRESPerUser",
    "QOSMaxCpuPerUserLimit",
    "QOSMaxNodePerUserLimit",
    "QOSMaxMemoryPerUser",
    "QOSMaxWallDurationPerJobLimit",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSMinGRES",
    "QOSMinCpuNotSatisfied",
    "QOSUsageThreshold",
    "QOSNotAllowed",
    "AccountNotAllowed",
    "InvalidAccount",
    "InvalidQOS",
    "BadConstraints",
    "NodeDown",
    "JobArrayTaskLimit",
    "MaxMemPerLimit",
    "JobHoldMaxRequeue",
    "SystemFailure",
    "Cleaning",
    "Prolog",
    "BurstBufferResources",
    "None",
]


@pytest.mark.parametrize("code", COMMON)
def test_a_common_reason_has_words_and_a_remedy(code: str) -> None:
    told = waiting(code)
    assert told.code == code and told.reason.endswith(".") and told.remedy.endswith((".", ")."))
    assert code == "None" or code not in told.reason


def test_a_limit_is_read_by_its_parts() -> None:
    assert waiting("AssocGrpGRES").reason == "The limit of GPUs for all jobs of the team's account together is reached."
    assert waiting("QOSMaxJobsPerUserLimit").reason == "The limit of running jobs for one user of the QOS is reached."
    assert "more (time)" in waiting("AssocMaxWallDurationPerJobLimit").reason
    assert "will not start" in waiting("QOSMaxGRESPerJob").remedy


def test_one_that_we_have_never_seen_is_told_as_it_is() -> None:
    told = waiting("SomethingNew")
    assert told.code == "SomethingNew" and "SomethingNew" in told.reason and told.remedy


def test_longer_texts_of_slurm_are_known_by_their_beginning() -> None:
    assert waiting("(ReqNodeNotAvail, UnavailableNodes:n[1-2])").code == "ReqNodeNotAvail"
    down = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"
    assert waiting(down).code == "ReqNodeNotAvail"


def test_a_dependency_names_the_jobs_before_and_a_start_that_slurm_expects_is_told() -> None:
    assert waiting("Dependency", before=("job-a", "job-b")).reason == "It starts once job-a, job-b succeeded."
    assert "expects to start it at noon" in waiting("Resources", starts_at="at noon").reason


def test_every_end_says_what_to_do() -> None:
    told = [end for end in ENDS.values() if end.code not in {"", "cancelled"}]
    assert all(end.reason and end.remedy for end in told)
    assert {name for name, end in ENDS.items() if end.state is JobState.LOST} == {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"}
    assert all(words.reason and words.remedy for words in REASONS.values())
