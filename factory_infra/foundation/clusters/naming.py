"""A cluster's id: from its key and its form, so that everybody can say it before the cluster is there."""

import hashlib
import re

from factory_infra.foundation.clusters.models import ClusterForm

PREFIXES: dict[ClusterForm, str] = {"fleet": "fleet", "auto_scaling": "scaling", "kubernetes": "kube", "hyperpod": "hyperpod"}
"""A cluster's id begins with its form, so that asking for one asks one service only."""


def cluster_id(key: str, form: ClusterForm = "fleet") -> str:
    """The id of the cluster of a key."""
    return f"{PREFIXES[form]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def form_of(cluster: str) -> ClusterForm | None:
    """The form that an id tells, None where it is none of ours."""
    return next((form for form, prefix in PREFIXES.items() if re.fullmatch(rf"{prefix}-[0-9a-f]{{16}}", cluster)), None)
