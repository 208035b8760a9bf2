"""Every table of the installation in one place: what migrations compare with."""

from factory_infra.database import Base
from factory_infra.foundation.clusters import tables as clusters
from factory_infra.foundation.reliability import tables as reliability
from factory_infra.foundation.validation import tables as validation
from factory_infra.iaas.isolation import tables as isolation
from factory_infra.iaas.jobs import tables as jobs
from factory_infra.iaas.leases import tables as leases
from factory_infra.paas.catalog import tables as catalog
from factory_infra.paas.deployments import tables as deployments
from factory_infra.paas.registry import tables as registry
from factory_infra.paas.tenants import tables as tenants
from factory_infra.records import control_tables as control
from factory_infra.records import lesson_tables as lessons
from factory_infra.records import tables as records
from factory_infra.saas.metering import tables as metering
from factory_infra.saas.models.transcripts import tables as transcripts
from factory_infra.saas.tool_servers import tables as tool_servers

NOUNS = (
    catalog,
    clusters,
    control,
    deployments,
    jobs,
    leases,
    lessons,
    metering,
    records,
    registry,
    reliability,
    tenants,
    tool_servers,
    transcripts,
    validation,
    isolation,
)
"""Modules that declare tables; importing them is what registers them."""

METADATA = Base.metadata
