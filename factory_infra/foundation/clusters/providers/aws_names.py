"""Names, tags and client tokens of what is made in AWS: all from a cluster's key, so that no attempt makes a second one."""

import hashlib
import re

from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id, form_of
from factory_infra.foundation.pools.spec import AwsPool

PREFIX = "lineshaft-"
UNTAGGABLE = re.compile(r"[^\w .:/=+@-]")


def name_of(cluster: str) -> str:
    """What a cluster's parts are called in AWS."""
    return PREFIX + cluster


def cluster_of(name: str) -> str:
    """The cluster whose part is called so, or nothing."""
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) and form_of(name.removeprefix(PREFIX)) else ""


def token(*parts: str) -> str:
    """A client token: the same parts give the same one. AWS takes 64 characters."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:48]


def tags_of(pool: AwsPool, wanted: ClusterSpec) -> dict[str, str]:
    """What everything of a cluster is tagged with."""
    return {
        "lineshaft:installation": pool.installation,
        "lineshaft:pool": pool.name,
        "lineshaft:cluster": cluster_id(wanted.key, wanted.form),
        "lineshaft:tenant": wanted.tenant,
        "lineshaft:lease": wanted.lease_id,
        "lineshaft:run": wanted.run_id,
        "lineshaft:key": UNTAGGABLE.sub("_", wanted.key)[:256],
        "lineshaft:form": wanted.form,
    }


def as_list(pairs: dict[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 wants them; empty ones are left out."""
    return [{"Key": key, "Value": value} for key, value in pairs.items() if value]
