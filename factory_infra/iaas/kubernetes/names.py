"""What our objects in a cluster are called: valid for the API, never the same for two things, and always the same for one."""

import hashlib
import re

from factory_infra.foundation.pools.spec import KubernetesPool

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
NAMESPACE_MAX = 63
DIGEST = 10
SLUG = 20

INSTALLATION = "lineshaft.io/installation"
TENANT = "lineshaft.io/tenant"
JOB = "lineshaft.io/job"
JOB_ID = "lineshaft.io/job-id"
GENERATION = "lineshaft.io/generation"
ROLE = "lineshaft.io/role"


def digest(text: str) -> str:
    """Ten letters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def slug(text: str, length: int = SLUG) -> str:
    """The readable part of a text in small letters, digits and hyphens; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length].strip("-")


def label_value(text: str) -> str:
    """The text where it can be a label's value, else a slug and a digest of it."""
    return text if LABEL.fullmatch(text) else f"{slug(text) or 'x'}-{digest(text)}"


def namespace_of(pool: KubernetesPool, tenant: str) -> str:
    """The namespace of a team: its name after the pool's prefix, or a slug and a digest where that cannot be."""
    plain = f"{pool.namespace_prefix}-{tenant}"
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", tenant) and len(plain) <= NAMESPACE_MAX and not re.search(r"-[0-9a-f]{10}$", tenant):
        return plain
    return f"{pool.namespace_prefix[: NAMESPACE_MAX - SLUG - DIGEST - 2]}-{slug(tenant) or 'x'}-{digest(tenant)}"


def job_name(job_id: str) -> str:
    """The name of everything of a job: from its id, which makes the job one."""
    return f"ls-{slug(job_id) or 'x'}-{digest(job_id)}"


def labels(pool: KubernetesPool, tenant: str) -> dict[str, str]:
    """What all that we make carries."""
    return {"app.kubernetes.io/managed-by": "lineshaft", INSTALLATION: pool.namespace_prefix, TENANT: label_value(tenant)}
