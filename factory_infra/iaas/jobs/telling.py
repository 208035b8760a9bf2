"""What the log is told of a job when it is asked for: later its row knows neither its slots nor what they are."""

from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.records.happenings import Happening, subject_of


def submitted(spec: JobSpec) -> Happening:
    """That a job was asked for."""
    return Happening(
        kind="job.submitted",
        subject=subject_of("job", spec.tenant, spec.id),
        tenant=spec.tenant,
        payload={
            "job_id": spec.id,
            "pool": spec.pool,
            "lease_id": spec.lease_id,
            "kind": spec.slot_kind,
            "slots": len(spec.slots),
            "service": spec.service,
        },
    )
