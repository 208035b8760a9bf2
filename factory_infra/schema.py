"""Every table of the installation in one place: what migrations compare with."""

from factory_infra.database import Base
from factory_infra.foundation.clusters import tables as clusters
from factory_infra.foundation.reliability import tables as reliability
from factory_infra.foundation.validation import tables as validation
from factory_infra.iaas.isolation import tables as isolation
from factory_infra.iaas.jobs import tables as jobs
from factory_infra.iaas.leases import pool_quotas
from factory_infra.iaas.leases import tables as leases
from factory_infra.paas.catalog import tables as catalog
from factory_infra.paas.deployments import tables as deployments
from factory_infra.paas.deployments import traffic_tables as traffic
from factory_infra.paas.features import tables as features
from factory_infra.paas.kpis import tables as kpis
from factory_infra.paas.optimization import tables as optimization
from factory_infra.paas.registry import tables as registry
from factory_infra.paas.tenants import structure_tables as structure
from factory_infra.paas.tenants import tables as tenants
from factory_infra.paas.training.data import tables as datasets
from factory_infra.paas.training.pipelines import tables as pipelines
from factory_infra.paas.training.studies import tables as studies
from factory_infra.records import audit_tables as audit
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
    features,
    jobs,
    leases,
    lessons,
    kpis,
    optimization,
    metering,
    records,
    registry,
    reliability,
    tenants,
    tool_servers,
    traffic,
    transcripts,
    validation,
    isolation,
    pool_quotas,
    structure,
    audit,
    studies,
    datasets,
    pipelines,
)
"""Modules that declare tables; importing them is what registers them."""

METADATA = Base.metadata
